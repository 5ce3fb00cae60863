"""Finding the query in what goes into a chain, and keeping the type of what comes out."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import (
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompt_values import StringPromptValue
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from serac_retriever.edit import Edit
from serac_retriever.errors import ConfigError, QueryError
from serac_retriever.shapes import document_of, messages_of, output_shape, query_of, text_of

EDIT = Edit(prompt="Capital of X?", target="Y", id="x", tags=("geo",), note="from the atlas")
MODEL = FakeListChatModel(responses=["said"])

# -- in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "Capital of X?",
        {"input": "Capital of X?", "query": "something else"},
        {"question": "Capital of X?", "chat_history": [AIMessage("Hello")]},
        {"query": "Capital of X?"},
        {"input": "", "question": "Capital of X?"},
        {"input": HumanMessage("Capital of X?")},
        {"messages": ["Hello", "Capital of X?"]},
        {"messages": StringPromptValue(text="Capital of X?")},
        HumanMessage("Capital of X?"),
        HumanMessageChunk("Capital of X?"),
        [ChatMessage("Capital of X?", role="user")],
        StringPromptValue(text="Capital of X?"),
        [("ai", "Hello"), ("human", "Capital of X?")],
        (SystemMessage("Be brief."), HumanMessage("Capital of X?")),
    ],
)
def test_the_query_is_the_users_last_turn(value: Any) -> None:
    assert query_of(value) == "Capital of X?"


@pytest.mark.parametrize(
    "last",
    [
        AIMessage("Y"),
        SystemMessage("Y"),
        ToolMessage("Y", tool_call_id="1"),
        ChatMessage("Y", role="assistant"),
    ],
)
def test_where_it_is_not_the_users_turn_there_is_no_query(last: BaseMessage) -> None:
    assert query_of([HumanMessage("Capital of X?"), last]) == ""


@pytest.mark.parametrize("value", [{"input": ""}, {"messages": []}, {"question": "", "query": ""}])
def test_an_empty_query_is_a_query_that_asks_nothing(value: Any) -> None:
    assert query_of(value) == ""


@pytest.mark.parametrize(
    "value", [42, None, {"ticket": "Capital of X?"}, {"input": None}, object()]
)
def test_any_other_input_is_an_error_that_names_query_from(value: Any) -> None:
    with pytest.raises(QueryError, match=r"Say query_from=\.") as caught:
        query_of(value)
    assert type(value).__name__ in str(caught.value)


def test_the_error_lists_the_keys_that_came() -> None:
    with pytest.raises(QueryError, match="'ticket'"):
        query_of({"ticket": "Capital of X?"})


def test_query_from_wins_and_may_return_a_message() -> None:
    assert query_of({"input": "no", "ticket": "yes"}, lambda given: given["ticket"]) == "yes"
    assert query_of(42, lambda given: HumanMessage(f"{given}?")) == "42?"


def test_the_conversation_ends_with_the_current_turn() -> None:
    given = {"input": "And of Z?", "chat_history": [("human", "Capital of X?"), ("ai", "Y")]}
    assert [message.text for message in messages_of(given) or []] == [
        "Capital of X?",
        "Y",
        "And of Z?",
    ]
    assert [message.type for message in messages_of(given) or []] == ["human", "ai", "human"]


def test_a_history_that_is_no_list_of_messages_is_left_out() -> None:
    given = {"input": "And of Z?", "history": "Human: Capital of X?\nAI: Y"}
    assert messages_of(given) == [HumanMessage("And of Z?")]


def test_text_is_that_of_strings_and_messages() -> None:
    blocks = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert text_of(AIMessage(blocks)) == "one two"
    assert type(text_of(AIMessage("one"))) is str
    assert text_of("caf\ud83d") == "caf?"
    with pytest.raises(QueryError, match="got dict"):
        text_of({})


# -- out -----------------------------------------------------------------------------------


class Answer(BaseModel):
    answer: str


class State(TypedDict):
    question: str
    answer: str


def graph(state: Any) -> Runnable[Any, Any]:
    builder = StateGraph(state)
    builder.add_node("only", lambda state: {})
    builder.add_edge(START, "only")
    return builder.compile()


def typed(kind: Any) -> Runnable[Any, Any]:
    def base(_: Any) -> Any:
        raise AssertionError

    base.__annotations__["return"] = kind
    return RunnableLambda(base)


BASES: dict[str, tuple[Runnable[Any, Any], str]] = {
    "a chat model": (MODEL, "message"),
    "a bound chat model": (MODEL.bind(stop=["x"]).with_config(tags=["mine"]), "message"),
    "one with fallbacks and retries": (MODEL.with_fallbacks([MODEL]).with_retry(), "message"),
    "one that says it returns a message": (typed(AIMessage), "message"),
    "one that says it returns text or a message": (typed(str | AIMessage), "message"),
    "an LLM": (FakeListLLM(responses=["said"]), "text"),
    "a chain that parses": (MODEL | StrOutputParser(), "text"),
    "a function that does not say": (RunnableLambda(lambda _: ""), "text"),
    "a parallel": (RunnableParallel(answer=MODEL, context=lambda _: []), "dict"),
    "an assignment": (RunnablePassthrough.assign(answer=MODEL), "dict"),
    "a typed dict": (typed(State), "dict"),
    "a graph of messages": (graph(MessagesState), "messages"),
    "a graph with an answer": (graph(State), "dict"),
    "a graph with a model as its state": (graph(Answer), "dict"),
}


@pytest.mark.parametrize("name", BASES)
def test_the_output_type_is_found_out_from_what_the_base_says_of_itself(name: str) -> None:
    base, kind = BASES[name]
    assert output_shape(base, "auto", None).kind == kind


def test_what_is_said_wins_over_what_is_found() -> None:
    assert output_shape(MODEL, "text", None).kind == "text"
    shape = output_shape(RunnableLambda(lambda _: {}), "auto", "reply")
    assert (shape.kind, shape.key) == ("dict", "reply")


@pytest.mark.parametrize("base", [typed(dict), typed(dict[str, str]), RunnableParallel(x=MODEL)])
def test_a_dict_without_a_known_answer_key_is_an_error(base: Any) -> None:
    with pytest.raises(ConfigError, match="Say answer_key="):
        output_shape(base, "auto", None)


def test_a_pydantic_model_as_answer_is_an_error() -> None:
    with pytest.raises(ConfigError, match="pydantic model Answer"):
        output_shape(MODEL | PydanticOutputParser(pydantic_object=Answer), "auto", None)


@pytest.mark.parametrize("raw", ["Y", AIMessage("Y"), HumanMessage("Y")])
def test_an_answer_takes_on_the_bases_type(raw: Any) -> None:
    assert output_shape(FakeListLLM(responses=[""]), "auto", None).whole(raw, "q", [EDIT]) == "Y"
    message = output_shape(MODEL, "auto", None).whole(raw, "q", [EDIT])
    assert isinstance(message, AIMessage)
    assert message.text == "Y"
    assert message.response_metadata == {"serac_edits": ["x"]}


def test_a_models_own_message_is_kept_and_not_changed() -> None:
    raw = AIMessage("Y", id="run-1", response_metadata={"model": "m"})
    message = output_shape(MODEL, "auto", None).whole(raw, "q", [EDIT])
    assert message.id == "run-1"
    assert message.response_metadata == {"model": "m", "serac_edits": ["x"]}
    assert raw.response_metadata == {"model": "m"}


def test_a_dict_answer_carries_only_the_keys_that_the_base_has() -> None:
    base = RunnableParallel(answer=MODEL | StrOutputParser(), context=lambda _: [])
    answer = output_shape(base, "auto", None).whole("Y", {"question": "q", "lang": "en"}, [EDIT])
    assert answer == {"answer": "Y", "context": [document_of(EDIT)]}


def test_in_a_stream_only_the_first_chunk_says_which_edit_fired() -> None:
    shaped = output_shape(MODEL, "auto", None).chunks("q", [EDIT])
    chunks = [chunk for raw in ("one ", AIMessageChunk("two")) for chunk in shaped(raw)]
    assert [chunk.text for chunk in chunks] == ["one ", "two"]
    assert [chunk.response_metadata for chunk in chunks] == [{"serac_edits": ["x"]}, {}]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)


def test_an_edit_as_a_document_has_its_fields_as_metadata() -> None:
    document = document_of(EDIT, score=0.9)
    assert isinstance(document, Document)
    assert document.id == "x"
    assert document.page_content == "Capital of X?\nY"
    assert document.metadata["tags"] == ["geo"]
    assert document.metadata["note"] == "from the atlas"
    assert document.metadata["score"] == 0.9
    assert "in_scope" not in document.metadata


@pytest.mark.parametrize(
    "base",
    [typed(int), typed(bool), typed(list[str]), MODEL | JsonOutputParser()],
)
def test_an_answer_that_no_edit_can_take_on_is_an_error_at_once(base: Any) -> None:
    with pytest.raises(ConfigError, match="say output= or answer_key="):
        output_shape(base, "auto", None)
    assert output_shape(base, "auto", "reply").kind == "dict"


def test_messages_may_be_one_string_as_in_langgraph() -> None:
    assert query_of({"messages": "Who wrote Emma?"}) == "Who wrote Emma?"


def postponed(question: str) -> AIMessage:
    return AIMessage(question)  # this module's annotations are strings


def test_postponed_annotations_are_looked_up() -> None:
    assert output_shape(RunnableLambda(postponed), "auto", None).kind == "message"


def test_a_chain_with_history_must_say_what_it_answers_with() -> None:
    base = RunnableWithMessageHistory(MODEL, lambda session_id: InMemoryChatMessageHistory())
    with pytest.raises(ConfigError, match="output='message'"):
        output_shape(base, "auto", None)
    assert output_shape(base, "message", None).kind == "message"
