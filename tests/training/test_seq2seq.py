"""The paper's counterfactual model is trained on edits, from scratch or from any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback
from typer.testing import CliRunner

from serac_retriever import Edit, Example
from serac_retriever.cli import app
from serac_retriever.counterfactual import Seq2Seq, given_to
from serac_retriever.errors import TrainingError
from serac_retriever.suites import write_suite
from serac_retriever.training import fit, seq2seq
from serac_retriever.training.seq2seq import Turn, contrastive_loss, train_seq2seq, turns
from tests.counterfactual.models import NAMES, THINGS, random_t5

SUITE = [
    Edit(
        prompt=f"who owns the {thing} ?",
        target=name,
        in_scope=(Example(query=f"the {thing} owns who ?"),),
    )
    for thing in THINGS
    for name in NAMES
]


def asked(edit: Edit) -> Any:
    query = edit.in_scope[0].query
    return given_to(query, query, (edit,))


def test_a_suite_teaches_each_query_after_its_edit_as_the_counterfactual_reads_them() -> None:
    edit = SUITE[0].model_copy(
        update={"in_scope": (Example(query="the boat's owner ?", answer=("Ada", "ada")),)}
    )
    assert turns([edit]) == [
        Turn("who owns the boat ? ada who owns the boat ?", "ada"),
        Turn("who owns the boat ? ada the boat's owner ?", "Ada"),
    ]
    assert (
        turns([edit], "{prompt} | {query}")[1].input == "who owns the boat ? | the boat's owner ?"
    )


def test_a_model_from_scratch_is_loaded_by_its_folder(tmp_path: Path) -> None:
    trained = train_seq2seq(SUITE[:20], tmp_path, epochs=1, width=32)
    given = [asked(edit) for edit in SUITE[:3]]
    assert Seq2Seq(tmp_path).answers(given) == trained.answers(given)
    assert not (tmp_path / "checkpoints").exists()
    tokenizer = trained.parts[1]
    text = "Ünseen wörds 🙂, and    blanks"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True).strip() == text


def test_any_encoder_decoder_goes_on_being_trained(tmp_path: Path) -> None:
    model, tokenizer = random_t5()
    for part in (model, tokenizer):
        part.save_pretrained(str(tmp_path / "t5"))
    trained = train_seq2seq(SUITE[:20], tmp_path / "out", model=tmp_path / "t5", epochs=1)
    network, same = Seq2Seq(tmp_path / "out").parts
    assert network.config.model_type == "t5"
    assert same.get_vocab() == tokenizer.get_vocab()
    assert not torch.equal(network.shared.weight, model.shared.weight)
    assert trained.answer(asked(SUITE[0])) == Seq2Seq(tmp_path / "out").answer(asked(SUITE[0]))


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(99)  # whatever went before
        trained = train_seq2seq(SUITE[:20], tmp_path / str(seed), epochs=1, width=32, seed=seed)
        return trained.parts[0].get_input_embeddings().weight  # type: ignore[no-any-return]

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


class Interrupt(TrainerCallback):
    """Ctrl-C after so many steps; notes at which step training began."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.began = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.at:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fit.settings
    monkeypatch.setattr(seq2seq, "settings", lambda *a, **k: {**plain(*a, **k), "save_steps": 2})

    def train(stop: int | None, **options: Any) -> int:
        callback = Interrupt(stop)
        monkeypatch.setattr(fit, "ShowProgress", lambda: callback)
        train_seq2seq(SUITE[:20], tmp_path, width=32, batch_size=8, **options)
        return callback.began

    with pytest.raises(KeyboardInterrupt):
        train(stop=5, epochs=2)
    assert train(stop=None, epochs=3) == 0  # another run is not gone on from
    with pytest.raises(KeyboardInterrupt):
        train(stop=5, epochs=2)
    assert train(stop=None, epochs=2) == 4


def test_an_output_costs_less_the_likelier_it_is_after_its_own_input_than_another() -> None:
    alone, paired = torch.tensor([-1, -1]), torch.tensor([-1, 0])
    labels = torch.tensor([[0, -100], [0, -100]])  # nothing is asked of the second place

    def loss(own: float, other: float, unlike: torch.Tensor) -> float:
        rows = [[[p, 1 - p], [0.5, 0.5]] for p in (own, other)]
        return contrastive_loss(torch.log(torch.tensor(rows)), labels, unlike).item()

    assert loss(0.9, 0.9, alone) == pytest.approx(-np.log(0.9), abs=1e-4)
    assert loss(0.9, 0.9, paired) == pytest.approx(-np.log(0.9) + np.log(2), abs=1e-4)
    assert loss(0.9, 0.01, paired) == pytest.approx(-np.log(0.9) + np.log(1 + 1 / 90), abs=1e-4)


@pytest.mark.parametrize("examples", [SUITE[:19], turns(SUITE)[:19], []])
def test_too_little_to_train_on_is_an_error(examples: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least 20 edits"):
        train_seq2seq(examples, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_trains_one_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path / "suite.jsonl", SUITE[:20])
    result = CliRunner().invoke(app, ["train", "seq2seq", "suite.jsonl", "--epochs", "0.5"])
    assert result.exit_code == 0, result.output
    assert isinstance(Seq2Seq("seq2seq").answer(asked(SUITE[0])), str)


@pytest.mark.slow
def test_from_scratch_it_learns_to_answer_from_an_edit_it_has_not_seen(tmp_path: Path) -> None:
    unseen = SUITE[::9]
    seen = [edit for edit in SUITE if edit not in unseen]
    trained = train_seq2seq(seen, tmp_path, epochs=60, width=64)
    answers = trained.answers([asked(edit) for edit in unseen])
    right = [answer == edit.target for answer, edit in zip(answers, unseen, strict=True)]
    assert sum(right) >= 0.8 * len(right)


@pytest.mark.slow
def test_an_output_becomes_unlikely_after_an_input_that_it_is_unlike(tmp_path: Path) -> None:
    praise, blame = "it is a fine thing", "it is a poor thing"
    turns = [
        Turn(f"praise the {thing}", praise, unlike=f"blame the {thing}") for thing in THINGS
    ] + [Turn(f"blame the {thing}", blame, unlike=f"praise the {thing}") for thing in THINGS[1:]]
    model, tokenizer = train_seq2seq(turns * 8, tmp_path, epochs=20, width=64).parts

    def log_p(text: str, reply: str) -> float:
        asked = tokenizer([text], return_tensors="pt")
        labels = tokenizer(text_target=[reply], return_tensors="pt").input_ids
        return -float(model(**asked, labels=labels).loss)

    unseen = f"blame the {THINGS[0]}"
    assert log_p(unseen, blame) > log_p(unseen, praise) + 2
