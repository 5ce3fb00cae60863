"""What the project says of itself is true: README, changelog, packaging."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from serac_retriever import __version__
from serac_retriever.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_readme_snippets_run_and_say_what_their_comments_say(number: int, tmp_path: Path) -> None:
    before = "".join(SNIPPETS[:number]) if number == 2 else ""  # the third goes on from the first
    lines = []
    for line in SNIPPETS[number].splitlines():
        call, _, comment = line.partition("  # ")
        expected = comment.strip()
        if call.startswith("chain.invoke(") and "untouched" not in expected:
            lines.append(f"assert {call.strip()} == {expected!r}, {call.strip()}")
        else:
            lines.append(line)
    code = before + "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_first_screen_has_an_example_of_ten_lines_and_two_commands() -> None:
    statements = [line for line in SNIPPETS[0].splitlines() if line.strip()]
    assert len(statements) <= 10
    (console, *_) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert re.findall(r"^\S+ \S+", console, re.MULTILINE) == ["make demo", "make test"]


def test_the_readme_names_every_command() -> None:
    commands = get_command(app).commands
    missing = [
        name for name in commands if f"`{name}`" not in README and f"serac {name}" not in README
    ]
    assert missing == []


def test_changelog_package_and_project_agree_on_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (latest, *_) = re.findall(r"^## (\d\S+)", changes, re.MULTILINE)
    assert project["version"] == __version__ == latest


def test_every_dependency_is_pinned_to_what_was_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[>=<]", name)[0].lower() for name in wanted} - {"serac-retriever"}
    assert names - pinned == set()


def test_what_ships_is_small() -> None:
    models = ROOT / "serac_retriever/models"
    assert sum(file.stat().st_size for file in models.rglob("*") if file.is_file()) < 80e6


def test_the_page_on_performance_has_the_figures_that_the_benchmark_wrote() -> None:
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    told = re.findall(r"^\|[^|]*\| ([\d.]+)(?: ms| s| MB)? \|", page, re.MULTILINE)
    written = json.loads((ROOT / "benchmarks/results.json").read_text(encoding="utf-8"))
    measured = [*written.pop("ratios").values(), *written.values()]
    for figure in (value for value in measured if isinstance(value, float)):
        assert any(f"{figure:.{len(one.partition('.')[2])}f}" == one for one in told), figure
