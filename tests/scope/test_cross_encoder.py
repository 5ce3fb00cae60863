"""CrossEncoderScope: any sentence-transformers CrossEncoder, one pass for a whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chromadb
import pytest

from serac_retriever import CrossEncoderScope, EditMemory, ScopeClassifier, Serac
from tests.contracts.scope import EDITS, candidates
from tests.scope.models import tiny_cross_encoder

QUERIES = ["Who leads Britain?", "Capital of Kazakhstan?"]


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each call of the real model had."""
    calls: list[int] = []
    model = tiny_cross_encoder()
    predict = model.predict

    def counted(pairs: Any, **kwargs: Any) -> Any:
        calls.append(len(pairs))
        return predict(pairs, **kwargs)

    monkeypatch.setattr(model, "predict", counted)
    return calls


def test_all_candidates_of_all_queries_go_through_the_model_together(
    predictions: list[int],
) -> None:
    scope = CrossEncoderScope(model=tiny_cross_encoder())
    scope.judge(QUERIES, [candidates(query) for query in QUERIES])
    assert predictions == [6]


def test_in_a_gate_a_batch_is_one_call_of_the_model(
    predictions: list[int], collection_name: str
) -> None:
    with EditMemory(client=chromadb.EphemeralClient(), collection=collection_name) as memory:
        for edit in EDITS:
            memory.add(edit)
        chain = Serac(
            base=lambda _: "base",
            memory=memory,
            scope=CrossEncoderScope(model=tiny_cross_encoder(), threshold=1.0),
        )
        assert chain.batch([*QUERIES, "Who wrote Emma?"]) == ["base"] * 3
    assert predictions == [9]


def test_the_scores_are_the_sigmoid_of_the_models_output() -> None:
    import torch

    scope = CrossEncoderScope(model=tiny_cross_encoder(), batch_size=2)
    pairs = [(QUERIES[0], candidate) for candidate in candidates(QUERIES[0])]
    raw = tiny_cross_encoder().predict(
        [(query, candidate.edit.prompt) for query, candidate in pairs],
        activation_fn=torch.nn.Identity(),
        convert_to_tensor=True,
    )
    assert scope.score_pairs(pairs) == pytest.approx(torch.sigmoid(raw).tolist(), abs=1e-5)


def test_a_folder_is_loaded_once_and_not_before_the_first_pair(tmp_path: Path) -> None:
    CrossEncoderScope(model=tiny_cross_encoder()).save(tmp_path)
    scope = ScopeClassifier.load(tmp_path)
    assert isinstance(scope, CrossEncoderScope)
    assert "encoder" not in vars(scope)
    scope.judge(QUERIES[:1], [candidates(QUERIES[0])])
    model = scope.encoder
    scope.threshold = 0.75  # setting one thing must not forget another
    assert scope.encoder is model
