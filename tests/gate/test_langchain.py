"""What people wrap: models, chains, retrieval chains, graphs; and what they wrap Serac in."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_classic.chains import create_retrieval_chain
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from serac_retriever import EditMemory, EmbeddingScope, Prompted, Serac
from serac_retriever.errors import CalibrationError, ConfigError
from tests.gate.parts import (
    BASE_SAYS,
    IN_SCOPE,
    OUTSIDE,
    BrokenScope,
    CountingChat,
    Heard,
    Listener,
    echo,
)

# -- what Serac wraps ----------------------------------------------------------------------


async def test_a_plain_chat_model_answers_with_messages(edits: EditMemory) -> None:
    chain = Serac(base=FakeListChatModel(responses=[BASE_SAYS]), memory=edits)
    for query, says in ((IN_SCOPE, "Keir Starmer"), (OUTSIDE, BASE_SAYS)):
        answer = chain.invoke(query)
        assert isinstance(answer, AIMessage)
        assert answer.text == (await chain.ainvoke(query)).text == says
        chunks = [*chain.stream(query)]
        assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
        assert "".join(chunk.text for chunk in chunks) == says


async def test_an_llm_answers_with_text(edits: EditMemory) -> None:
    chain = Serac(base=FakeListLLM(responses=[BASE_SAYS]), memory=edits)
    assert chain.batch([IN_SCOPE, OUTSIDE]) == ["Keir Starmer", BASE_SAYS]
    assert [*chain.stream(IN_SCOPE)] == ["Keir Starmer"]
    told = Serac(
        base=FakeListLLM(responses=[BASE_SAYS]),
        memory=edits,
        counterfactual=Prompted(FakeListLLM(responses=["It is Keir Starmer."])),
    )
    assert told.invoke(IN_SCOPE) == "It is Keir Starmer."
    assert "".join(told.stream(IN_SCOPE)) == "It is Keir Starmer."


async def test_a_chat_model_in_an_llms_place_still_answers_with_text(edits: EditMemory) -> None:
    chain = Serac(
        base=FakeListLLM(responses=[BASE_SAYS]),
        memory=edits,
        counterfactual=Prompted(CountingChat("It is Keir Starmer.")),
    )
    assert chain.invoke(IN_SCOPE) == "It is Keir Starmer."
    words = [chunk async for chunk in chain.astream(IN_SCOPE)]
    assert all(type(word) is str for word in words)
    assert "".join(words) == "It is Keir Starmer."


def test_a_chain_of_prompt_and_model_answers_with_messages(edits: EditMemory) -> None:
    base = ChatPromptTemplate.from_template("Answer: {question}") | CountingChat()
    chain = Serac(base=base, memory=edits)
    assert chain.invoke({"question": IN_SCOPE}).text == "Keir Starmer"
    assert chain.invoke({"question": OUTSIDE}).text == BASE_SAYS


def test_a_chain_with_a_parser_answers_with_text(edits: EditMemory) -> None:
    base = ChatPromptTemplate.from_template("{question}") | CountingChat() | StrOutputParser()
    chain = Serac(base=base, memory=edits)
    assert chain.invoke({"question": IN_SCOPE}) == "Keir Starmer"
    assert chain.invoke({"question": OUTSIDE}) == BASE_SAYS


def retrieval_chain() -> Any:
    documents = [Document("Emma is a novel by Jane Austen.", metadata={"page": 7})]
    prompt = ChatPromptTemplate.from_messages(
        [("system", "{context}"), ("placeholder", "{chat_history}"), ("human", "{input}")]
    )
    return create_retrieval_chain(
        RunnableLambda(lambda _: documents), create_stuff_documents_chain(CountingChat(), prompt)
    )


def test_a_retrieval_chain_keeps_its_keys_and_names_the_edit_as_its_context(
    edits: EditMemory,
) -> None:
    base = retrieval_chain()
    chain = Serac(base=base, memory=edits)
    given = {"input": IN_SCOPE, "chat_history": [HumanMessage("Hi")]}
    patched, plain = chain.invoke(given), base.invoke(given)
    assert patched.keys() == plain.keys() == {"input", "chat_history", "context", "answer"}
    assert patched["answer"] == "Keir Starmer"
    assert patched["input"] == IN_SCOPE
    assert patched["chat_history"] == given["chat_history"]
    [document] = patched["context"]
    assert isinstance(document, Document)
    assert document.id == "uk-pm"
    assert "Keir Starmer" in document.page_content
    outside = {"input": OUTSIDE}
    assert chain.invoke(outside) == base.invoke(outside)


async def test_a_retrieval_chain_streams_its_answer_in_dicts_that_add_up(
    edits: EditMemory,
) -> None:
    chain = Serac(
        base=retrieval_chain(),
        memory=edits,
        counterfactual=Prompted(CountingChat("Keir Starmer leads it.")),
    )
    given = {"input": IN_SCOPE}
    chunks = [*chain.stream(given)]
    answers = [chunk["answer"] for chunk in chunks if "answer" in chunk]
    assert len([answer for answer in answers if answer]) == 7
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole == chain.invoke(given)
    assert [chunk async for chunk in chain.astream(given)] == chunks


def test_a_parallel_with_a_message_answer_keeps_its_type(edits: EditMemory) -> None:
    base = RunnableParallel(answer=CountingChat(), context=lambda _: [])
    chain = Serac(base=base, memory=edits)
    for query, says in ((IN_SCOPE, "Keir Starmer"), (OUTSIDE, BASE_SAYS)):
        answer = chain.invoke(query)
        assert answer.keys() == {"answer", "context"}
        assert isinstance(answer["answer"], AIMessage)
        assert answer["answer"].text == says
    parts = [chunk["answer"] for chunk in chain.stream(IN_SCOPE) if "answer" in chunk]
    assert all(isinstance(part, AIMessageChunk) for part in parts)


def test_an_assigned_answer_passes_the_other_keys_on(edits: EditMemory) -> None:
    base = RunnablePassthrough.assign(answer=lambda given: "base")
    chain = Serac(base=base, memory=edits)
    given = {"question": IN_SCOPE, "user": "ada"}
    patched = chain.invoke(given)
    assert (patched["question"], patched["user"]) == (IN_SCOPE, "ada")
    assert patched["answer"] == "Keir Starmer"
    assert chain.invoke({"question": OUTSIDE})["answer"] == "base"


def graph(**options: Any) -> Any:
    model = CountingChat()
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_edge(START, "agent")
    builder.add_edge("agent", END)
    return builder.compile(**options)


async def test_a_graph_gets_the_answer_as_the_last_of_its_messages(edits: EditMemory) -> None:
    base = graph()
    chain = Serac(base=base, memory=edits)
    for query, says in ((IN_SCOPE, "Keir Starmer"), (OUTSIDE, BASE_SAYS)):
        given = {"messages": [("human", "Hi"), ("ai", "Hello"), ("human", query)]}
        for state in (chain.invoke(given), await chain.ainvoke(given), chain.batch([given])[0]):
            assert state.keys() == {"messages"}
            assert [m.text for m in state["messages"]] == ["Hi", "Hello", query, says]
            assert isinstance(state["messages"][-1], AIMessage)


async def test_a_graphs_edited_answer_streams_as_one_state(edits: EditMemory) -> None:
    base = graph()
    chain = Serac(base=base, memory=edits)
    [state] = chain.stream({"messages": [("human", IN_SCOPE)]})
    assert state["messages"][-1].text == "Keir Starmer"
    [state] = [s async for s in chain.astream({"messages": [("human", IN_SCOPE)]})]
    assert state["messages"][-1].text == "Keir Starmer"
    outside = {"messages": [("human", OUTSIDE)]}
    said = [update["agent"]["messages"][0].text for update in chain.stream(outside)]
    assert said == [BASE_SAYS]


def test_a_graphs_own_configuration_reaches_it(edits: EditMemory) -> None:
    base = graph(checkpointer=InMemorySaver())
    chain = Serac(base=base, memory=edits)
    config: Any = {"configurable": {"thread_id": "1"}}
    chain.invoke({"messages": [("human", OUTSIDE)]}, config)
    assert len(base.get_state(config).values["messages"]) == 2


def test_a_type_that_the_base_does_not_tell_can_be_said(edits: EditMemory) -> None:
    base = RunnableLambda(lambda _: AIMessage(BASE_SAYS))
    chain = Serac(base=base, memory=edits, output="message")
    assert isinstance(chain.invoke(IN_SCOPE), AIMessage)
    assert isinstance(chain.invoke(OUTSIDE), AIMessage)


# -- what wraps Serac ----------------------------------------------------------------------


def test_with_config_names_the_run(edits: EditMemory, listener: Listener) -> None:
    chain = Serac(base=echo(), memory=edits).with_config(run_name="patched", callbacks=[listener])
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    assert listener.names[0] == "patched"


def test_bound_arguments_reach_the_base(edits: EditMemory) -> None:
    model = CountingChat()
    chain = Serac(base=model, memory=edits).bind(temperature=0)
    chain.invoke(OUTSIDE)
    _ = [*chain.stream(OUTSIDE)]
    chain.batch([OUTSIDE, "Who else?"])
    assert [extra["temperature"] for extra in model.extras] == [0] * 4
    assert chain.invoke(IN_SCOPE).text == "Keir Starmer"


async def test_with_retry_tries_the_gate_again(edits: EditMemory) -> None:
    tries: list[int] = []

    class Flaky(BrokenScope):
        def score_pairs(self, pairs: Any) -> list[float]:
            tries.append(len(pairs))
            if len(tries) % 2:
                return super().score_pairs(pairs)
            return [0.99 if c.edit.id == "uk-pm" else 0.0 for _, c in pairs]

    chain = Serac(base=echo(), memory=edits, scope=Flaky(), on_error="raise").with_retry(
        wait_exponential_jitter=False
    )
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    assert await chain.ainvoke(IN_SCOPE) == "Keir Starmer"
    assert chain.batch([IN_SCOPE, IN_SCOPE]) == ["Keir Starmer"] * 2
    assert len(tries) == 6


async def test_with_fallbacks_somebody_else_answers(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits, scope=BrokenScope(), on_error="raise").with_fallbacks(
        [echo(prefix="fallback: ")]
    )
    assert chain.invoke(IN_SCOPE) == f"fallback: {IN_SCOPE}"
    assert await chain.abatch([IN_SCOPE]) == [f"fallback: {IN_SCOPE}"]
    assert [*chain.stream(IN_SCOPE)] == [f"fallback: {IN_SCOPE}"]


async def test_its_fields_can_be_configured_by_call(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits).configurable_fields(
        threshold=ConfigurableField(id="threshold"), max_edits=ConfigurableField(id="max_edits")
    )
    never: Any = {"configurable": {"threshold": 1.0}}
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    assert chain.invoke(IN_SCOPE, never) == f"base: {IN_SCOPE}"
    assert await chain.ainvoke(IN_SCOPE, never) == f"base: {IN_SCOPE}"
    assert [*chain.stream(IN_SCOPE, never)] == [f"base: {IN_SCOPE}"]
    assert chain.invoke(IN_SCOPE, {"configurable": {"max_edits": 3}}) == "Keir Starmer"


async def test_a_budget_of_drawdown_moves_the_threshold_for_a_run(edits: EditMemory) -> None:
    class Budgeted(EmbeddingScope):
        def threshold_for(self, max_drawdown: float) -> float:
            return 1.0 if max_drawdown < 0.01 else 0.5

    scope = Budgeted(**EmbeddingScope.packaged().model_dump())
    chain = Serac(base=echo(), memory=edits, scope=scope, on_error="raise")
    strict = chain.with_config(configurable={"max_drawdown": 0.005})
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    assert strict.invoke(IN_SCOPE) == f"base: {IN_SCOPE}"
    assert await strict.ainvoke(IN_SCOPE) == f"base: {IN_SCOPE}"
    assert [*strict.stream(IN_SCOPE)] == [f"base: {IN_SCOPE}"]
    loose: Any = {"configurable": {"max_drawdown": 0.02}}
    assert chain.batch([IN_SCOPE, IN_SCOPE], [loose, {}]) == ["Keir Starmer"] * 2
    assert "max_drawdown" in {spec.id for spec in chain.config_specs}


def test_a_budget_that_nothing_was_calibrated_for_is_an_error_of_ours(edits: EditMemory) -> None:
    impossible: Any = {"configurable": {"max_drawdown": 1e-9}}
    with pytest.raises(CalibrationError, match="max_drawdown"):
        Serac(base=echo(), memory=edits, on_error="raise").invoke(IN_SCOPE, impossible)
    decision = Serac(base=echo(), memory=edits).decide(IN_SCOPE, impossible)
    assert not decision.fired
    assert "max_drawdown" in (decision.error or "")


def test_what_is_configurable_in_the_base_stays_so(edits: EditMemory) -> None:
    model = FakeListChatModel(responses=["one"]).configurable_fields(
        responses=ConfigurableField(id="responses")
    )
    chain = Serac(base=model, memory=edits)
    assert "responses" in {spec.id for spec in chain.config_specs}
    assert chain.invoke(OUTSIDE, {"configurable": {"responses": ["two"]}}).text == "two"


@pytest.mark.parametrize("shape", ["dict", "messages"])
def test_patched_answers_land_in_the_message_history(edits: EditMemory, shape: str) -> None:
    history = InMemoryChatMessageHistory()
    model = CountingChat()
    if shape == "dict":
        prompt = ChatPromptTemplate.from_messages(
            [MessagesPlaceholder("history"), ("human", "{input}")]
        )
        chain = RunnableWithMessageHistory(
            Serac(base=prompt | model, memory=edits),
            lambda session_id: history,
            input_messages_key="input",
            history_messages_key="history",
        )
    else:
        chain = RunnableWithMessageHistory(
            Serac(base=model, memory=edits), lambda session_id: history
        )
    config: Any = {"configurable": {"session_id": "1"}}

    def say(text: str) -> str:
        given: Any = {"input": text} if shape == "dict" else [HumanMessage(text)]
        return str(chain.invoke(given, config).text)

    assert say(IN_SCOPE) == "Keir Starmer"
    assert [message.text for message in history.messages] == [IN_SCOPE, "Keir Starmer"]
    assert say(OUTSIDE) == BASE_SAYS
    assert [message.text for message in model.told[0]] == [IN_SCOPE, "Keir Starmer", OUTSIDE]


async def test_a_streamed_patched_answer_lands_in_the_message_history(edits: EditMemory) -> None:
    history = InMemoryChatMessageHistory()
    chain = RunnableWithMessageHistory(
        Serac(
            base=CountingChat(),
            memory=edits,
            counterfactual=Prompted(CountingChat("Keir Starmer leads it.")),
        ),
        lambda session_id: history,
    )
    config: Any = {"configurable": {"session_id": "1"}}
    _ = [chunk async for chunk in chain.astream([HumanMessage(IN_SCOPE)], config)]
    assert [message.text for message in history.messages] == [IN_SCOPE, "Keir Starmer leads it."]


def test_gates_can_stand_in_each_other(edits: EditMemory, own_edits: EditMemory) -> None:
    own_edits.add("Who wrote Emma?", "Jane Austen")
    chain = Serac(base=Serac(base=echo(), memory=own_edits), memory=edits)
    assert chain.batch([IN_SCOPE, OUTSIDE, "Tell me a joke."]) == [
        "Keir Starmer",
        "Jane Austen",
        "base: Tell me a joke.",
    ]


# -- what goes in --------------------------------------------------------------------------

SHAPES: dict[str, Any] = {
    "str": lambda q: q,
    "input": lambda q: {"input": q, "lang": "en"},
    "question": lambda q: {"question": q},
    "query": lambda q: {"query": q},
    "messages": lambda q: {"messages": [HumanMessage(q)]},
    "messages as tuples": lambda q: {"messages": [("user", q)]},
    "messages as dicts": lambda q: {"messages": [{"role": "user", "content": q}]},
    "input as messages": lambda q: {"input": [HumanMessage("Hi"), HumanMessage(q)]},
    "prompt value": lambda q: ChatPromptTemplate.from_template("{x}").invoke({"x": q}),
    "string prompt value": lambda q: PromptTemplate.from_template("{x}").invoke({"x": q}),
    "message": HumanMessage,
    "list": lambda q: [HumanMessage(q)],
    "tuples": lambda q: [("system", "Be brief."), ("human", q)],
    "content blocks": lambda q: [HumanMessage([{"type": "text", "text": q}])],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_query_is_found_in_every_usual_input(edits: EditMemory, shape: str) -> None:
    heard = Heard()
    base = RunnableLambda(lambda given: heard.update(["asked"]) or "base")
    chain = Serac(base=base, memory=edits, on_error="raise")
    assert chain.invoke(SHAPES[shape](IN_SCOPE)) == "Keir Starmer"
    assert chain.invoke(SHAPES[shape](OUTSIDE)) == "base"
    assert heard["asked"] == 1


def test_query_from_wins_over_every_other_way(edits: EditMemory) -> None:
    chain = Serac(base=lambda _: "base", memory=edits, query_from=lambda given: given["ticket"])
    assert chain.invoke({"ticket": IN_SCOPE, "input": OUTSIDE}) == "Keir Starmer"
    assert chain.invoke({"ticket": OUTSIDE, "input": IN_SCOPE}) == "base"


def test_after_a_tools_result_or_an_assistants_words_the_base_answers(edits: EditMemory) -> None:
    chain = Serac(base=CountingChat(), memory=edits, on_error="raise")
    talk: list[Any] = [("human", IN_SCOPE)]
    tool = {"role": "tool", "content": IN_SCOPE, "tool_call_id": "1"}
    assert chain.invoke(talk).text == "Keir Starmer"
    assert chain.invoke([*talk, tool]).text == BASE_SAYS
    assert chain.invoke([*talk, ("ai", IN_SCOPE)]).text == BASE_SAYS
    assert "not the user's turn" in chain.decide([*talk, tool]).reason


def test_a_bare_model_as_counterfactual_is_an_error_at_once(memory: EditMemory) -> None:
    model = FakeListChatModel(responses=["x"])
    with pytest.raises(ConfigError, match=r"Prompted\(model\)"):
        Serac(base=model, memory=memory, counterfactual=model)
