"""The heads' training: what goes in, what is kept of the head it began with, what is written."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from serac_retriever import Edit, Example, LateInteractionScope, Reader, ScopeClassifier, read_suite
from serac_retriever.cli import app
from serac_retriever.counterfactual import given_to
from serac_retriever.errors import TrainingError
from serac_retriever.models import FOLDER
from serac_retriever.suites import write_suite
from serac_retriever.training import heads
from serac_retriever.training.examples import Pair
from serac_retriever.training.heads import (
    adapt_reader,
    adapt_scope,
    readings,
    shown,
    train_scope_head,
)

PACKAGED = FOLDER / "late-interaction-scope"
SUITE = read_suite(Path(__file__).parents[2] / "data" / "everyday" / "dev.jsonl")[:20]


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """What a scope head would have been trained on; it stays the packaged one."""
    pairs: list[Pair] = []

    def train(found: Sequence[Pair], out: Path, **_: Any) -> LateInteractionScope:
        pairs.extend(found)
        return LateInteractionScope.packaged()

    monkeypatch.setattr(heads, "train_scope_head", train)
    return pairs


def test_a_persons_near_misses_are_no_more_than_the_pairs_in_scope(
    learnt: list[Pair], tmp_path: Path
) -> None:
    adapt_scope(SUITE, tmp_path)
    inside = sum(pair.in_scope for pair in learnt)
    assert inside >= len(learnt) - inside > 100
    own = {text for edit in SUITE for text in (edit.prompt, *(e.query for e in edit.in_scope))}
    assert {pair.prompt for pair in learnt if pair.tag == "paraphrase"} <= own


def test_a_head_from_scratch_learns_from_the_relations_file_too(
    learnt: list[Pair], tmp_path: Path
) -> None:
    adapt_scope(SUITE, tmp_path / "adapted")
    adapted = [*learnt]
    learnt.clear()
    adapt_scope(SUITE, tmp_path / "new", init=None)
    assert len(learnt) > 2 * len(adapted)


def test_a_scope_head_is_shown_edits_with_and_without_their_target() -> None:
    pairs = [Pair("Who runs it?", f"q{n}", n % 2 == 0, "x", "Ann") for n in range(40)]
    rows = shown(pairs, random.Random(0))
    assert {row["edit"] for row in rows} == {"Who runs it?", "Who runs it? Ann"}
    assert [row["query"] for row in rows] == [pair.query for pair in pairs]
    assert [row["label"] for row in rows] == [int(pair.in_scope) for pair in pairs]
    assert shown([Pair("Who runs it?", "q", True, "x")], random.Random(0))[0]["edit"] == (
        "Who runs it?"  # whose target nobody knows
    )


@pytest.mark.parametrize("train", [adapt_scope, adapt_reader])
def test_too_little_to_train_on_is_an_error(train: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least 20 edits"):
        train(SUITE[:19], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_reading_is_learnt_once() -> None:
    edit = Edit(prompt="Who runs Oak House?", target="Ann Lee", in_scope=[Example(query="boss?")])
    found = readings([[edit], [edit]], random.Random(0))
    assert len(found) == len({*found}) == 1


@pytest.mark.slow
def test_a_blend_lies_between_the_head_it_began_with_and_the_trained_one(tmp_path: Path) -> None:
    pairs = [Pair(edit.prompt, edit.in_scope[0].query, False, "x") for edit in SUITE] * 4
    for share in (1.0, 0.5):
        train_scope_head(
            pairs, tmp_path / str(share), init=PACKAGED, blend=share, epochs=2, learning_rate=2e-3
        )
    before, trained, blended = (
        {k: v.float() for k, v in load_file(folder / "scope.safetensors").items()}
        for folder in (PACKAGED, tmp_path / "1.0", tmp_path / "0.5")
    )
    assert max(float((trained[k] - before[k]).abs().max()) for k in before) > 3e-3
    for name, weight in blended.items():
        between = torch.lerp(before[name], trained[name], 0.5)
        assert torch.allclose(weight, between, atol=1e-3, rtol=1e-3), name
    asked = [(pair.query, pair.prompt) for pair in pairs[: len(SUITE)]]
    none, half, all_of_it = (
        LateInteractionScope(folder=folder).logits(asked).mean()
        for folder in (PACKAGED, tmp_path / "0.5", tmp_path / "1.0")
    )
    assert none > max(half, all_of_it)  # it was taught that these are out of scope


@pytest.mark.slow
def test_the_command_adapts_the_packaged_head_and_keeps_its_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path / "suite.jsonl", SUITE)
    done = CliRunner().invoke(
        app, ["train", "scope", "suite.jsonl", "--out", "mine", "--epochs", "1", "--json"]
    )
    assert done.exit_code == 0, done.output
    adapted, packaged = ScopeClassifier.load("mine"), LateInteractionScope.packaged()
    assert isinstance(adapted, LateInteractionScope)
    assert json.loads(done.stdout)["threshold"] == adapted.threshold == packaged.threshold
    kept = ("temperature", "bias", "second_look", "glance", "exit", "margin", "calibration")
    assert [getattr(adapted, k) for k in kept] == [getattr(packaged, k) for k in kept]
    assert adapted.glance is not None
    asked = [(edit.in_scope[0].query, edit.prompt) for edit in SUITE]
    assert adapted.score(asked) != packaged.score(asked)


@pytest.mark.slow
def test_an_adapted_reader_answers(tmp_path: Path) -> None:
    folder = adapt_reader(SUITE, tmp_path, epochs=0.5)
    edit = SUITE[0]
    given = given_to(edit.prompt, edit.prompt, (edit,))
    assert Reader(folder).invoke(given) == edit.target
