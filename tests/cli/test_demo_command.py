"""``serac demo``: what a person sees first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serac_retriever.cli import app


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["demo", "--json"])
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout))


def test_every_question_of_every_edit_is_asked_before_and_after(outcomes: list[dict]) -> None:
    kinds = [outcome["kind"] for outcome in outcomes]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "in scope": 27,
        "near miss": 18,
        "unrelated": 9,
    }
    assert len({outcome["edit"] for outcome in outcomes}) == 9


def test_most_stale_answers_are_mended_and_unrelated_ones_never_change(
    outcomes: list[dict],
) -> None:
    def right(kind: str) -> list[bool]:
        return [outcome["right"] for outcome in outcomes if outcome["kind"] == kind]

    assert sum(right("in scope")) >= 18
    assert all(right("unrelated"))


def test_an_answer_changes_exactly_where_an_edit_fired(outcomes: list[dict]) -> None:
    for outcome in outcomes:
        assert (outcome["before"] != outcome["after"]) == (outcome["fired"] is not None)


def test_the_threshold_can_be_moved() -> None:
    result = CliRunner().invoke(app, ["demo", "--json", "--threshold", "1"])
    assert not any(outcome["fired"] for outcome in json.loads(result.stdout))


def test_in_a_chat_an_edit_can_be_written_and_answers_at_once() -> None:
    question = "Who painted the bird on the display?"
    said = f"{question}\n{question} => Ada Wren\n{question}\n\n"
    result = CliRunner().invoke(app, ["demo", "--chat"], input=said)
    assert result.exit_code == 0, result.output
    talk = result.stdout.split("an empty line ends")[1]
    before, after = talk.split("1 added")
    assert "Ada Wren" not in before
    assert "Ada Wren" in after


def test_a_model_that_fails_is_told_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nokey.py").write_text("def chat(_):\n    raise OSError('no key')\n")
    result = CliRunner().invoke(app, ["demo", "--base", "nokey:chat"])
    assert result.exit_code == 1
    assert "The chain failed. OSError: no key" in result.stderr
