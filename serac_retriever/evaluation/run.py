"""Run the real gate over a suite and count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from uuid import uuid4

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from serac_retriever.edit import Edit
from serac_retriever.errors import ConfigError
from serac_retriever.evaluation.metrics import interval, is_match, percentiles, share
from serac_retriever.gate import Serac
from serac_retriever.memory import EditMemory
from serac_retriever.scope import EmbeddingScope, ScopeClassifier

MARKER = "\ue000 the base's own answer"  # a private-use character: no counterfactual says it
Interval = tuple[float, float] | None


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


@dataclass
class _Outcomes:
    success: list[bool] = field(default_factory=list)
    recalled: list[bool] = field(default_factory=list)
    changed: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    latency: list[float] = field(default_factory=list)
    embedding: list[float] = field(default_factory=list)


def evaluate(
    suite: Sequence[Edit],
    edits: int | None = None,
    *,
    scope: ScopeClassifier | None = None,
    threshold: float | None = None,
    k: int = 8,
    embeddings: Embeddings | None = None,
    progress: bool = False,
) -> Report:
    """Load edits, ask every query of theirs through the gate, and count.

    The base answers with each example's recorded answer, or else with a marker that nothing else
    says. The counterfactual model is ``Verbatim``, so an in-scope answer that is not the target
    counts as a miss.

    Args:
        suite: Edits with in-scope and out-of-scope queries.
        edits: How many are in memory at once; the suite is cut into groups of so many (an
            incomplete last one is left out) and figures are over all groups. All at once unless
            given.
        scope: The classifier; the packaged one unless given.
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
    size = len(suite) if edits is None else edits
    if not 1 <= size <= len(suite):
        raise ConfigError(f"Expected 1 to {len(suite)} edits at once, the suite's; got {size}.")
    if not any(edit.in_scope or edit.out_of_scope for edit in suite):
        raise ConfigError("Expected edits with in_scope or out_of_scope queries; got none.")
    scope = scope or EmbeddingScope.packaged()
    groups = [suite[start : start + size] for start in range(0, len(suite) - size + 1, size)]
    outcomes = _Outcomes()
    bar = Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    with bar:
        total = sum(len(e.in_scope) + len(e.out_of_scope) for group in groups for e in group)
        asking = bar.add_task("Asking", total=total)
        for group in groups:
            with _loaded(group, embeddings) as memory:
                chain = Serac(
                    base=RunnableLambda(lambda asked: asked["recorded"]),
                    memory=memory,
                    scope=scope,
                    threshold=threshold,
                    k=k,
                    output="text",
                    on_error="raise",
                )
                for edit in group:
                    _ask(chain, edit, outcomes)
                    bar.advance(asking, len(edit.in_scope) + len(edit.out_of_scope))
    limit = scope.threshold if threshold is None else threshold
    return _report(outcomes, size, len(groups), k, limit)


@contextmanager
def _loaded(edits: Sequence[Edit], embeddings: Embeddings | None) -> Iterator[EditMemory]:
    """Hold one group of edits in an embedded memory of its own, gone afterwards."""
    import chromadb

    name = f"serac-eval-{uuid4().hex[:12]}"
    memory = EditMemory(client=chromadb.EphemeralClient(), collection=name, embeddings=embeddings)
    # a suite's edits are all meant to fire, whatever their dates say today
    active = {"status": "active", "valid_from": None, "valid_until": None}
    try:
        memory.add_many([edit.model_copy(update=active) for edit in edits])
        yield memory
    finally:
        for stored in (name, f"{name}-inactive"):
            memory.client.delete_collection(stored)


def _ask(chain: Serac, edit: Edit, outcomes: _Outcomes) -> None:
    for example in edit.in_scope:
        # the answer recorded in scope is the edit's: what the base would say is not known
        answer, retrieved = _answer(chain, example.query, MARKER, outcomes)
        outcomes.success.append(is_match(answer, example.answers or (edit.target,)))
        outcomes.recalled.append(edit.id in retrieved)
    for example in edit.out_of_scope:
        in_base = example.answers or (MARKER,)
        answer, _ = _answer(chain, example.query, in_base[0], outcomes)
        changed = not is_match(answer, in_base)
        outcomes.changed[example.tag or "untagged"].append(changed)


def _answer(chain: Serac, query: str, in_base: str, outcomes: _Outcomes) -> tuple[str, set[str]]:
    asked = {"query": query, "recorded": in_base}
    began = perf_counter()
    answer = chain.invoke(asked)
    outcomes.latency.append((perf_counter() - began) * 1000)
    decision = chain.decide(asked)
    outcomes.embedding.append(decision.timings_ms.get("embed", 0.0))
    return answer, {candidate.edit.id for candidate in decision.candidates}


def _report(outcomes: _Outcomes, size: int, groups: int, k: int, threshold: float) -> Report:
    by_tag = {"all": [one for tag in outcomes.changed.values() for one in tag], **outcomes.changed}
    counts = {"in_scope": len(outcomes.success)}
    return Report(
        edits=size,
        groups=groups,
        edit_success=share(outcomes.success),
        edit_success_ci=interval(outcomes.success),
        drawdown={tag: share(found) for tag, found in by_tag.items()},
        drawdown_ci={tag: interval(found) for tag, found in by_tag.items()},
        recall_at_k=share(outcomes.recalled),
        k=k,
        threshold=threshold,
        latency_ms=percentiles(outcomes.latency),
        embedding_ms=percentiles(outcomes.embedding),
        queries={**counts, **{tag: len(found) for tag, found in by_tag.items()}},
    )
