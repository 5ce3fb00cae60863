"""ScopeClassifier: one method to override, scores checked, settings saved."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from serac_retriever import Candidate, Edit, EmbeddingScope, ScopeClassifier
from serac_retriever.errors import ScopeError, WeightsNotFoundError
from tests.contracts.scope import EDITS, candidates

QUERY = "Who is prime minister of the UK?"


class Fixed(ScopeClassifier):
    """Gives the scores it was built with."""

    scores: Any = ()

    def score_pairs(self, pairs: Any) -> Any:
        return self.scores


@pytest.mark.parametrize(
    "scores", [[0.5], [0.5] * 4, [0.5, 1.1, 0.5], [-0.1, 0.5, 0.5], [math.nan, 0.5, 0.5]]
)
def test_anything_but_one_probability_a_pair_is_an_error(scores: list[float]) -> None:
    with pytest.raises(ScopeError, match=r"return 3 probabilities in \[0, 1\]"):
        Fixed(scores=scores).judge([QUERY], [candidates(QUERY)])


def test_numpy_and_torch_scores_are_fine() -> None:
    import numpy as np
    import torch

    for scores in (np.array([0.1, 0.9, 0.5]), torch.tensor([0.1, 0.9, 0.5])):
        [judged] = Fixed(scores=scores).judge([QUERY], [candidates(QUERY)])
        assert [c.edit.id for c in judged] == ["capital", "everest", "pm"]


@pytest.mark.parametrize(
    "query", ["Who is the UK prime minister?", " Who is  the UK prime minister"]
)
def test_an_edits_own_words_are_in_its_scope_whatever_the_model_says(query: str) -> None:
    [judged] = Fixed(scores=[0.0] * 2).judge([query], [candidates(query)])
    assert (judged[0].edit.id, judged[0].score) == ("pm", 1.0)
    assert [c.score for c in judged[1:]] == [0.0, 0.0]
    [judged] = Fixed(scores=[0.0] * 3).judge([query.lower()], [candidates(query)])
    assert {c.score for c in judged} == {0.0}  # "US" is not "us"


def test_of_equal_scores_the_more_similar_edit_comes_first() -> None:
    [judged] = Fixed(scores=[0.5] * 3).judge([QUERY], [candidates(QUERY)[::-1]])
    assert judged[0].edit.id == "pm"
    assert [c.similarity for c in judged] == sorted((c.similarity for c in judged), reverse=True)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, "high"])
def test_a_threshold_outside_0_to_1_is_refused_also_later(threshold: Any) -> None:
    with pytest.raises(ValidationError):
        EmbeddingScope(threshold=threshold)
    scope = EmbeddingScope()
    with pytest.raises(ValidationError):
        scope.threshold = threshold
    assert scope.threshold == 0.5


def test_langchains_score_gives_the_similarity_to_classifiers_that_need_it() -> None:
    scope = EmbeddingScope.packaged()
    pairs = [(QUERY, edit.prompt) for edit in EDITS]
    judged = scope.score_pairs([(QUERY, candidate) for candidate in candidates(QUERY)])
    assert scope.score(pairs) == pytest.approx(judged, abs=1e-4)
    assert scope.score([]) == []


def test_a_compression_retriever_keeps_the_documents_in_scope() -> None:
    documents = [Document(edit.prompt, metadata={"id": edit.id}) for edit in EDITS]
    retriever = ContextualCompressionRetriever(
        base_compressor=CrossEncoderReranker(model=EmbeddingScope.packaged(), top_n=1),
        base_retriever=RunnableLambda(lambda query: documents),
    )
    [best] = retriever.invoke("What's Kazakhstan's capital city?")
    assert best.metadata["id"] == "capital"


def test_a_missing_classifier_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="nowhere"):
        ScopeClassifier.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "written",
    ["", "[]", "{}", '{"classifier": "Unheard"}', '{"classifier": "EmbeddingScope", "slope": -1}',
     '{"classifier": "EmbeddingScope", "steepness": 3}'],
)  # fmt: skip
def test_settings_that_are_not_what_they_must_be_are_an_error(tmp_path: Path, written: str) -> None:
    (tmp_path / "scope.json").write_text(written)
    with pytest.raises(ScopeError, match=r"scope\.json"):
        ScopeClassifier.load(tmp_path)


def test_a_classifier_of_another_class_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    Fixed(scores=[1.0]).save(tmp_path)
    assert isinstance(ScopeClassifier.load(tmp_path), Fixed)
    with pytest.raises(ScopeError, match="EmbeddingScope"):
        EmbeddingScope.load(tmp_path)


def test_what_is_saved_is_readable(tmp_path: Path) -> None:
    EmbeddingScope(slope=30).save(tmp_path)
    settings = json.loads((tmp_path / "scope.json").read_text())
    assert settings["classifier"] == "EmbeddingScope"
    assert settings["slope"] == 30


def test_a_judged_candidate_is_a_copy() -> None:
    candidate = Candidate(edit=Edit(prompt="p", target="t"), similarity=0.5)
    [[judged]] = Fixed(scores=[1.0]).judge(["q"], [[candidate]])
    assert (candidate.score, judged.score) == (None, 1.0)


def test_candidates_far_below_the_nearest_are_not_judged() -> None:
    asked: list[str] = []

    class Sure(ScopeClassifier):
        def score_pairs(self, pairs: Any) -> list[float]:
            asked.extend(candidate.edit.id for _, candidate in pairs)
            return [0.9] * len(pairs)

    row = [
        Candidate(edit=Edit(prompt=name, target="t", id=name), similarity=similarity)
        for name, similarity in (("near", 0.8), ("close", 0.7), ("far", 0.5))
    ]
    [judged] = Sure(margin=0.15).judge(["q"], [row])
    assert asked == ["near", "close"]
    assert [(c.edit.id, c.score) for c in judged] == [("near", 0.9), ("close", 0.9), ("far", 0.0)]
