"""Calibration: a threshold, and a promise about false fires that holds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings

from serac_retriever import Edit, EmbeddingScope, Example
from serac_retriever.errors import CalibrationError
from serac_retriever.scope.calibration import Calibration, best_scores


class Angles(Embeddings):
    """Texts are numbers in [0, 1], embedded so that their cosine to "0" is just that number."""

    encoder_id = "angles"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        cosine = 1.0 if text == "edit" else float(text)
        return [cosine, math.sqrt(max(0.0, 1 - cosine * cosine))]


def suite(inside: list[float], outside: list[float]) -> list[Edit]:
    """One edit, and queries with the given cosines to it."""
    return [
        Edit(
            prompt="edit",
            target="t",
            in_scope=tuple(Example(query=repr(cosine)) for cosine in inside),
            out_of_scope=tuple(Example(query=repr(cosine)) for cosine in outside),
        )
    ]


def draws(seed: int, n: int) -> list[float]:
    values: list[float] = np.random.default_rng(seed).uniform(0, 0.9, n).tolist()
    return values


def test_the_promise_holds_as_often_as_it_says() -> None:
    """Out-of-scope cosines are uniform in [0, 0.9], so the true share that fires is known."""
    kept = 0
    trials = 300
    for trial in range(trials):
        scope = EmbeddingScope(slope=4)
        scope.calibrate(suite([0.99], draws(trial, 120)), 0.05, confidence=0.9, embeddings=Angles())
        cosine = scope.midpoint + math.log(scope.threshold / (1 - scope.threshold)) / scope.slope
        kept += (0.9 - cosine) / 0.9 <= 0.05
    # 0.9 and four standard errors; and not needlessly strict: 120 queries could promise 0.94
    assert 0.9 - 4 * math.sqrt(0.09 / trials) <= kept / trials <= 0.99


def test_the_threshold_is_the_lowest_that_keeps_the_promise() -> None:
    outside = draws(1, 500)
    scope = EmbeddingScope(slope=4)
    found = scope.calibrate(suite([0.99], outside), 0.02, embeddings=Angles())
    assert found.drawdown_upper <= 0.02
    fires = round(found.drawdown * 500)
    assert fires == 4  # P(Binomial(500, 0.02) <= 4) = 0.029, of 5 it is 0.066
    assert found.threshold == scope.threshold


def test_the_report_says_what_was_found_and_what_it_rests_on() -> None:
    scope = EmbeddingScope(slope=4)
    found = scope.calibrate(
        suite([0.99, 0.98, 0.97, 0.1], draws(1, 400)), 0.01, embeddings=Angles()
    )
    assert found == scope.calibration
    assert (found.in_scope, found.out_of_scope, found.edits) == (4, 400, 1)
    assert found.edit_success == 0.75
    assert found.encoder == "angles"
    assert (found.max_drawdown, found.confidence) == (0.01, 0.95)


@given(
    st.sampled_from([0.5, 0.1, 0.05, 0.01, 0.005]),
    st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99, 0.19, 1 - 0.9**5]),
)
@settings(deadline=None)
def test_too_few_queries_are_refused_with_the_number_that_is_needed(
    max_drawdown: float, confidence: float
) -> None:
    needed = math.ceil(round(math.log(1 - confidence) / math.log(1 - max_drawdown), 9))

    def calibrate(n: int) -> None:
        EmbeddingScope(slope=4).calibrate(
            suite([0.99], draws(2, n)), max_drawdown, confidence=confidence, embeddings=Angles()
        )

    with pytest.raises(CalibrationError, match=f"at least {needed} out-of-scope"):
        calibrate(needed - 1)
    calibrate(needed)


def test_a_suite_without_in_scope_queries_is_refused() -> None:
    with pytest.raises(CalibrationError, match="one in scope"):
        EmbeddingScope().calibrate(suite([], draws(1, 400)), embeddings=Angles())
    with pytest.raises(CalibrationError):
        EmbeddingScope().calibrate([], embeddings=Angles())


@pytest.mark.parametrize("wrong", [0, 1, -0.1, 1.5, math.nan])
@pytest.mark.parametrize("name", ["max_drawdown", "confidence", "keep_success"])
def test_shares_that_are_none_are_refused(name: str, wrong: float) -> None:
    with pytest.raises(CalibrationError, match=f"Expected {name} between 0 and 1"):
        EmbeddingScope().calibrate(
            suite([0.99], draws(1, 400)), embeddings=Angles(), **{name: wrong}
        )


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
def test_keep_success_only_ever_raises_the_threshold_and_keeps_that_share(keep: float) -> None:
    inside = np.random.default_rng(3).uniform(0.5, 1, 200).tolist()
    data = suite(inside, draws(1, 400))
    plain = EmbeddingScope(slope=4).calibrate(data, 0.05, embeddings=Angles())
    kept = EmbeddingScope(slope=4).calibrate(data, 0.05, keep_success=keep, embeddings=Angles())
    assert kept.threshold >= plain.threshold
    assert kept.drawdown_upper <= 0.05
    assert kept.edit_success == min(plain.edit_success, keep)


def test_a_hit_counts_only_where_the_querys_own_edit_is_the_best() -> None:
    out = tuple(Example(query=repr(cosine)) for cosine in draws(1, 400))
    own = Edit(prompt="0.99", target="a", id="a", in_scope=(Example(query="1.0"),))
    other = Edit(prompt="edit", target="b", id="b", out_of_scope=out)
    found = EmbeddingScope(slope=4).calibrate([own, other], embeddings=Angles())
    assert found.edit_success == 0


def test_calibrating_saves_the_threshold_with_the_classifier(tmp_path: Path) -> None:
    scope = EmbeddingScope(slope=4)
    found = scope.calibrate(suite([0.99], draws(1, 400)), embeddings=Angles())
    again = EmbeddingScope.load(scope.save(tmp_path))
    assert again.threshold == found.threshold
    assert again.calibration == found


def test_every_query_is_compared_with_every_prompt_in_the_end() -> None:
    suite_of_many = [Edit(prompt=repr(i / 5000), target="t", id=str(i)) for i in range(10)]
    queries = [repr(i / 5000) for i in range(5000)]  # more than are held at once
    best, scores = best_scores(
        suite_of_many,
        queries,
        lambda pairs: [candidate.similarity for _, candidate in pairs],
        Angles(),
        k=1,
    )
    assert best[:10].tolist() == list(range(10))
    assert set(best[10:]) == {9}
    assert scores[:10] == pytest.approx([1.0] * 10)
    assert len(scores) == 5000


# -- other budgets than one's own -------------------------------------------------------------


def test_a_budget_moves_the_threshold_without_calibrating_anew() -> None:
    scope = EmbeddingScope(threshold=0.5, calibration=_calibrated((0.005, 0.9), (0.01, 0.8)))
    assert scope.threshold_for(0.005) == 0.9
    assert scope.threshold_for(0.007) == 0.9  # the next stricter one that was kept
    assert scope.threshold_for(0.5) == 0.8
    assert scope.threshold == 0.5


@pytest.mark.parametrize("scope", [EmbeddingScope(), EmbeddingScope(calibration=None)])
def test_a_budget_nobody_calibrated_for_is_refused(scope: EmbeddingScope) -> None:
    with pytest.raises(CalibrationError, match="none is kept"):
        scope.threshold_for(0.01)


def _calibrated(*thresholds: tuple[float, float]) -> Calibration:
    return Calibration(
        threshold=0.8, max_drawdown=0.01, confidence=0.95, drawdown=0.0, drawdown_upper=0.01,
        edit_success=1.0, in_scope=1, out_of_scope=299, edits=1, encoder="all-MiniLM-L6-v2",
        thresholds=thresholds,
    )  # fmt: skip
