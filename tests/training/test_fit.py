"""Fitting: it learns, is the same for the same seed, and goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from serac_retriever.training.fit import fit
from serac_retriever.training.interaction import Collate, ScopeModel

STEPS = 510  # a checkpoint is written at 500
ROWS = [
    {"query": "q" * (1 + n % 7), "edit": "e" * (1 + n % 3), "label": int(n % 7 > 3)}
    for n in range(STEPS)
]


class Line(nn.Module):
    """The smallest model that there is: says from the query's length what the label is."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        nn.init.zeros_(self.line.weight)

    def forward(self, length: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.line(length).squeeze(1).float()
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels)}


class Lengths:
    """Makes its batches; stops as Ctrl-C does before one of them, where told to."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.batches = 0
        self.asked: list[str] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        if self.batches == self.stop:
            raise KeyboardInterrupt
        self.batches += 1
        self.asked += [row["query"] for row in rows]
        return {
            "length": torch.tensor([[float(len(row["query"])) - 4] for row in rows]),
            "labels": torch.tensor([float(row["label"]) for row in rows]),
        }


def fitted(out: Path, collate: Lengths, rows: list[dict[str, Any]] = ROWS, seed: int = 0) -> Any:
    return fit(
        Line(), rows, out, epochs=1, learning_rate=0.05, batch_size=1, seed=seed, collate=collate
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that was trained without a break."""
    return fitted(tmp_path_factory.mktemp("whole"), Lengths())


def weight(model: Any) -> float:
    return float(model.line.weight.detach())


def test_it_learns_and_comes_back_ready_for_use(whole: Any) -> None:
    assert weight(whole) > 0.2
    assert not whole.training
    assert whole.line.weight.device.type == "cpu"


def test_an_interrupted_run_goes_on_from_its_checkpoint_to_the_same_end(
    whole: Any, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, Lengths(stop=STEPS - 3))
    assert [folder.name for folder in (tmp_path / "checkpoints").glob("*/*")] == ["checkpoint-500"]
    rest = Lengths()
    again = fitted(tmp_path, rest)
    assert rest.batches == STEPS - 500
    assert weight(again) == pytest.approx(weight(whole), rel=0.01)  # bfloat16 varies a little


def test_checkpoints_of_another_run_are_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, Lengths(stop=501))
    for rows, seed in ((ROWS[:20], 0), (ROWS, 1)):
        collate = Lengths()
        fitted(tmp_path, collate, rows, seed)
        assert collate.batches == len(rows)


def test_checkpoints_are_gone_when_it_is_done(tmp_path: Path) -> None:
    fitted(tmp_path, Lengths(), ROWS[:20])
    assert not (tmp_path / "checkpoints").exists()


def test_the_seed_decides_the_order_of_rows(tmp_path: Path) -> None:
    def order(seed: int) -> list[str]:
        collate = Lengths()
        fitted(tmp_path / str(seed), collate, ROWS[:20], seed)
        return collate.asked

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_progress_goes_to_stderr_and_nothing_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(tmp_path, Lengths(), ROWS[:120])
    said = capsys.readouterr()
    assert said.out == ""
    assert "step 100/120 loss" in said.err


def test_of_a_pair_model_the_head_is_trained_and_the_trunk_stays_as_it_was(tmp_path: Path) -> None:
    rows = [
        {"query": "Who teaches the harp?", "edit": "Who is the harp teacher?", "label": 1},
        {"query": "Who teaches the drum?", "edit": "Who is the harp teacher?", "label": 0},
        {"query": "harp teacher", "edit": "Who is the harp teacher?", "label": 1},
        {"query": "harp price", "edit": "Who is the harp teacher?", "label": 0},
    ]
    torch.set_num_threads(1)
    model = ScopeModel()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = fit(model, rows, tmp_path, Collate(), epochs=1, learning_rate=1e-3, batch_size=2)
    changed = {
        name.split(".")[0]
        for name, value in trained.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"head"}
