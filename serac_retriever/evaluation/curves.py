"""What one threshold hides: edit success against drawdown, and whether scores are probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from serac_retriever.edit import Edit
from serac_retriever.evaluation.bench import Bench, Figure, Outcome, figures_of
from serac_retriever.evaluation.metrics import RESAMPLES

POINTS = 200  # of a curve, at most
SUCCESSES = (0.95, 0.97)  # at which the kinds of near miss are compared
BUDGETS = (0.01, 0.1, 0.3)  # of drawdown, at which edit success is told
BINS = 10


class Curve(BaseModel):
    """How a classifier trades edit success for drawdown on one test set, through the real gate.

    Attributes:
        classifier: Its name.
        source: The test set.
        threshold: The classifier's own.
        auc: The chance that an in-scope query's best score is above an out-of-scope one's, in
            [0, 1], with an interval over edits.
        points: (threshold, edit success, drawdown), from the strictest on.
        figures: What holds at its own threshold, by kind of query.
        hits: For a drawdown of at most each of :data:`BUDGETS`, the edit success that is left.
        at_success: At the strictest threshold that leaves each edit success of
            :data:`SUCCESSES`, what holds, by kind of query; of classifiers that can reach it.
    """

    model_config = ConfigDict(frozen=True)

    classifier: str
    source: str
    threshold: float
    auc: Figure
    points: list[tuple[float, float, float]]
    figures: dict[str, Figure]
    hits: dict[str, float]
    at_success: dict[str, dict[str, Figure]]


def curve(bench: Bench, edits: Sequence[Edit], source: str) -> Curve:
    """Ask every query once with a threshold of 0, and tell what any other would have done.

    Args:
        bench: Its scope is the classifier, its system the classifier's name.
        edits: In memory at once, with queries of both kinds.
        source: The test set's name.

    Example:
        >>> from serac_retriever.edit import Example
        >>> from serac_retriever.scope import EmbeddingScope
        >>> edit = Edit(prompt="Who leads Britain?", target="Keir Starmer",
        ...     in_scope=[Example(query="Who is leading Britain?")],
        ...     out_of_scope=[Example(query="Who wrote Emma?")])
        >>> curve(Bench(scope=EmbeddingScope.packaged()), [edit], "one edit").auc.value
        1.0
    """
    label = f"{bench.system}, {source}"
    outcomes = replace(bench, threshold=0.0).ask([edits], label=label)
    # the gate fires above a threshold: just below a score, that query is answered by its edit
    tried = np.unique([0.0, *(np.nextafter(one.score, 0) for one in outcomes), 1.0])[::-1]
    inside = np.sort([one.score for one in outcomes if one.wanted and one.succeeded])
    outside = np.sort([one.score for one in outcomes if not one.wanted and one.changed])
    asked = sum(bool(one.wanted) for one in outcomes)
    success = _above(inside, tried) / max(asked, 1)
    drawdown = _above(outside, tried) / max(len(outcomes) - asked, 1)
    kept = np.unique(np.linspace(0, len(tried) - 1, POINTS).round().astype(int))
    return Curve(
        classifier=bench.system,
        source=source,
        threshold=bench.limit,
        auc=area(outcomes),
        points=[(float(tried[i]), float(success[i]), float(drawdown[i])) for i in kept],
        figures=figures_of(under(outcomes, bench.limit), bench.k),
        hits={f"{b:g}": float(success[drawdown <= b].max(initial=0)) for b in BUDGETS},
        at_success={
            f"{wanted:g}": figures_of(under(outcomes, float(tried[at[0]])), bench.k)
            for wanted in SUCCESSES
            if (at := np.flatnonzero(success >= wanted)).size
        },
    )


def under(outcomes: Sequence[Outcome], threshold: float) -> list[Outcome]:
    """Return outcomes of a threshold of 0 as a higher one would have made them."""
    return [
        one if one.score > threshold else one._replace(answer=one.before[0]) for one in outcomes
    ]


class Reliability(BaseModel):
    """Whether scores are probabilities.

    Attributes:
        source: On what pairs.
        error: The expected calibration error: how far the share in scope is from the mean score,
            averaged over pairs in bins of equal width, in [0, 1].
        bins: (mean score, share in scope, pairs) of each bin that holds any.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    error: Figure
    bins: list[tuple[float, float, int]]


def reliability(scores: Sequence[float], in_scope: Sequence[bool], source: str) -> Reliability:
    """Return the reliability diagram of labelled scores; the interval resamples pairs.

    Example:
        >>> reliability([0.25, 0.25, 0.75, 0.75], [False, False, True, True], "four").error.value
        0.25
    """
    x, y = np.asarray(scores), np.asarray(in_scope, dtype=float)
    drawn = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    errors = [_error([*_bins(x[rows], y[rows])]) for rows in drawn]
    found = [*_bins(x, y)]
    low, high = np.percentile(errors, [2.5, 97.5])
    error = Figure(value=_error(found), interval=(float(low), float(high)), queries=len(x))
    return Reliability(source=source, error=error, bins=found)


def _bins(
    scores: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]
) -> Iterator[tuple[float, float, int]]:
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    means, shares = (np.bincount(place, weights=w, minlength=BINS) for w in (scores, labels))
    for mean, share, count in zip(means, shares, counts, strict=True):
        if count:
            yield float(mean / count), float(share / count), int(count)


def _error(bins: Sequence[tuple[float, float, int]]) -> float:
    total = sum(count for *_, count in bins)
    return sum(abs(mean - share) * count for mean, share, count in bins) / total


def _above(ordered: npt.NDArray[np.float64], tried: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    return len(ordered) - np.searchsorted(ordered, tried, "right")


def area(outcomes: Sequence[Outcome]) -> Figure:
    """Return the AUC of queries' best scores, with an interval over edits."""
    if len({bool(one.wanted) for one in outcomes}) < 2:
        return Figure(value=None, interval=None, queries=len(outcomes))
    _, ranks = np.unique([one.score for one in outcomes], return_inverse=True)
    inside = np.array([bool(one.wanted) for one in outcomes])
    names, edits = np.unique([one.edit for one in outcomes], return_inverse=True)

    def under_curve(weights: npt.NDArray[Any]) -> float:
        """Return the area where each query counts so often: a resampled set needs no new sort."""
        hits, misses = (np.bincount(ranks, weights=weights * kind) for kind in (inside, ~inside))
        below = np.cumsum(misses) - misses / 2  # ties count half
        return float((hits * below).sum() / max(hits.sum() * misses.sum(), 1))

    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    areas = [under_curve(np.bincount(rows, minlength=len(names))[edits]) for rows in drawn]
    low, high = np.percentile(areas, [2.5, 97.5])
    value = under_curve(np.ones(len(outcomes)))
    return Figure(value=value, interval=(float(low), float(high)), queries=len(outcomes))
