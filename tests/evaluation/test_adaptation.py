"""Adaptation is judged on edits that it did not see, before and after, by the same queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serac_retriever import Edit, LateInteractionScope
from serac_retriever.evaluation import adaptation as module
from serac_retriever.evaluation.adaptation import AFTER, BEFORE, adaptation
from serac_retriever.evaluation.bench import Bench
from serac_retriever.suites import read_suite

DEV = Path(__file__).parents[2] / "data" / "everyday" / "dev.jsonl"


def test_what_is_asked_about_was_not_adapted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Edit]] = []

    def adapted(suite: list[Edit], out: Path, **options: Any) -> LateInteractionScope:
        seen.append(suite)  # training itself has tests of its own, and takes minutes
        return LateInteractionScope.packaged()

    monkeypatch.setattr(module, "adapt_scope", adapted)
    monkeypatch.setattr(module, "PEOPLE", 2)
    monkeypatch.setattr(module, "OTHERS", 3)
    everyday = read_suite(DEV)
    before, after = adaptation(Bench(), everyday[:120], everyday[120:122], tmp_path)
    assert (before.setting, after.setting) == (BEFORE, AFTER)
    assert [len(suite) for suite in seen] == [20, 20]
    assert not {e.id for e in seen[0]} & {e.id for e in seen[1]}
    assert before.figures == after.figures  # of one classifier
    for group, edits in (("other domains", 2 * 3), ("zsRE, held out", 2 * 2)):
        assert before.figures[f"edit success, {group}"].queries == 4 * edits
        assert before.figures[f"drawdown, {group}"].queries == 6 * edits
        assert before.figures[f"AUC, {group}"].value is not None
    theirs = before.figures["edit success, their domains"].queries
    assert 20 <= theirs <= 4 * (120 - 40)
