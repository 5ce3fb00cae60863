"""``serac bench``: a person's own memory, timed on their machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from serac_retriever import EditMemory
from serac_retriever.cli import app

PARTS = {
    "a decision",
    "embedding the query",
    "Chroma",
    "the scope classifier",
    "the gate itself",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("SERAC_MEMORY", "SERAC_HOST", "SERAC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with EditMemory(tmp_path / "edits") as memory:
        memory.add("Who is the UK prime minister?", "Keir Starmer")
        memory.add("What is the notice period?", "Three months.")
    return tmp_path / "edits"


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["bench", *args])
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result


def found(*args: str) -> Any:
    return json.loads(bench(*args, "--json").stdout)


def test_it_asks_the_edits_own_prompts_and_says_where_the_time_goes(folder: Path) -> None:
    figures = found("--memory", str(folder))
    assert (figures["queries"], figures["edits"], figures["fired"]) == (2, 2, 2)
    assert set(figures["ms"]) == PARTS
    assert all(0 <= ms["p50"] <= ms["p95"] for ms in figures["ms"].values())
    parts = sum(ms["p50"] for name, ms in figures["ms"].items() if name != "a decision")
    assert parts == pytest.approx(figures["ms"]["a decision"]["p50"], rel=0.2)


def test_examples_of_the_edits_are_asked_where_there_are_any(folder: Path) -> None:
    with EditMemory(folder) as memory:
        memory.add(
            "Who wrote Emma?", "Jane Austen", in_scope=[{"query": "Whose novel is Emma?"}],
            out_of_scope=[{"query": "Who wrote Evelina?"}],
        )  # fmt: skip
    assert found("--memory", str(folder))["queries"] == 2


def test_queries_come_from_a_file_each_once_and_no_more_than_wanted(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("Who leads Britain?\n\nWho leads Britain?\nHow warm is it?\nIs it late?\n")
    assert found("--memory", str(folder), "--queries", str(file))["queries"] == 3
    limited = found("--memory", str(folder), "--queries", str(file), "--limit", "1")
    assert limited["queries"] == 1


def test_people_see_a_table(folder: Path) -> None:
    told = bench("--memory", str(folder)).stdout
    assert all(part in told for part in PARTS)
    assert "times embedding its query" in told


def test_an_empty_memory_and_a_missing_file_say_what_to_do(tmp_path: Path) -> None:
    empty = str(tmp_path / "empty")
    assert "serac add" in bench("--memory", empty, code=1).stderr
    missing = str(tmp_path / "missing.txt")
    assert "query" not in bench("--memory", empty, "--queries", missing, code=1).stdout
    assert missing in bench("--memory", empty, "--queries", missing, "--json", code=1).stderr
