"""Run the real gate over a suite and count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict

from serac_retriever.edit import Edit
from serac_retriever.evaluation.bench import (
    Bench,
    by_tag,
    default_counterfactual,
    default_scope,
    grouped,
)
from serac_retriever.evaluation.metrics import Interval, interval, percentiles, share
from serac_retriever.scope import ScopeClassifier


class Report(BaseModel):
    """What an evaluation found.

    Attributes:
        edits: Edits in memory at once.
        groups: How often so many were loaded: consecutive groups cover the file.
        edit_success: Share of in-scope queries answered as the edit wants, by exact match.
        edit_success_ci: Its exact 95 % interval.
        drawdown: Share of out-of-scope queries whose answer is not the base's: of ``all``, and by
            tag.
        drawdown_ci: Their exact 95 % intervals.
        recall_at_k: Share of in-scope queries whose edit was among the k retrieved.
        k: How many were retrieved.
        threshold: The scope classifier's.
        latency_ms: Of one answer through the gate, its base costing nothing: ``p50`` and ``p95``.
        embedding_ms: Of embedding the query, within that.
        queries: How many queries each figure rests on.
    """

    model_config = ConfigDict(frozen=True)

    edits: int
    groups: int
    edit_success: float | None
    edit_success_ci: Interval
    drawdown: dict[str, float | None]
    drawdown_ci: dict[str, Interval]
    recall_at_k: float | None
    k: int
    threshold: float
    latency_ms: dict[str, float]
    embedding_ms: dict[str, float]
    queries: dict[str, int]


def evaluate(
    suite: Sequence[Edit],
    edits: int | None = None,
    *,
    scope: ScopeClassifier | None = None,
    counterfactual: Runnable[Any, Any] | None = None,
    threshold: float | None = None,
    k: int = 8,
    embeddings: Embeddings | None = None,
    progress: bool = False,
) -> Report:
    """Load edits, ask every query of theirs through the gate, and count.

    An in-scope query wants its recorded answer, or else the edit's target. The base answers with
    each out-of-scope example's recorded answer, or else with a marker that nothing else says.
    Every query is asked by itself, once: latency is that of one answer.

    Args:
        suite: Edits with in-scope and out-of-scope queries.
        edits: How many are in memory at once; the suite is cut into groups of so many (an
            incomplete last one is left out) and figures are over all groups. All at once unless
            given.
        scope: The classifier; the packaged one unless given.
        counterfactual: Any Runnable that takes a ``CounterfactualInput``; the gate's own default
            unless given.
        threshold: Overrides the classifier's.
        k: Candidates a query.
        embeddings: The memory's encoder; the packaged one unless given.
        progress: Show a progress bar on stderr.

    Raises:
        ConfigError: More edits are wanted than the suite has, or it has no queries.

    Example:
        >>> from serac_retriever.edit import Edit, Example
        >>> suite = [Edit(prompt="Who is the UK prime minister?", target="Keir Starmer",
        ...               in_scope=[Example(query="UK prime minister?", answer="Keir Starmer")])]
        >>> evaluate(suite).edit_success
        1.0
    """
    groups = grouped(suite, edits)
    bench = Bench(
        scope=scope or default_scope(),
        counterfactual=counterfactual or default_counterfactual(),
        threshold=threshold,
        k=k,
        embeddings=embeddings,
        batch=1,
        progress=progress,
    )
    outcomes = bench.ask(groups)
    inside = [one for one in outcomes if one.wanted]
    success = [one.succeeded for one in inside]
    tags = by_tag(one for one in outcomes if not one.wanted)
    changes = {"all": [], **{tag: [one.changed for one in found] for tag, found in tags.items()}}
    return Report(
        edits=len(groups[0]),
        groups=len(groups),
        edit_success=share(success),
        edit_success_ci=interval(success),
        drawdown={tag: share(found) for tag, found in changes.items()},
        drawdown_ci={tag: interval(found) for tag, found in changes.items()},
        recall_at_k=share([one.recalled for one in inside]),
        k=k,
        threshold=bench.limit,
        latency_ms=percentiles([one.ms for one in outcomes]),
        embedding_ms=percentiles([one.embedding_ms for one in outcomes]),
        queries={"in_scope": len(inside), **{tag: len(found) for tag, found in changes.items()}},
    )
