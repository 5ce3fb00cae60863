"""The paper's two scope classifiers and the encoder are trained on a person's own edits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.embeddings import Embeddings
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import BertConfig, BertModel, TrainerCallback
from typer.testing import CliRunner

from serac_retriever import Edit, EditMemory, EmbeddingScope, Example, ScopeClassifier
from serac_retriever.cli import app
from serac_retriever.errors import EncoderMismatchError, TrainingError
from serac_retriever.evaluation import evaluate
from serac_retriever.suites import write_suite
from serac_retriever.training import fit, sentence
from serac_retriever.training.export_encoder import source
from serac_retriever.training.sentence import fit_embedding, train_cross_encoder, train_encoder

TRADES = ["Baker", "Smith", "Miller", "Cooper", "Mason"]
TOWNS = ["Arlen", "Brook", "Corby", "Dunmore", "Elsted"]


def edit(trade: str, town: str, near_misses: int = 2) -> Edit:
    asked = [
        f"Where was the {trade} of {town} born?",
        f"Who taught the {trade} of {town}?",
        *(f"How tall is tower {i} of {town}?" for i in range(near_misses)),
    ]
    return Edit(
        prompt=f"In which year was the {trade} of {town} born?",
        target=f"{1700 + len(trade) + len(town)}",
        in_scope=(
            Example(query=f"What is the birth year of the {trade} of {town}?"),
            Example(query=f"When was the {trade} of {town} born?"),
        ),
        out_of_scope=tuple(Example(query=query, tag="near miss") for query in asked[:near_misses]),
    )


SUITE = [edit(trade, town) for trade in TRADES for town in TOWNS]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two thin layers with random weights, in Hugging Face's layout: any encoder."""
    folder = tmp_path_factory.mktemp("tiny") / "bert"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(str(folder))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(source() / name, folder)
    return folder


@pytest.fixture(scope="module")
def cross_encoder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short training of a cross-encoder leaves."""
    out = tmp_path_factory.mktemp("trained") / "scope"
    train_cross_encoder(SUITE, out, model=tiny, epochs=1)
    return out


PAIRS = [("When was the Smith of Brook born?", SUITE[6].prompt), ("Who wrote Emma?", "Who?")]


def test_a_cross_encoder_is_saved_as_a_classifier_that_loads_and_evaluates(
    cross_encoder: Path,
) -> None:
    scope = ScopeClassifier.load(cross_encoder)
    assert type(scope).__name__ == "CrossEncoderScope"
    assert scope.threshold == 0.5  # the paper's, until it is calibrated
    assert evaluate(SUITE[:3], scope=scope, threshold=0.0).edit_success == 1.0
    assert {one.name for one in cross_encoder.iterdir()} == {"scope.json", "cross-encoder"}


def test_training_of_a_saved_cross_encoder_goes_on_from_it(
    cross_encoder: Path, tmp_path: Path
) -> None:
    again = train_cross_encoder(SUITE, tmp_path, model=cross_encoder, learning_rate=0, epochs=0.1)
    before = ScopeClassifier.load(cross_encoder).score(PAIRS)
    assert again.score(PAIRS) == pytest.approx(before, abs=1e-3)


def test_the_seed_decides_everything(tiny: Path, cross_encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)  # whatever went before
    same = train_cross_encoder(SUITE, tmp_path / "same", model=tiny, epochs=1)
    other = train_cross_encoder(SUITE, tmp_path / "other", model=tiny, epochs=1, seed=1)
    before = ScopeClassifier.load(cross_encoder).score(PAIRS)
    assert same.score(PAIRS) == pytest.approx(before, abs=2e-4)  # bfloat16 rounds
    assert other.score(PAIRS) != pytest.approx(before, abs=2e-4)


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


def test_an_interrupted_run_goes_on_from_its_last_checkpoint_and_other_data_begin_anew(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fit.settings
    monkeypatch.setattr(sentence, "settings", lambda *a, **k: {**plain(*a, **k), "save_steps": 2})

    def train(suite: Sequence[Edit], stop: int | None) -> int:
        callback = Interrupt(stop)
        monkeypatch.setattr(fit, "ShowProgress", lambda: callback)
        train_cross_encoder(suite, tmp_path, model=tiny, epochs=1)
        return callback.began

    with pytest.raises(KeyboardInterrupt):
        train(SUITE, stop=3)
    assert not (tmp_path / "scope.json").exists()
    with pytest.raises(KeyboardInterrupt):
        train(SUITE[:20], stop=1)
    assert train(SUITE, stop=None) == 2
    assert train(SUITE, stop=None) == 0  # done is done: nothing is left to go on from
    assert {one.name for one in tmp_path.iterdir()} == {"scope.json", "cross-encoder"}


class Trained(Embeddings):
    """What langchain_huggingface's HuggingFaceEmbeddings does with such a folder."""

    def __init__(self, folder: Path) -> None:
        self.model_name = str(folder)
        self.model = SentenceTransformer(str(folder))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.model.encode(texts, show_progress_bar=False).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_an_encoder_serves_a_collection_of_its_own_and_no_other(tiny: Path, tmp_path: Path) -> None:
    out = train_encoder(SUITE, tmp_path / "encoder", model=tiny, epochs=0.5)
    with EditMemory(tmp_path / "edits", embeddings=Trained(out)) as memory:
        memory.add_many(SUITE[:3])
        assert memory.search(SUITE[1].prompt)[0].edit.target == SUITE[1].target
    with pytest.raises(EncoderMismatchError):
        EditMemory(tmp_path / "edits")


