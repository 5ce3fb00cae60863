"""Serac, the gate: decide; then an edit answers, or the base does (the paper's figure 2)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableLambda,
    RunnableSerializable,
    ensure_config,
)
from langchain_core.runnables.base import coerce_to_runnable
from langchain_core.runnables.graph import Graph
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from pydantic import ConfigDict, Field, field_validator, model_validator

from serac_retriever.counterfactual import Reader, Verbatim, given_to
from serac_retriever.decide import Decider, OnError, Run, report
from serac_retriever.edit import Decision
from serac_retriever.errors import ConfigError
from serac_retriever.memory import EditMemory
from serac_retriever.models.encoder import encoder_id
from serac_retriever.scope import LateInteractionScope, ScopeClassifier
from serac_retriever.shapes import OutputShape, Shape, output_shape
from serac_retriever.steps import Call, Plan, Work, carry_out, carry_out_async, children

logger = logging.getLogger(__name__)
MAX_DRAWDOWN = ConfigurableFieldSpec(
    id="max_drawdown",
    annotation=float,
    name="Largest drawdown",
    description="The share of near misses that may fire; moves the threshold for one run.",
)
BASE, EDITED = "serac:base", "serac:counterfactual"  # tags of the branch that answers


class Serac(RunnableSerializable[Any, Any]):
    """Wraps a chain so that stored edits answer what they are meant for, and nothing else changes.

    A LangChain Runnable with the base's input and output. Of the two branches only the chosen one
    runs, and its chunks are what streams. A batch costs one embedding call, one Chroma query and
    one call of the scope classifier.

    Attributes:
        base: The chain to patch: any Runnable. It gets its input unchanged.
        memory: The edits.
        scope: Judges which of the retrieved edits are in scope.
        counterfactual: Answers in place of the base: any Runnable that takes a
            :class:`CounterfactualInput`. An edit of mode ``verbatim`` is said as it stands.
        k: How many edits are retrieved for a query.
        max_edits: How many edits in scope reach the counterfactual model together (the paper: 1).
        threshold: Overrides the classifier's own; an edit is in scope when its score is above it.
            ``with_config(configurable={"max_drawdown": 0.005})`` moves it for a run instead.
        query_from: Takes the query out of an input of your own shape.
        contextualize: A Runnable from messages to a query, for follow-up turns ("and in 2020?").
        output: What the base answers with, where it cannot be told from the base itself.
        answer_key: The key of the answer, where the base answers with a dict.
        on_error: ``base``: whatever fails in here is logged and the base answers. ``raise``: it
            is raised. The base's own errors are always its own.

    Raises:
        ConfigError: The base's answers are of a type that an edit cannot take on, or which key of
            a dict holds them is unknown; or the counterfactual model is a bare language model.

    Example:
        >>> import chromadb
        >>> from langchain_core.runnables import RunnableLambda
        >>> memory = EditMemory(client=chromadb.EphemeralClient(), collection="doc-gate")
        >>> _ = memory.add("Who is the UK prime minister?", "Keir Starmer")
        >>> chain = Serac(base=RunnableLambda(lambda question: "Ask me later."), memory=memory)
        >>> chain.invoke("Who's the current British PM?")
        'Keir Starmer'
        >>> chain.invoke("Who wrote Emma?")
        'Ask me later.'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    base: Runnable[Any, Any]
    memory: EditMemory
    scope: ScopeClassifier = Field(default_factory=LateInteractionScope.packaged)
    counterfactual: Runnable[Any, Any] = Field(default_factory=Reader)
    k: int = Field(default=8, ge=1)
    max_edits: int = Field(default=1, ge=1)
    threshold: float | None = Field(default=None, ge=0, le=1)
    query_from: Callable[[Any], str] | None = None
    contextualize: Runnable[Any, Any] | None = None
    output: Shape = "auto"
    answer_key: str | None = None
    on_error: OnError = "base"

    @field_validator("base", "counterfactual", "contextualize", mode="before")
    @classmethod
    def _as_runnable(cls, value: Any) -> Any:
        return value if value is None else coerce_to_runnable(value)

    @model_validator(mode="after")
    def _parts_fit(self) -> Serac:
        if isinstance(self.counterfactual, BaseLanguageModel):
            raise ConfigError(
                "Expected counterfactual= to take the edit, got a bare model, which does not know "
                "of it. Wrap it: Prompted(model)."
            )
        self._shape  # noqa: B018  (an answer nobody could place is found out now, not in production)
        made_for = self.scope.calibration and self.scope.calibration.encoder
        mine = encoder_id(self.memory.embeddings)
        if self.threshold is None and made_for and made_for != mine:
            logger.warning(
                "The threshold of %s was calibrated for encoder '%s', the memory's is '%s': "
                "calibrate it anew.", type(self.scope).__name__, made_for, mine,
            )  # fmt: skip
        return self

    # -- deciding --------------------------------------------------------------------------

    def decide(self, input: Any, config: RunnableConfig | None = None) -> Decision:
        """Say what would answer this input, and why; neither branch runs.

        Raises:
            SeracError: Under ``on_error="raise"``, whatever failed.
        """
        plan = self._decider.decide([input], [None], [ensure_config(config)])
        decision: Decision = _only(carry_out(plan))
        return decision

    async def adecide(self, input: Any, config: RunnableConfig | None = None) -> Decision:
        """Say what would answer this input, and why; neither branch runs."""
        plan = self._decider.decide([input], [None], [ensure_config(config)])
        decision: Decision = _only(await carry_out_async(plan))
        return decision

    def branch(self, input: Any, decision: Decision) -> tuple[Runnable[Any, Any], Any]:
        """Return what answers under a decision, and what it is given: for hosts that call it.

        In scope that is the counterfactual model, or ``Verbatim`` where the edit wants it, and a
        :class:`CounterfactualInput`; out of scope the base and its own input.
        """
        if not decision.fired:
            return self.base, input
        model = _VERBATIM if decision.edits[0].mode == "verbatim" else self.counterfactual
        return model, given_to(input, decision.query, decision.edits)

    @property
    def _decider(self) -> Decider:
        return Decider(
            self.memory,
            self.scope,
            self.k,
            self.max_edits,
            self._limit,
            self.query_from,
            self.contextualize,
            self.on_error,
        )

    def _limit(self, config: RunnableConfig) -> float:
        """Return the score above which an edit is in scope, for one run."""
        budget = (config.get("configurable") or {}).get(MAX_DRAWDOWN.id)
        if budget is not None:
            return self.scope.threshold_for(budget)
        return self.scope.threshold if self.threshold is None else self.threshold

    # -- answering -------------------------------------------------------------------------

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer from the edit in scope, or let the base answer."""

        def answer(input: Any, run_manager: Run, config: RunnableConfig, **kwargs: Any) -> Any:
            return _only(carry_out(self._answer([input], [run_manager], [config], kwargs)))

        return self._call_with_config(answer, input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer from the edit in scope, or let the base answer."""

        async def answer(
            input: Any,
            run_manager: AsyncCallbackManagerForChainRun,
            config: RunnableConfig,
            **kwargs: Any,
        ) -> Any:
            runs = [run_manager.get_sync()]
            return _only(await carry_out_async(self._answer([input], runs, [config], kwargs)))

        return await self._acall_with_config(answer, input, config, **kwargs)

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Any]:
        """Answer several inputs with one decision step, then a batch for each branch."""

        def answer(
            inputs: list[Any], run_manager: list[Run], config: list[RunnableConfig], **kw: Any
        ) -> list[Any]:
            return carry_out(self._answer(inputs, run_manager, config, kw))

        return self._batch_with_config(
            answer, inputs, config, return_exceptions=return_exceptions, **kwargs
        )

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Any]:
        """Answer several inputs with one decision step, then a batch for each branch."""

        async def answer(
            inputs: list[Any],
            run_manager: list[AsyncCallbackManagerForChainRun],
            config: list[RunnableConfig],
            **kw: Any,
        ) -> list[Any]:
            runs = [run.get_sync() for run in run_manager]
            return await carry_out_async(self._answer(inputs, runs, config, kw))

        return await self._abatch_with_config(
            answer, inputs, config, return_exceptions=return_exceptions, **kwargs
        )

    def _answer(
        self,
        inputs: Sequence[Any],
        runs: Sequence[Run],
        configs: Sequence[RunnableConfig],
        kwargs: dict[str, Any],
    ) -> Plan[list[Any]]:
        """Decide for all, then let each branch answer its share; failures come as exceptions."""
        decisions = yield from self._decider.decide(inputs, runs, configs)
        answers: list[Any] = [*decisions]  # where none could be made, the error is the answer
        fired = {i: d for i, d in enumerate(decisions) if isinstance(d, Decision) and d.fired}
        left = [i for i, d in enumerate(decisions) if isinstance(d, Decision) and not d.fired]
        branches: dict[int, tuple[Runnable[Any, Any], Any]] = {}
        results: dict[int, Any] = {}
        for place, decision in fired.items():
            try:
                branches[place] = self.branch(inputs[place], decision)
            except Exception as error:  # something odd beside the query
                results[place] = error
        by_model: dict[int, list[int]] = {}
        for place, (model, _) in branches.items():
            by_model.setdefault(id(model), []).append(place)
        for places in by_model.values():
            said = yield Call(
                branches[places[0]][0],
                [branches[i][1] for i in places],
                children([configs[i] for i in places], [runs[i] for i in places], EDITED),
            )
            results.update(zip(places, said, strict=True))
        for place, result in results.items():
            try:
                if isinstance(result, Exception):
                    raise result
                answers[place] = self._shape.whole(result, inputs[place], fired[place].edits)
            except Exception as error:
                answers[place] = error
                if self.on_error == "base":
                    left.append(place)
                    yield Work(partial(report, error, [runs[place]]))
        if left:
            said = yield Call(
                self.base,
                [inputs[i] for i in left],
                children([configs[i] for i in left], [runs[i] for i in left], BASE),
                kwargs,
            )
            for place, result in zip(left, said, strict=True):
                answers[place] = result
        return answers

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> Iterator[Any]:
        """Stream the chosen branch's own chunks."""

        def chunks(
            inputs: Iterator[Any], run_manager: Run, config: RunnableConfig, **kwargs: Any
        ) -> Iterator[Any]:
            [input] = inputs
            decision = _only(carry_out(self._decider.decide([input], [run_manager], [config])))
            if decision.fired:
                begun = False
                try:
                    for chunk in self._edited(input, decision, config, run_manager):
                        begun = True
                        yield chunk
                    return
                except Exception as error:
                    if begun or self.on_error == "raise":  # what was said cannot be taken back
                        raise
                    report(error, [run_manager])
            [config] = children([config], [run_manager], BASE)
            yield from self.base.stream(input, config, **kwargs)

        yield from self._transform_stream_with_config(iter([input]), chunks, config, **kwargs)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> AsyncIterator[Any]:
        """Stream the chosen branch's own chunks."""

        async def chunks(
            inputs: AsyncIterator[Any],
            run_manager: AsyncCallbackManagerForChainRun,
            config: RunnableConfig,
            **kwargs: Any,
        ) -> AsyncIterator[Any]:
            [input] = [one async for one in inputs]
            runs = [run_manager.get_sync()]
            decision = _only(await carry_out_async(self._decider.decide([input], runs, [config])))
            if decision.fired:
                begun = False
                try:
                    async for chunk in self._aedited(input, decision, config, runs[0]):
                        begun = True
                        yield chunk
                    return
                except Exception as error:
                    if begun or self.on_error == "raise":  # what was said cannot be taken back
                        raise
                    await Work(partial(report, error, runs)).arun()
            [config] = children([config], runs, BASE)
            async for chunk in self.base.astream(input, config, **kwargs):
                yield chunk

        async def one() -> AsyncIterator[Any]:
            yield input

        async for chunk in self._atransform_stream_with_config(one(), chunks, config, **kwargs):
            yield chunk

    def _edited(
        self, input: Any, decision: Decision, config: RunnableConfig, run: Run
    ) -> Iterator[Any]:
        model, given = self.branch(input, decision)
        [config] = children([config], [run], EDITED)
        if not self._shape.streams:
            yield self._shape.whole(model.invoke(given, config), input, decision.edits)
            return
        shaped = self._shape.chunks(input, decision.edits)
        for raw in model.stream(given, config):
            yield from shaped(raw)

    async def _aedited(
        self, input: Any, decision: Decision, config: RunnableConfig, run: Run
    ) -> AsyncIterator[Any]:
        model, given = self.branch(input, decision)
        [config] = children([config], [run], EDITED)
        if not self._shape.streams:
            yield self._shape.whole(await model.ainvoke(given, config), input, decision.edits)
            return
        shaped = self._shape.chunks(input, decision.edits)
        async for raw in model.astream(given, config):
            for chunk in shaped(raw):
                yield chunk

    @cached_property
    def _shape(self) -> OutputShape:
        return output_shape(self.base, self.output, self.answer_key)

    # -- what LangChain asks of a Runnable -------------------------------------------------

    @property
    def InputType(self) -> Any:  # noqa: N802  (LangChain's name)
        """The base's."""
        return self.base.InputType

    @property
    def OutputType(self) -> Any:  # noqa: N802  (LangChain's name)
        """The base's."""
        return self.base.OutputType

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        """Return the base's input schema."""
        return self.base.get_input_schema(config)

    def get_output_schema(self, config: RunnableConfig | None = None) -> Any:
        """Return the base's output schema."""
        return self.base.get_output_schema(config)

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """``max_drawdown``, and what can be configured in base and counterfactual model."""
        parts = (self.base, self.counterfactual, self.contextualize)
        specs = [spec for part in parts if part is not None for spec in part.config_specs]
        return get_unique_config_specs([MAX_DRAWDOWN, *specs])

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        """Return the graph of a query's way: decide, then the edit's branch or the base's."""
        graph = Graph()
        start = graph.add_node(self.get_input_schema(config), id="input")
        gate = graph.add_node(RunnableLambda(self.decide), id="decide")
        end = graph.add_node(self.get_output_schema(config), id="output")
        graph.add_edge(start, gate)
        for part, label in ((self.counterfactual, "in scope"), (self.base, "out of scope")):
            name = part.get_name()
            branch = graph.add_node(
                part, id=name if name not in graph.nodes else f"{name} ({label})"
            )
            graph.add_edge(gate, branch, label, conditional=True)
            graph.add_edge(branch, end)
        return graph


def _only(answers: list[Any]) -> Any:
    [answer] = answers
    if isinstance(answer, Exception):
        raise answer
    return answer


_VERBATIM = Verbatim()
