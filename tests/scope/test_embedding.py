"""EmbeddingScope: a logistic curve over the cosine."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Candidate, Edit, EmbeddingScope
from serac_retriever.errors import CalibrationError

EDIT = Edit(prompt="p", target="t")


def score(scope: EmbeddingScope, cosine: float) -> float:
    return scope.score_pairs([("q", Candidate(edit=EDIT, similarity=cosine))])[0]


def test_the_score_is_one_half_at_the_midpoint() -> None:
    assert score(EmbeddingScope(midpoint=0.6), 0.6) == pytest.approx(0.5)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.01, 1e6))
def test_a_higher_cosine_is_never_less_probable(one: float, other: float, slope: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = (score(EmbeddingScope(slope=slope), c) for c in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_the_packaged_one_is_calibrated_for_the_packaged_encoder() -> None:
    scope = EmbeddingScope.packaged()
    assert scope.calibration is not None
    assert scope.calibration.encoder == "all-MiniLM-L6-v2"
    assert scope.threshold == scope.calibration.threshold
    assert scope.calibration.drawdown_upper <= 0.005
    assert score(scope, 0.95) > scope.threshold > score(scope, 0.3)


def test_fitting_recovers_the_curve_that_the_labels_were_drawn_from() -> None:
    random = np.random.default_rng(0)
    cosines = random.uniform(0, 1, 20_000)
    labels = random.uniform(size=20_000) < 1 / (1 + np.exp(-15 * (cosines - 0.55)))
    scope = EmbeddingScope().fit(cosines.tolist(), labels.tolist())
    assert scope.slope == pytest.approx(15, rel=0.1)
    assert scope.midpoint == pytest.approx(0.55, abs=0.02)


def test_fitting_separable_labels_gives_a_curve_that_is_no_step() -> None:
    scope = EmbeddingScope().fit([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [False] * 3 + [True] * 3)
    assert 0.3 < scope.midpoint < 0.7
    assert 0.5 < score(scope, 0.7) < 1
    assert math.isfinite(scope.slope)


def test_fitting_drops_a_calibration_of_the_curve_before() -> None:
    scope = EmbeddingScope.packaged().fit([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert scope.calibration is None
    assert scope.threshold == 0.5


@pytest.mark.parametrize(
    ("cosines", "labels"),
    [
        ([], []),
        ([0.5], [True]),
        ([0.5, 0.6], [False, False]),
        ([0.5, 0.6], [True]),
        ([0.5, math.nan], [True, False]),
        ([0.9, 0.8, 0.1, 0.2], [False, False, True, True]),
    ],
)
def test_labels_that_teach_nothing_are_refused(cosines: list[float], labels: list[bool]) -> None:
    with pytest.raises(CalibrationError):
        EmbeddingScope().fit(cosines, labels)
