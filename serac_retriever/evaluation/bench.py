"""The gate that is measured: edits loaded, every query asked once, what it answered kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from serac_retriever.counterfactual import Reader
from serac_retriever.edit import Candidate, Edit
from serac_retriever.errors import ConfigError
from serac_retriever.evaluation.metrics import (
    Interval,
    bootstrap,
    changed,
    interval,
    share,
    succeeded,
)
from serac_retriever.gate import Serac
from serac_retriever.memory import EditMemory
from serac_retriever.scope import LateInteractionScope, ScopeClassifier

OURS = "SERAC"
MARKER = "\ue000 the base's own answer"  # a private-use character: no counterfactual says it
BATCH = 32  # queries decided together, where no latency is measured


def default_scope() -> ScopeClassifier:
    """Return the scope classifier that is measured unless another is given."""
    return LateInteractionScope.packaged()


def default_counterfactual() -> Runnable[Any, Any]:
    """Return the counterfactual model that is measured unless another is given."""
    return Reader()


class Outcome(NamedTuple):
    """What the gate made of one query.

    Attributes:
        query: What was asked.
        edit: The id of the edit whose query it is.
        tag: What kind of query.
        wanted: In scope, the answers of which any counts; empty out of scope.
        before: What the base answers: of several recorded answers any counts.
        answer: What the gate answered.
        retrieved: Ids of the edits that were retrieved.
        score: The best one's score, in [0, 1].
        ms: Milliseconds to the answer; a batch's are shared equally by its queries.
        embedding_ms: Of these, embedding.
    """

    query: str
    edit: str
    tag: str
    wanted: tuple[str, ...]
    before: tuple[str, ...]
    answer: str = ""
    retrieved: frozenset[str] = frozenset()
    score: float = 0.0
    ms: float = 0.0
    embedding_ms: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the answer is one the edit wants."""
        return succeeded(self.answer, self.wanted)

    @property
    def changed(self) -> bool:
        """Whether the answer is not the base's."""
        return changed(self.answer, self.before)

    @property
    def recalled(self) -> bool:
        """Whether the query's edit was among the retrieved."""
        return self.edit in self.retrieved


@dataclass(frozen=True)
class Bench:
    """The parts of the gate that is measured, and how its base answers.

    Attributes:
        scope: The scope classifier.
        counterfactual: Answers in scope.
        threshold: Overrides the classifier's.
        k: Candidates a query.
        embeddings: The memory's encoder; the packaged one unless given.
        base: What the base answers to a query. Where a query is not in it: out of scope the
            example's recorded answer; else a marker that nothing else says.
        batch: Queries decided together; 1 measures the latency of a single answer.
        progress: Show a progress bar on stderr.
        system: What it is called in results.
    """

    scope: ScopeClassifier = field(default_factory=default_scope)
    counterfactual: Runnable[Any, Any] = field(default_factory=default_counterfactual)
    threshold: float | None = None
    k: int = 8
    embeddings: Embeddings | None = None
    base: Mapping[str, str] = field(default_factory=dict)
    batch: int = BATCH
    progress: bool = False
    system: str = OURS

    @property
    def limit(self) -> float:
        """The threshold that holds."""
        return self.scope.threshold if self.threshold is None else self.threshold

    def affordable(self, groups: Sequence[Sequence[Edit]]) -> Sequence[Sequence[Edit]]:
        """Return the groups that are measured: all of them."""
        return groups

    def ask(
        self, groups: Sequence[Sequence[Edit]], filler: Sequence[Edit] = (), label: str = "Asking"
    ) -> list[Outcome]:
        """Load each group of edits in turn and ask every query of theirs through the real gate.

        Args:
            groups: Edits with queries.
            filler: Edits in memory beside each group, whose queries are not asked.
            label: Of the progress bar.
        """
        outcomes: list[Outcome] = []
        total = sum(len(e.in_scope) + len(e.out_of_scope) for group in groups for e in group)
        with progress_bar(self.progress) as bar:
            asking = bar.add_task(label, total=total)
            for group in groups:
                with self._gate([*group, *filler]) as chain:
                    queries = [*self.queries(group)]
                    for start in range(0, len(queries), self.batch):
                        part = queries[start : start + self.batch]
                        outcomes += _answered(chain, part)
                        bar.advance(asking, len(part))
        return outcomes

    @contextmanager
    def _gate(self, edits: Sequence[Edit]) -> Iterator[Serac]:
        """Hold a group of edits in an embedded memory of its own, gone afterwards."""
        import chromadb

        name = f"serac-eval-{uuid4().hex[:12]}"
        client = chromadb.EphemeralClient()
        memory = EditMemory(client=client, collection=name, embeddings=self.embeddings)
        # a suite's edits are all meant to fire, whatever their dates say today
        active = {"status": "active", "valid_from": None, "valid_until": None}
        try:
            memory.add_many([edit.model_copy(update=active) for edit in edits])
            yield Serac(
                base=RunnableLambda(lambda asked: asked["base"]),
                memory=memory,
                scope=self.scope,
                counterfactual=self.counterfactual,
                threshold=self.threshold,
                k=self.k,
                output="text",
                on_error="raise",
            )
        finally:
            for stored in (name, f"{name}-inactive"):
                client.delete_collection(stored)

    def queries(self, edits: Iterable[Edit]) -> Iterator[Outcome]:
        """Yield each query as an outcome that has no answer yet."""
        for edit in edits:
            for example in edit.in_scope:
                # the answer recorded in scope is the edit's: what the base would say is not known
                before: tuple[str, ...] = (self.base.get(example.query, MARKER),)
                wanted = example.answers or (edit.target,)
                yield Outcome(example.query, edit.id, example.tag or "untagged", wanted, before)
            for example in edit.out_of_scope:
                known = self.base.get(example.query)
                before = (known,) if known is not None else example.answers or (MARKER,)
                yield Outcome(example.query, edit.id, example.tag or "untagged", (), before)


