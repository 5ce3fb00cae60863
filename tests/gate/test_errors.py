"""Whatever fails in the gate, the base answers, loudly; or it is raised, if that was chosen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from serac_retriever import EditMemory, Serac
from serac_retriever.errors import MemoryUnavailableError, QueryError
from tests.chroma_server import ChromaServer
from tests.gate.parts import (
    IN_SCOPE,
    OUTSIDE,
    BrokenScope,
    CountingScope,
    Listener,
    breaking_after,
    echo,
    failing,
)


@pytest.fixture
def dead_memory() -> EditMemory:
    """A server that nobody started."""
    return EditMemory(host="127.0.0.1", port=9, timeout=1)


def gate_that_fails(what: str, edits: EditMemory, dead: EditMemory, **fields: Any) -> Serac:
    if what == "memory":
        return Serac(base=echo(), memory=dead, **fields)
    if what == "classifier":
        return Serac(base=echo(), memory=edits, scope=BrokenScope(), **fields)
    if what == "contextualize":
        return Serac(base=echo(), memory=edits, contextualize=failing(OSError("no")), **fields)
    broken = failing(RuntimeError("the counterfactual model broke"))
    return Serac(base=echo(), memory=edits, counterfactual=broken, **fields)


async def every_way(chain: Runnable[Any, Any], query: Any) -> list[str]:
    """Answer a query in each way there is."""
    return [
        chain.invoke(query),
        await chain.ainvoke(query),
        *chain.batch([query, query]),
        *await chain.abatch([query, query]),
        "".join(chain.stream(query)),
        "".join([chunk async for chunk in chain.astream(query)]),
    ]


TALK = {"input": IN_SCOPE, "history": [("human", "Hi"), ("ai", "Hello")]}
PARTS = ["memory", "classifier", "counterfactual", "contextualize"]


@pytest.mark.parametrize("what", PARTS)
async def test_by_default_the_base_answers_and_a_warning_is_logged(
    edits: EditMemory, dead_memory: EditMemory, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    caplog.set_level(logging.WARNING, "serac_retriever")
    chain = gate_that_fails(what, edits, dead_memory)
    assert await every_way(chain, TALK) == [f"base: {TALK}"] * 8
    warnings = [record for record in caplog.records if record.name == "serac_retriever.gate"]
    assert len(warnings) >= 6
    assert all(record.levelname == "WARNING" for record in warnings)


@pytest.mark.parametrize("what", PARTS)
async def test_a_serac_error_event_is_sent_for_each_run(
    edits: EditMemory, dead_memory: EditMemory, listener: Listener, what: str
) -> None:
    chain = gate_that_fails(what, edits, dead_memory)
    config: Any = {"callbacks": [listener]}
    chain.invoke(TALK, config)
    await chain.ainvoke(TALK, config)
    chain.batch([TALK, TALK], config)
    _ = [*chain.stream(TALK, config)]
    _ = [chunk async for chunk in chain.astream(TALK, config)]
    assert [name for name, _ in listener.events] == ["serac_error"] * 6
    [error] = {data["error"] for _, data in listener.events}
    assert error.split(":")[0] in ("MemoryUnavailableError", "RuntimeError", "OSError")


@pytest.mark.parametrize("what", PARTS)
async def test_the_event_is_seen_in_astream_events(
    edits: EditMemory, dead_memory: EditMemory, what: str
) -> None:
    chain = gate_that_fails(what, edits, dead_memory)
    events = [event async for event in chain.astream_events(TALK, version="v2")]
    [event] = [event for event in events if event["event"] == "on_custom_event"]
    assert event["name"] == "serac_error"
    assert ": " in event["data"]["error"]


@pytest.mark.parametrize("what", PARTS)
async def test_on_error_raise_raises_what_failed(
    edits: EditMemory, dead_memory: EditMemory, what: str
) -> None:
    chain = gate_that_fails(what, edits, dead_memory, on_error="raise")
    kinds = {"memory": MemoryUnavailableError, "contextualize": OSError}
    kind = kinds.get(what, RuntimeError)
    with pytest.raises(kind):
        chain.invoke(TALK)
    with pytest.raises(kind):
        await chain.ainvoke(TALK)
    with pytest.raises(kind):
        chain.batch([TALK, TALK])
    with pytest.raises(kind):
        await chain.abatch([TALK, TALK])
    with pytest.raises(kind):
        _ = [*chain.stream(TALK)]
    with pytest.raises(kind):
        _ = [chunk async for chunk in chain.astream(TALK)]
    if what != "counterfactual":
        with pytest.raises(kind):
            chain.decide(TALK)
        with pytest.raises(kind):
            await chain.adecide(TALK)


def test_a_failed_decision_says_what_failed(dead_memory: EditMemory) -> None:
    decision = Serac(base=echo(), memory=dead_memory).decide(IN_SCOPE)
    assert not decision.fired
    assert decision.query == IN_SCOPE
    assert decision.error is not None
    assert decision.error.startswith("MemoryUnavailableError: ")
    assert "chroma run" in decision.error


def test_one_failure_of_a_whole_batch_is_logged_once(
    dead_memory: EditMemory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "serac_retriever.gate")
    Serac(base=echo(), memory=dead_memory).batch([IN_SCOPE, OUTSIDE, "Who else?"])
    assert len(caplog.records) == 1


async def test_before_the_first_chunk_a_failing_model_leaves_the_stream_to_the_base(
    edits: EditMemory,
) -> None:
    chain = Serac(base=echo(), memory=edits, counterfactual=breaking_after(0))
    assert [*chain.stream(IN_SCOPE)] == [f"base: {IN_SCOPE}"]
    assert [chunk async for chunk in chain.astream(IN_SCOPE)] == [f"base: {IN_SCOPE}"]


async def test_after_the_first_chunk_it_raises_for_what_was_said_cannot_be_taken_back(
    edits: EditMemory,
) -> None:
    chain = Serac(base=echo(), memory=edits, counterfactual=breaking_after(2))
    said: list[str] = []
    with pytest.raises(RuntimeError, match="counterfactual model broke"):
        said.extend(chain.stream(IN_SCOPE))
    assert said == ["chunk 0 ", "chunk 1 "]
    stream = chain.astream(IN_SCOPE)
    assert [await anext(stream), await anext(stream)] == ["chunk 0 ", "chunk 1 "]
    with pytest.raises(RuntimeError, match="counterfactual model broke"):
        await anext(stream)


def test_in_a_batch_a_failing_model_costs_only_its_own_items_the_edit(edits: EditMemory) -> None:
    def picky(given: Any) -> str:
        if "Kazakhstan" in given["prompt"]:
            raise RuntimeError("not this one")
        return str(given["target"])

    chain = Serac(base=echo(), memory=edits, counterfactual=picky)
    queries = [IN_SCOPE, "What is Kazakhstan's capital?", OUTSIDE]
    assert chain.batch(queries) == ["Keir Starmer", f"base: {queries[1]}", f"base: {OUTSIDE}"]
    strict = Serac(base=echo(), memory=edits, counterfactual=picky, on_error="raise")
    answers = strict.batch(queries, return_exceptions=True)
    assert answers[::2] == ["Keir Starmer", f"base: {OUTSIDE}"]
    assert isinstance(answers[1], RuntimeError)


def test_an_answer_of_the_wrong_type_counts_as_a_failure(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits, counterfactual=lambda given: 42)
    assert chain.invoke(IN_SCOPE) == f"base: {IN_SCOPE}"
    with pytest.raises(QueryError, match="int"):
        chain.model_copy(update={"on_error": "raise"}).invoke(IN_SCOPE)


def test_scores_that_are_no_probabilities_count_as_a_failure(edits: EditMemory) -> None:
    class Logits(CountingScope):
        def score_pairs(self, pairs: Any) -> list[float]:
            return [7.5] * len(pairs)

    decision = Serac(base=echo(), memory=edits, scope=Logits(calls=[])).decide(IN_SCOPE)
    assert decision.error is not None
    assert "probabilities in [0, 1]" in decision.error


def test_interrupting_is_never_taken_for_a_failure(edits: EditMemory) -> None:
    def interrupted(_: Any) -> str:
        raise KeyboardInterrupt

    chain = Serac(base=echo(), memory=edits, counterfactual=RunnableLambda(interrupted))
    with pytest.raises(KeyboardInterrupt):
        chain.invoke(IN_SCOPE)


async def test_cancelling_is_never_taken_for_a_failure(edits: EditMemory) -> None:
    started = asyncio.Event()
    asked: list[str] = []

    async def slow(_: Any) -> str:
        started.set()
        await asyncio.sleep(60)
        return ""

    chain = Serac(base=lambda q: asked.append(q) or "", memory=edits, counterfactual=slow)
    task = asyncio.create_task(chain.ainvoke(IN_SCOPE))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked == []


def test_while_the_chroma_server_is_down_the_base_answers_and_afterwards_the_edit_does(
    own_server: ChromaServer, caplog: pytest.LogCaptureFixture
) -> None:
    memory = own_server.memory(timeout=2)
    memory.add("Who is the UK prime minister?", "Keir Starmer")
    chain = Serac(base=echo(), memory=memory)
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    own_server.stop()
    assert chain.invoke(IN_SCOPE) == f"base: {IN_SCOPE}"
    assert chain.batch([IN_SCOPE, OUTSIDE]) == [f"base: {IN_SCOPE}", f"base: {OUTSIDE}"]
    assert "MemoryUnavailableError" in caplog.text
    own_server.start()
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    assert chain.batch([IN_SCOPE, OUTSIDE]) == ["Keir Starmer", f"base: {OUTSIDE}"]


def test_a_gate_can_be_built_while_the_server_is_down(dead_memory: EditMemory) -> None:
    assert Serac(base=echo(), memory=dead_memory).invoke(OUTSIDE) == f"base: {OUTSIDE}"


class LostHistory(list[Any]):
    """A conversation that is loaded when it is asked for, from a store that is down."""

    def __iter__(self) -> Iterator[Any]:
        raise OSError("the history's store is down")


@pytest.mark.parametrize("history", [np.array([1, 2]), LostHistory(["Hi"])])
async def test_something_odd_beside_the_query_takes_nothing_down(
    edits: EditMemory, history: Any
) -> None:
    asked = {"question": IN_SCOPE, "history": history}
    for contextualize in (None, RunnableLambda(lambda _: IN_SCOPE)):
        chain = Serac(
            base=RunnableLambda(lambda _: "base"),
            memory=edits,
            query_from=itemgetter("question"),
            contextualize=contextualize,
        )
        answer = "base" if isinstance(history, list) else "Keir Starmer"  # who is to be told it
        assert chain.invoke(asked) == answer
        assert chain.batch([asked, {"question": OUTSIDE}]) == [answer, "base"]
        assert "".join(chain.stream(asked)) == answer


async def test_a_stream_of_what_cannot_be_said_falls_back_before_it_begins(
    edits: EditMemory,
) -> None:
    base = RunnablePassthrough.assign(answer=lambda _: "base")
    odd = RunnableLambda(lambda _: {"text": "x"})
    chain = Serac(base=base, memory=edits, counterfactual=odd, answer_key="answer")
    asked = {"question": IN_SCOPE}
    streamed = [*chain.stream(asked)]
    assert sum(streamed[1:], streamed[0]) == chain.invoke(asked) == {**asked, "answer": "base"}
