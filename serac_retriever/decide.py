"""The decision: find the query, retrieve the nearest edits, judge which are in scope."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Literal, TypeVar

from langchain_core.callbacks import CallbackManagerForChainRun
from langchain_core.callbacks.manager import dispatch_custom_event
from langchain_core.runnables import Runnable, RunnableConfig, patch_config

from serac_retriever.edit import Candidate, Decision
from serac_retriever.memory import EditMemory
from serac_retriever.scope import ScopeClassifier
from serac_retriever.shapes import messages_of, query_of, text_of
from serac_retriever.steps import Call, Plan, Work, children, traced

logger = logging.getLogger("serac_retriever.gate")
Run = CallbackManagerForChainRun
OnError = Literal["base", "raise"]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Decider:
    """Decides for a whole batch at once; the attributes are :class:`Serac`'s own."""

    memory: EditMemory
    scope: ScopeClassifier
    k: int
    max_edits: int
    limit_of: Callable[[RunnableConfig], float]
    query_from: Callable[[Any], str] | None
    contextualize: Runnable[Any, Any] | None
    on_error: OnError

    def decide(
        self, inputs: Sequence[Any], runs: Sequence[Run | None], configs: Sequence[RunnableConfig]
    ) -> Plan[list[Decision | Exception]]:
        """Decide for each input; an input without a query spoils no other's decision.

        Returns:
            A decision for each input. Under ``on_error="raise"``, the error where one failed.
        """
        started = perf_counter()
        queries = yield from self._queries(inputs, runs, configs)
        limits = [_or_error(self.limit_of, config) for config in configs]
        decisions: list[Decision | Exception] = [
            limit
            if isinstance(limit, Exception)
            else _base_answers(query, limit, "no query: not the user's turn, or blank")
            if isinstance(query, str)
            else query
            for query, limit in zip(queries, limits, strict=True)
        ]
        asked = {
            i: q
            for i, q in enumerate(queries)
            if isinstance(q, str) and q.strip() and not isinstance(decisions[i], Exception)
        }
        judged: Sequence[Decision | Exception]
        try:
            judged = yield Work(
                lambda: self._judge(
                    [*asked.values()], [limits[i] for i in asked], [runs[i] for i in asked], started
                )
            )
        except Exception as error:
            judged = [error] * len(asked)
        for place, decision in zip(asked, judged, strict=True):
            decisions[place] = decision
        if self.on_error == "base":
            yield from self._fall_back(decisions, asked, runs)
        return decisions

    def _queries(
        self, inputs: Sequence[Any], runs: Sequence[Run | None], configs: Sequence[RunnableConfig]
    ) -> Plan[list[str | Exception]]:
        queries = [_or_error(query_of, one, self.query_from) for one in inputs]
        if self.contextualize is None:
            return queries
        talks: dict[int, Any] = {  # a history that is none leaves the query as it stands
            i: _or_error(messages_of, inputs[i])
            for i, query in enumerate(queries)
            if isinstance(query, str) and query.strip()
        }
        follow_ups = [i for i, talk in talks.items() if isinstance(talk, list) and len(talk) > 1]
        name = "serac:contextualize"
        inner = children([configs[i] for i in follow_ups], [runs[i] for i in follow_ups], name)
        rewritten = yield Call(
            self.contextualize,
            [talks[i] for i in follow_ups],
            [patch_config(config, run_name=name) for config in inner],
        )
        for place, query in zip(follow_ups, rewritten, strict=True):
            failed = isinstance(query, Exception)
            queries[place] = query if failed else _or_error(text_of, query)
        return queries

    def _judge(
        self, queries: list[str], limits: list[Any], runs: Sequence[Run | None], started: float
    ) -> list[Decision]:
        if not queries:
            return []
        laps = {"query": (perf_counter() - started) * 1000}

        @contextmanager
        def step(name: str) -> Iterator[list[Any]]:
            begun = perf_counter()
            with traced(f"serac:{name}", queries, runs) as results:
                yield results
            laps[name] = (perf_counter() - begun) * 1000

        with step("embed") as results:
            vectors = self.memory.embed(queries)
            results += [f"{len(vector)} numbers" for vector in vectors]
        with step("retrieve") as results:
            retrieved = self.memory.nearest(vectors, self.k)
            results += [[candidate.edit.id for candidate in row] for row in retrieved]
        with step("scope") as results:
            judged = self.scope.judge(queries, retrieved)
            results.extend(judged)
        timings = {name: spent / len(queries) for name, spent in laps.items()}
        return [
            self._decision(query, candidates, limit, timings)
            for query, candidates, limit in zip(queries, judged, limits, strict=True)
        ]

    def _decision(
        self, query: str, candidates: Sequence[Candidate], limit: float, timings: dict[str, float]
    ) -> Decision:
        chosen = [c for c in candidates if c.score is not None and c.score > limit]
        best = candidates[0] if candidates else None
        if best is None:
            reason = "the memory holds no edit that could fire"
        else:
            relation = "is above" if chosen else "is not above"
            reason = f"'{best.edit.id}' scored {best.score:.3f}, which {relation} {limit:.3f}"
        return Decision(
            query=query,
            candidates=tuple(candidates),
            threshold=limit,
            edits=tuple(c.edit for c in chosen[: self.max_edits]),
            reason=reason,
            timings_ms=timings,
        )

    def _fall_back(
        self,
        decisions: list[Decision | Exception],
        asked: dict[int, str],
        runs: Sequence[Run | None],
    ) -> Plan[None]:
        """Replace errors by decisions for the base, and report each error once."""
        failed = [(i, found) for i, found in enumerate(decisions) if isinstance(found, Exception)]
        for error in {id(error): error for _, error in failed}.values():
            places = [i for i, found in failed if found is error]
            yield Work(partial(report, error, [runs[i] for i in places]))
            for place in places:
                reason = "the gate failed, so the base answers"
                decisions[place] = _base_answers(asked.get(place, ""), 1, reason, _told(error))


def _base_answers(query: str, limit: float, reason: str, error: str | None = None) -> Decision:
    return Decision(query=query, threshold=limit, reason=reason, error=error)


def report(error: Exception, runs: Sequence[Run | None]) -> None:
    """Tell the log, and whoever listens to the runs, that the gate failed."""
    logger.warning("The gate failed, so the base answers. %s", _told(error))
    for run in runs:
        if run is not None:
            dispatch_custom_event(
                "serac_error", {"error": _told(error)}, config={"callbacks": run.get_child()}
            )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _or_error(find: Callable[..., Found], *given: Any) -> Found | Exception:
    try:
        return find(*given)
    except Exception as error:
        return error
