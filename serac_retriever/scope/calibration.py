"""Thresholds that keep false fires within a budget, with a stated confidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field

from serac_retriever.edit import Candidate, Edit
from serac_retriever.errors import CalibrationError
from serac_retriever.models.encoder import encoder_id

Pair = tuple[str, Candidate]
Score = Callable[[Sequence[Pair]], Sequence[float]]
Scores = npt.NDArray[np.float64]
BUDGETS = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.1,
    0.2,
)  # thresholds kept beside one's own
CHUNK = 2048  # queries whose similarities to all prompts are held at once


class Calibration(BaseModel):
    """How a threshold was found, and what it promises.

    Attributes:
        threshold: An edit is in scope when its score is above this.
        max_drawdown: The budget: the share of out-of-scope queries that may fire.
        confidence: How sure it is that the share stays within the budget, on queries like these.
        drawdown: The share that fired, and its one-sided upper bound.
        edit_success: The share of in-scope queries whose best candidate is their own edit and
            fires: what the threshold leaves.
        in_scope: How many in-scope queries there were.
        out_of_scope: How many out-of-scope queries there were.
        edits: How many edits were in memory at once.
        encoder: The encoder whose similarities and neighbours it rests on.
        thresholds: For other budgets the threshold of each, as (max_drawdown, threshold).
    """

    model_config = ConfigDict(frozen=True)

    threshold: float = Field(ge=0, le=1)
    max_drawdown: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    drawdown: float
    drawdown_upper: float
    edit_success: float
    in_scope: int
    out_of_scope: int
    edits: int
    encoder: str
    thresholds: tuple[tuple[float, float], ...] = ()


def calibrate(
    suite: Sequence[Edit],
    score: Score,
    embeddings: Embeddings,
    *,
    max_drawdown: float,
    confidence: float,
    keep_success: float | None,
    k: int,
) -> Calibration:
    """Find the lowest threshold whose false fires are within the budget, with confidence.

    All edits are in memory at once, as when deployed, and each query is judged against its k
    nearest (all of them: a gate leaves out those far below the nearest). The threshold is an order
    statistic of the out-of-scope queries' best scores: with m of n allowed above it, the chance
    that more than ``max_drawdown`` of such queries would fire is P(Binomial(n, max_drawdown) <= m),
    at most ``1 - confidence`` (Wilks' tolerance bound, the same m as Clopper and Pearson's). It
    holds for any score and any distribution, as long as tomorrow's out-of-scope queries are like
    these.

    Raises:
        CalibrationError: The suite is too small for the promise, or has no in-scope queries.
    """
    from scipy.stats import beta

    shares = {"max_drawdown": max_drawdown, "confidence": confidence, "keep_success": keep_success}
    for name, value in shares.items():
        if value is None:
            continue
        if not 0 < value < 1:
            raise CalibrationError(f"Expected {name} between 0 and 1, got {value}.")
    own, inside, outside = _queries(suite)
    allowed = _allowed_fires(len(outside), max_drawdown, confidence)
    if allowed is None or not inside:
        needed = math.ceil(math.log(1 - confidence) / math.log(1 - max_drawdown))
        raise CalibrationError(
            f"Expected at least {needed} out-of-scope queries, to promise a drawdown of "
            f"{max_drawdown:g} with confidence {confidence:g}, and one in scope; got "
            f"{len(outside)} and {len(inside)}. Add queries, or allow more drawdown."
        )
    best, scores = best_scores(suite, inside + outside, score, embeddings, k)
    out_scores = np.sort(scores[len(inside) :])[::-1]
    threshold = float(out_scores[allowed])
    fires = [(b, _allowed_fires(len(outside), b, confidence)) for b in BUDGETS]
    thresholds = tuple((b, float(out_scores[m])) for b, m in fires if m is not None)
    found = best[: len(inside)] == np.array(own)
    if keep_success is not None:
        hit_scores = np.sort(scores[: len(inside)][found])[::-1]
        wanted = math.ceil(keep_success * len(inside))
        if 0 < wanted <= len(hit_scores):  # a higher threshold keeps the promise all the more
            threshold = max(threshold, float(np.nextafter(hit_scores[wanted - 1], 0)))
    hits = (scores[: len(inside)] > threshold) & found
    fired = int((out_scores > threshold).sum())
    return Calibration(
        threshold=threshold,
        max_drawdown=max_drawdown,
        confidence=confidence,
        drawdown=fired / len(outside),
        drawdown_upper=float(beta.ppf(confidence, fired + 1, len(outside) - fired)),
        edit_success=float(hits.mean()),
        in_scope=len(inside),
        out_of_scope=len(outside),
        edits=len(suite),
        encoder=encoder_id(embeddings),
        thresholds=thresholds,
    )


def _allowed_fires(queries: int, max_drawdown: float, confidence: float) -> int | None:
    """Return how many queries may fire so that the promise holds; None where none can."""
    from scipy.stats import binom

    fires = np.arange(queries)
    keeping = fires[binom.cdf(fires, queries, max_drawdown) <= 1 - confidence]
    return int(keeping.max()) if keeping.size else None


def best_scores(
    suite: Sequence[Edit], queries: Sequence[str], score: Score, embeddings: Embeddings, k: int
) -> tuple[npt.NDArray[np.int64], Scores]:
    """Return each query's best-scored edit, as its place in the suite, and that score.

    Every query is compared with every prompt: what an exact vector index would retrieve.
    """
    prompts = _unit(embeddings.embed_documents([edit.prompt for edit in suite]))
    vectors = _unit(embeddings.embed_documents([*queries]))
    k = min(k, len(suite))
    best = np.zeros(len(queries), dtype=np.int64)
    scores = np.zeros(len(queries))
    for start in range(0, len(queries), CHUNK):
        similarity = vectors[start : start + CHUNK] @ prompts.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        pairs = [
            (query, Candidate(edit=suite[i], similarity=float(row[i])))
            for query, row, places in zip(queries[start:], similarity, nearest, strict=False)
            for i in places
        ]
        chunk = np.array(score(pairs)).reshape(len(nearest), k)
        place = chunk.argmax(axis=1)
        best[start : start + CHUNK] = np.take_along_axis(nearest, place[:, None], 1)[:, 0]
        scores[start : start + CHUNK] = chunk.max(axis=1)
    return best, scores


def _queries(suite: Sequence[Edit]) -> tuple[list[int], list[str], list[str]]:
    own, inside, outside = [], [], []
    for place, edit in enumerate(suite):
        own += [place] * len(edit.in_scope)
        inside += [example.query for example in edit.in_scope]
        outside += [example.query for example in edit.out_of_scope]
    return own, inside, outside


def _unit(vectors: Sequence[Sequence[float]]) -> Scores:
    matrix = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: Scores = matrix / np.where(norms == 0, 1, norms)
    return unit