def test_an_encoder_draws_prompts_to_their_queries_and_away_from_near_misses(
    tiny: Path, tmp_path: Path
) -> None:
    def margin(model: SentenceTransformer) -> float:
        prompts, queries, misses = (
            model.encode(texts, normalize_embeddings=True)
            for texts in (
                [edit.prompt for edit in SUITE],
                [edit.in_scope[0].query for edit in SUITE],
                [edit.out_of_scope[0].query for edit in SUITE],
            )
        )
        return float(((prompts * queries).sum(1) - (prompts * misses).sum(1)).mean())

    out = train_encoder(SUITE, tmp_path, model=tiny, epochs=8, learning_rate=1e-3)
    assert margin(SentenceTransformer(str(out))) > margin(SentenceTransformer(str(tiny))) + 0.1


def test_the_embedding_kind_is_fitted_and_with_enough_near_misses_calibrated(
    tmp_path: Path,
) -> None:
    few = fit_embedding(SUITE, tmp_path / "few")
    assert (few.threshold, few.calibration) == (0.5, None)
    suite = [edit(trade, town, near_misses=14) for trade in TRADES for town in TOWNS]
    enough = fit_embedding(suite, tmp_path / "enough")
    assert enough.calibration is not None
    assert enough.calibration.out_of_scope == 350
    assert EmbeddingScope.load(tmp_path / "enough") == enough
    assert (enough.slope, enough.midpoint) != (EmbeddingScope().slope, EmbeddingScope().midpoint)


@pytest.mark.parametrize("train", [train_cross_encoder, train_encoder, fit_embedding])
@pytest.mark.parametrize(
    "suite",
    [SUITE[:19], [one.model_copy(update={"in_scope": ()}) for one in SUITE]],
    ids=["nineteen edits", "no queries"],
)
def test_too_little_to_train_on_is_an_error(train: Any, suite: list[Edit], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least 20 edits"):
        train(suite, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_trains_each_kind(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path / "suite.jsonl", SUITE)

    def serac(*args: str) -> int:
        return CliRunner().invoke(app, ["train", *args]).exit_code

    options = ("--init", str(tiny), "--epochs", "0.1", "--out", "crossed")
    assert serac("scope", "suite.jsonl", "--kind", "cross-encoder", *options) == 0
    assert serac("scope", "suite.jsonl", "--kind", "embedding", "--out", "cosine") == 0
    assert serac("scope", "suite.jsonl", "--kind", "embedding", "--epochs", "2") == 1
    assert serac("encoder", "suite.jsonl", "--model", str(tiny), "--epochs", "0.1") == 0
    kinds = [type(ScopeClassifier.load(folder)).__name__ for folder in ("crossed", "cosine")]
    assert kinds == ["CrossEncoderScope", "EmbeddingScope"]
    assert len(SentenceTransformer("encoder").encode("one")) == 32


@pytest.mark.slow
def test_a_cross_encoder_from_the_packaged_weights_learns_a_suites_near_misses(
    tmp_path: Path,
) -> None:
    scope = train_cross_encoder(SUITE[:20], tmp_path, epochs=4)
    unseen = SUITE[20:]
    inside = scope.score([(one.in_scope[0].query, one.prompt) for one in unseen])
    outside = scope.score([(one.out_of_scope[0].query, one.prompt) for one in unseen])
    assert min(inside) > max(outside)


def test_any_cross_encoders_folder_will_do(tiny: Path, tmp_path: Path) -> None:
    CrossEncoder(str(tiny), num_labels=1).save_pretrained(str(tmp_path / "somebodys"))
    scope = train_cross_encoder(SUITE, tmp_path / "own", model=tmp_path / "somebodys", epochs=0.1)
    assert all(0 <= score <= 1 for score in scope.score(PAIRS))
