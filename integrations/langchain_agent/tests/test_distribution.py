"""The distribution: what it imports, and whether what it says runs."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest
import serac_langchain_agent
from serac_langchain_agent import answer, middleware

import serac_retriever

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "serac_langchain_agent").glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_only_public_names_of_serac_retriever_are_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("serac_retriever"):
            assert node.module == "serac_retriever"
            assert {alias.name for alias in node.names} <= set(serac_retriever.__all__)
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("serac_retriever") for alias in node.names)


def test_the_readmes_example_prints_what_it_says(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    expected = re.findall(r"print\(.*\) +# (.*?)(?: \(.*)?$", example, re.M)
    run = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert len(expected) == 4
    assert run.stdout.splitlines() == expected


@pytest.mark.parametrize("module", [answer, middleware])
def test_examples_in_docstrings_run(module):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


def test_the_public_names_are_these():
    assert serac_langchain_agent.__all__ == ["GateOptions", "SeracMiddleware", "SeracState"]
    assert (ROOT / "serac_langchain_agent" / "py.typed").exists()
    assert (
        f'version = "{serac_langchain_agent.__version__}"' in (ROOT / "pyproject.toml").read_text()
    )
