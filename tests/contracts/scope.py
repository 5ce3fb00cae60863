"""What every ScopeClassifier must keep to. Written one of your own? Let it run through this.

::

    from tests.contracts.scope import ScopeClassifierContract

    class TestMine(ScopeClassifierContract):
        @pytest.fixture
        def classifier(self):
            return MyScope(...)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

from serac_retriever import Candidate, Edit, ScopeClassifier
from serac_retriever.errors import CalibrationError
from serac_retriever.models.encoder import packaged_encoder

EDITS = (
    Edit(prompt="Who is the UK prime minister?", target="Keir Starmer", id="pm"),
    Edit(prompt="What is the capital of Kazakhstan?", target="Astana", id="capital"),
    Edit(prompt="Wie hoch ist der Everest? 🏔", target="8849 m", id="everest"),
)
QUERIES = ("Who leads Britain?", "Capital of Kazakhstan?", "", "🙂" * 50, "word " * 5000)


def candidates(query: str, edits: Sequence[Edit] = EDITS) -> tuple[Candidate, ...]:
    """Every edit as a candidate for a query, with the packaged encoder's similarity."""
    vectors = packaged_encoder().encode([query, *(edit.prompt for edit in edits)])
    return tuple(
        Candidate(edit=edit, similarity=float(vector @ vectors[0]))
        for edit, vector in zip(edits, vectors[1:], strict=True)
    )


class ScopeClassifierContract:
    """Subclass it and override ``classifier``."""

    @pytest.fixture
    def classifier(self) -> ScopeClassifier:
        """A fresh classifier, ready to judge."""
        raise NotImplementedError("override the fixture `classifier`")

    def test_it_gives_one_probability_a_pair(self, classifier: ScopeClassifier) -> None:
        pairs = [(query, candidate) for query in QUERIES for candidate in candidates(query)]
        scores = [float(score) for score in classifier.score_pairs(pairs)]
        assert len(scores) == len(pairs)
        assert all(0 <= score <= 1 for score in scores)

    def test_a_pairs_score_does_not_depend_on_its_batch(self, classifier: ScopeClassifier) -> None:
        pairs = [(query, candidate) for query in QUERIES[:2] for candidate in candidates(query)]
        together = [float(score) for score in classifier.score_pairs(pairs)]
        alone = [float(score) for pair in pairs for score in classifier.score_pairs([pair])]
        assert together == pytest.approx(alone, abs=1e-4)

    def test_judging_sorts_each_querys_candidates_best_first(
        self, classifier: ScopeClassifier
    ) -> None:
        rows = [candidates(query) for query in QUERIES]
        judged = classifier.judge(QUERIES, rows)
        assert len(judged) == len(rows)
        for before, after in zip(rows, judged, strict=True):
            assert {c.edit.id: c.similarity for c in before} == {
                c.edit.id: c.similarity for c in after
            }
            scores = [candidate.score for candidate in after]
            assert None not in scores
            assert scores == sorted(scores, reverse=True)

    def test_judging_nothing_gives_nothing(self, classifier: ScopeClassifier) -> None:
        assert classifier.judge([], []) == ()
        assert classifier.judge(["alone"], [()]) == ((),)

    def test_a_batch_is_scored_in_one_call(
        self, classifier: ScopeClassifier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[int] = []
        score_pairs = type(classifier).score_pairs

        def counted(self: ScopeClassifier, pairs: Any) -> Any:
            calls.append(len(pairs))
            return score_pairs(self, pairs)

        monkeypatch.setattr(type(classifier), "score_pairs", counted)
        classifier.judge(QUERIES, [candidates(query) for query in QUERIES])
        assert len(calls) == 1  # of those within the margin
        assert len(QUERIES) <= calls[0] <= len(QUERIES) * len(EDITS)

    def test_it_is_saved_and_loaded_with_its_threshold(
        self, classifier: ScopeClassifier, tmp_path: Path
    ) -> None:
        classifier.threshold = 0.875
        again = ScopeClassifier.load(classifier.save(tmp_path / "scope"))
        assert type(again) is type(classifier)
        assert again.threshold == 0.875
        rows = [candidates(QUERIES[0])]
        [[*ours], [*theirs]] = classifier.judge(QUERIES[:1], rows), again.judge(QUERIES[:1], rows)
        assert [c.score for c in ours[0]] == pytest.approx([c.score for c in theirs[0]], abs=1e-5)

    def test_it_re_ranks_other_peoples_documents(self, classifier: ScopeClassifier) -> None:
        from langchain_classic.retrievers.document_compressors import CrossEncoderReranker

        documents = [Document(edit.prompt) for edit in EDITS]
        documents += [Document(""), Document("caf\ud83d")]  # other people's may be anything
        ranked = CrossEncoderReranker(model=classifier, top_n=2).compress_documents(
            documents, "Who leads Britain?"
        )
        assert len(ranked) == 2
        scores = classifier.score([("Who leads Britain?", d.page_content) for d in documents])
        assert scores[documents.index(ranked[0])] == max(scores)

    def test_too_few_queries_to_calibrate_on_are_refused(self, classifier: ScopeClassifier) -> None:
        before = classifier.threshold
        with pytest.raises(CalibrationError, match="at least 299"):
            classifier.calibrate(EDITS, max_drawdown=0.01)
        assert classifier.threshold == before