def progress_bar(shown: bool) -> Progress:
    """Return a bar on stderr, or one that does not show."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)


def grouped(suite: Sequence[Edit], size: int | None) -> list[Sequence[Edit]]:
    """Cut a suite into groups of so many edits; an incomplete last one is left out.

    Raises:
        ConfigError: More edits are wanted than the suite has, or it has no queries.
    """
    size = len(suite) if size is None else size
    if not 1 <= size <= len(suite):
        raise ConfigError(f"Expected 1 to {len(suite)} edits at once, the suite's; got {size}.")
    if not any(edit.in_scope or edit.out_of_scope for edit in suite):
        raise ConfigError("Expected edits with in_scope or out_of_scope queries; got none.")
    return [suite[start : start + size] for start in range(0, len(suite) - size + 1, size)]


def by_tag(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Group outcomes by the kind of their query; ``all`` comes first."""
    tags: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        tags["all"].append(one)
        tags[one.tag].append(one)
    return tags


class Figure(BaseModel):
    """A share with its 95 % interval, and how many queries it rests on.

    The interval is exact where no edit has two of the queries; else, and where the share is
    neither 0 nor 1, edits are resampled (:func:`bootstrap`).
    """

    model_config = ConfigDict(frozen=True)

    value: float | None
    interval: Interval
    queries: int

    @classmethod
    def of(cls, outcomes: Iterable[bool], edits: Iterable[str] = ()) -> Figure:
        """Return the share of true outcomes as a figure; ``edits`` tells whose queries they are."""
        found = [*outcomes]
        by_edit: dict[str, list[float]] = defaultdict(list)
        for one, edit in zip(found, edits, strict=False):
            by_edit[edit].append(one)
        alike = 0 < len(by_edit) < len(found) and len({*found}) == 2
        limits = bootstrap(by_edit.values()) if alike else interval(found)
        return cls(value=share(found), interval=limits, queries=len(found))


class TaskResult(BaseModel):
    """What one task found in one setting.

    Attributes:
        task: Its name, as ``serac eval --task`` takes it.
        setting: On what data, with how many edits at once.
        system: What was measured: ours, or a baseline.
        edits: Edits in memory at once; None where a figure needs no memory.
        groups: How often so many were loaded.
        k: How many were retrieved.
        threshold: The scope classifier's.
        figures: By name: ``edit success``, ``drawdown``, ``recall@8``; these of one kind of query
            after a comma, as in ``drawdown, negation``.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    setting: str
    edits: int | None
    groups: int
    k: int
    threshold: float
    figures: dict[str, Figure]
    system: str = OURS


def figures_of(outcomes: Sequence[Outcome], k: int) -> dict[str, Figure]:
    """Return edit success, drawdown and recall@k of outcomes, and the first two by tag."""
    figures: dict[str, Figure] = {}
    inside = by_tag(one for one in outcomes if one.wanted)
    outside = by_tag(one for one in outcomes if not one.wanted)
    for name, tags in (("edit success", inside), ("drawdown", outside)):
        for tag, found in tags.items():
            if tag == "all" or len(tags) > 2:  # of one kind only, all says it
                label = name if tag == "all" else f"{name}, {tag}"
                figures[label] = Figure.of(
                    (one.succeeded if one.wanted else one.changed for one in found),
                    (one.edit for one in found),
                )
    if any(one.retrieved for one in inside["all"]):
        figures[f"recall@{k}"] = Figure.of(one.recalled for one in inside["all"])
    return figures


def _answered(chain: Serac, asked: Sequence[Outcome]) -> list[Outcome]:
    """Ask a batch once; what was retrieved for each comes from the steps of that same run."""
    steps = [_Steps() for _ in asked]
    inputs = [{"query": one.query, "base": one.before[0]} for one in asked]
    configs: list[Any] = [{"callbacks": [one]} for one in steps]
    began = perf_counter()
    if len(asked) == 1:  # not a batch of one: its latency is that of an answer as people ask
        answers = [chain.invoke(inputs[0], configs[0])]
    else:
        answers = chain.batch(inputs, configs)
    spent = (perf_counter() - began) * 1000
    return [
        one._replace(
            answer=answer,
            retrieved=frozenset(candidate.edit.id for candidate in step.candidates),
            score=max((candidate.score or 0.0 for candidate in step.candidates), default=0.0),
            ms=spent / len(asked),
            embedding_ms=step.embedding_ms / len(asked),
        )
        for one, answer, step in zip(asked, answers, steps, strict=True)
    ]


class _Steps(BaseCallbackHandler):
    """Listens to the gate's own steps, so that nothing is asked twice."""

    raise_error = True

    def __init__(self) -> None:
        self.candidates: Sequence[Candidate] = ()
        self.embedding_ms = 0.0
        self._names: dict[UUID, tuple[str, float]] = {}

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **about: Any) -> None:
        self._names[run_id] = about.get("name") or "", perf_counter()

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **about: Any) -> None:
        name, began = self._names.pop(run_id)
        if name == "serac:embed":
            self.embedding_ms = (perf_counter() - began) * 1000
        elif name == "serac:scope":
            self.candidates = outputs
