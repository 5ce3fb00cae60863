"""Streams are the chosen branch's own chunks; events and graphs show each step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableGenerator, RunnableLambda

from serac_retriever import EditMemory, Prompted, Serac
from tests.gate.parts import BASE_SAYS, IN_SCOPE, OUTSIDE, VERBATIM, CountingChat, Listener, echo

WORDS = ["I", " ", "was", " ", "trained", " ", "some", " ", "time", " ", "ago."]


async def texts(chunks: AsyncIterator[Any]) -> list[str]:
    """The texts of a chat stream; the empty chunk that LangChain ends one with is left out."""
    return [chunk.text async for chunk in chunks if chunk.text]


@pytest.fixture
def chat(edits: EditMemory) -> Serac:
    return Serac(
        base=CountingChat(),
        memory=edits,
        counterfactual=Prompted(CountingChat("Keir Starmer leads it.")),
    )


async def test_out_of_scope_the_bases_chunks_come_as_they_are(chat: Serac) -> None:
    chunks = [*chat.stream(OUTSIDE)]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert [chunk.text for chunk in chunks if chunk.text] == WORDS
    assert await texts(chat.astream(OUTSIDE)) == WORDS


async def test_in_scope_the_counterfactual_models_chunks_come_as_they_are(chat: Serac) -> None:
    words = ["Keir", " ", "Starmer", " ", "leads", " ", "it."]
    chunks = [*chat.stream(IN_SCOPE)]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert [chunk.text for chunk in chunks if chunk.text] == words
    assert await texts(chat.astream(IN_SCOPE)) == words


async def test_the_chunks_add_up_to_what_invoke_answers_and_say_which_edit_fired(
    chat: Serac,
) -> None:
    whole = None
    for chunk in chat.stream(IN_SCOPE):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.text == chat.invoke(IN_SCOPE).text == "Keir Starmer leads it."
    assert whole.response_metadata["serac_edits"] == ["uk-pm"]
    assert chat.invoke(IN_SCOPE).response_metadata["serac_edits"] == ["uk-pm"]
    assert "serac_edits" not in chat.invoke(OUTSIDE).response_metadata


async def test_an_unmodelled_answer_streams_as_one_chunk(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits)
    assert [*chain.stream(IN_SCOPE)] == ["Keir Starmer"]
    assert [chunk async for chunk in chain.astream(VERBATIM)] == [
        "Three years, <b>see</b> {terms}."
    ]


def test_a_stream_starts_before_the_branch_has_finished(edits: EditMemory) -> None:
    sent: list[str] = []

    def slowly(given: Iterator[str]) -> Iterator[str]:
        for _ in given:
            pass
        for word in ("one", "two"):
            sent.append(word)
            yield word

    for query in (OUTSIDE, IN_SCOPE):
        sent.clear()
        generator = RunnableGenerator(slowly)
        stream = Serac(base=generator, counterfactual=generator, memory=edits).stream(query)
        assert next(stream) == "one"
        assert sent == ["one"]
        stream.close()


async def test_in_the_middle_of_a_chain_it_passes_chunks_on(edits: EditMemory) -> None:
    chain = (
        RunnableLambda(lambda question: question.strip())
        | Serac(
            base=ChatPromptTemplate.from_template("{question}") | CountingChat(),
            memory=edits,
            counterfactual=Prompted(CountingChat("Keir Starmer leads it.")),
            query_from=lambda given: given if isinstance(given, str) else given["question"],
        )
        | StrOutputParser()
    )
    assert chain.invoke(f" {IN_SCOPE} ") == "Keir Starmer leads it."
    assert chain.batch([OUTSIDE, IN_SCOPE]) == [BASE_SAYS, "Keir Starmer leads it."]
    assert [word for word in chain.stream(OUTSIDE) if word] == WORDS
    assert len([word for word in chain.stream(IN_SCOPE) if word]) == 7
    assert len([word async for word in chain.astream(IN_SCOPE) if word]) == 7


async def test_transform_takes_an_input_that_comes_in_pieces(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits)
    pieces = [IN_SCOPE[:7], IN_SCOPE[7:]]

    async def arriving() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    assert [*chain.transform(iter(pieces))] == ["Keir Starmer"]
    assert [answer async for answer in chain.atransform(arriving())] == ["Keir Starmer"]


async def test_events_show_each_step_and_the_chosen_branch_alone(chat: Serac) -> None:
    async def started(query: str) -> list[str]:
        events = chat.astream_events(query, version="v2")
        return [event["name"] async for event in events if event["event"].endswith("_start")]

    steps = ["Serac", "serac:embed", "serac:retrieve", "serac:scope"]
    assert await started(OUTSIDE) == [*steps, "CountingChat"]
    assert await started(IN_SCOPE) == [
        *steps,
        "Prompted",
        "ChatPromptTemplate",
        "CountingChat",
    ]


async def test_events_carry_the_chunks_and_the_whole(chat: Serac) -> None:
    events = [event async for event in chat.astream_events(IN_SCOPE, version="v2")]
    of_gate = [event for event in events if event["name"] == "Serac"]
    words = [
        event["data"]["chunk"].text for event in of_gate if event["event"] == "on_chain_stream"
    ]
    assert [word for word in words if word] == ["Keir", " ", "Starmer", " ", "leads", " ", "it."]
    assert of_gate[-1]["data"]["output"].text == "Keir Starmer leads it."
    [scored] = [
        event
        for event in events
        if event["name"] == "serac:scope" and event["event"] == "on_chain_end"
    ]
    assert scored["data"]["output"][0].edit.id == "uk-pm"


# -- runs, names and tags ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch", "stream", "astream"])
async def test_each_step_is_a_child_run_with_a_name(
    chat: Serac, listener: Listener, how: str
) -> None:
    config: Any = {"callbacks": [listener]}
    if how == "invoke":
        chat.invoke(OUTSIDE, config)
    elif how == "ainvoke":
        await chat.ainvoke(OUTSIDE, config)
    elif how == "batch":
        chat.batch([OUTSIDE, OUTSIDE], config)
    elif how == "abatch":
        await chat.abatch([OUTSIDE, OUTSIDE], config)
    elif how == "stream":
        _ = [*chat.stream(OUTSIDE, config)]
    else:
        _ = [chunk async for chunk in chat.astream(OUTSIDE, config)]
    times = 2 if "batch" in how else 1
    names = ["Serac", "serac:embed", "serac:retrieve", "serac:scope", "CountingChat"]
    assert sorted(listener.names) == sorted(names * times)
    assert listener.parents["Serac"] is None
    assert {listener.parents[name] for name in names[1:]} == {"Serac"}


def test_the_branch_that_answers_is_tagged(chat: Serac, listener: Listener) -> None:
    chat.invoke(OUTSIDE, {"callbacks": [listener]})
    assert "serac:base" in listener.tags["CountingChat"]
    chat.invoke(IN_SCOPE, {"callbacks": [listener]})
    assert "serac:counterfactual" in listener.tags["Prompted"]
    assert "serac:base" not in listener.tags["CountingChat"]


def test_the_base_keeps_its_own_run_name(edits: EditMemory, listener: Listener) -> None:
    base = echo().with_config(run_name="my chain", tags=["mine"])
    chain = Serac(base=base, memory=edits)
    chain.invoke(OUTSIDE, {"callbacks": [listener], "run_name": "patched"})
    assert listener.names == [
        "patched",
        "serac:embed",
        "serac:retrieve",
        "serac:scope",
        "my chain",
    ]
    assert {"mine", "serac:base"} <= set(listener.tags["my chain"])


def test_a_follow_ups_rewriting_is_a_run_of_its_own(edits: EditMemory, listener: Listener) -> None:
    chain = Serac(base=echo(), memory=edits, contextualize=lambda talk: IN_SCOPE)
    talk = {"input": "And who leads it?", "history": [("human", "London?"), ("ai", "UK.")]}
    chain.invoke(talk, {"callbacks": [listener]})
    assert listener.names[:3] == ["Serac", "serac:contextualize", "serac:embed"]
    assert listener.parents["serac:contextualize"] == "Serac"


def test_the_graph_shows_both_branches(chat: Serac) -> None:
    drawing = chat.get_graph().draw_mermaid()
    assert "out of scope" in drawing
    assert "in scope" in drawing
    assert "CountingChat" in drawing
    assert "Prompted" in drawing
    within = (RunnableLambda(str) | chat | StrOutputParser()).get_graph().draw_mermaid()
    assert "out of scope" in within  # drawn as the steps it is
    twins = Serac(base=lambda _: "", counterfactual=lambda _: "", memory=chat.memory).get_graph()
    assert len(twins.nodes) == 5
