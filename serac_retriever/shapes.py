"""What goes into a chain and what comes out: finding the query, keeping the base's output type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
)
from langchain_core.messages.utils import convert_to_messages
from langchain_core.output_parsers import BaseOutputParser, StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from serac_retriever.edit import Edit
from serac_retriever.errors import ConfigError, QueryError

QUERY_KEYS = ("input", "question", "query", "messages")
HISTORY_KEYS = ("chat_history", "history", "messages")
ANSWER_KEYS = ("answer", "output", "result", "response", "text")
CONTEXT_KEYS = ("context", "source_documents", "documents")
Shape = Literal["auto", "text", "message", "dict", "messages"]


def text_of(value: Any) -> str:
    """Return the text of a string or a message; several content blocks are joined.

    Lone surrogates, which no tokenizer, store or API can encode, become question marks.
    """
    if isinstance(value, BaseMessage | str):
        text = value if isinstance(value, str) else str(value.text)
        return text.encode(errors="replace").decode()
    raise QueryError(f"Expected text or a message, got {type(value).__name__}.")


def messages_of(value: Any) -> list[BaseMessage] | None:
    """Return the conversation in a chain's input, the current turn last; None if there is none."""
    if isinstance(value, PromptValue | BaseMessage):
        return value.to_messages() if isinstance(value, PromptValue) else [value]
    if isinstance(value, Mapping):
        history = _first_of(value, HISTORY_KEYS)
        current = _first_of(value, QUERY_KEYS[:3])
        if current is None:
            return [HumanMessage(history)] if isinstance(history, str) else messages_of(history)
        now = [HumanMessage(current)] if isinstance(current, str) else messages_of(current)
        return [*(messages_of(history) or []), *(now or [])]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        try:
            return convert_to_messages(value)
        except (ValueError, TypeError, NotImplementedError):
            return None
    return None


def _first_of(value: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """Return the first value that is filled in; else an empty one, if its key is there at all."""
    there = [value[key] for key in keys if value.get(key) is not None]
    filled = [found for found in there if not (isinstance(found, str | list | tuple) and not found)]
    return next(iter([*filled, *there]), None)


def query_of(value: Any, query_from: Callable[[Any], str] | None = None) -> str:
    """Return the query in a chain's input; an empty string where it is not the user's turn.

    Args:
        value: A string, a message, a list of messages, a PromptValue, or a mapping with one of
            ``input``, ``question``, ``query`` or ``messages``.
        query_from: Takes the query out of any other input; it wins where it is given.

    Raises:
        QueryError: The input is none of these.

    Example:
        >>> query_of({"question": "Who wrote Emma?", "lang": "en"})
        'Who wrote Emma?'
    """
    if query_from is not None:
        return text_of(query_from(value))
    if isinstance(value, str):
        return text_of(value)
    messages = messages_of(value)
    if messages is None:
        keys = f" with keys {sorted(map(str, value))}" if isinstance(value, Mapping) else ""
        raise QueryError(
            "Expected a string, messages, a PromptValue, or a dict with one of "
            f"{', '.join(QUERY_KEYS)}; got {type(value).__name__}{keys}. Say query_from=."
        )
    # a tool's result or an assistant's own words are not a question to patch
    last = messages[-1] if messages else None
    return text_of(last) if last is not None and _is_users(last) else ""


def _is_users(message: BaseMessage) -> bool:
    said_by = message.role if isinstance(message, ChatMessage) else None
    return isinstance(message, HumanMessage) or said_by in ("user", "human")


@dataclass(frozen=True)
class OutputShape:
    """The base's output type, and how an answer takes it on.

    Attributes:
        kind: ``text``, ``message``, ``dict`` with an answer key, or ``messages`` (a graph's state).
        key: The answer's key, of a dict.
        context: The key of the documents that an answer rests on, of a dict that has one.
        fields: All keys of a dict, where they are known; empty where any may be there.
        message: Whether a dict's answer is a message.
    """

    kind: Literal["text", "message", "dict", "messages"]
    key: str = "answer"
    context: str | None = None
    fields: frozenset[str] = frozenset()
    message: bool = False

    def whole(self, raw: Any, input: Any, edits: Sequence[Edit]) -> Any:
        """Give a counterfactual model's whole output the base's type."""
        if self.kind == "text":
            return text_of(raw)
        if self.kind == "message":
            return _message(raw, AIMessage, edits)
        if self.kind == "dict":
            answer = _message(raw, AIMessage, edits) if self.message else text_of(raw)
            return {**self._carried(input, edits), self.key: answer}
        turns = [*(messages_of(input) or []), _message(raw, AIMessage, edits)]
        return {**self._carried(input, edits), "messages": turns}

    def chunks(self, input: Any, edits: Sequence[Edit]) -> Callable[[Any], Iterator[Any]]:
        """Return what turns a counterfactual model's chunks, one by one, into the base's type."""
        told = [edits]  # which edits fired stands in the first chunk alone

        def shaped(raw: Any) -> Iterator[Any]:
            fired = told.pop() if told else ()
            if self.kind == "messages":
                yield self.whole(raw, input, edits)
                return
            as_message = self.kind == "message" or self.message
            chunk = _message(raw, AIMessageChunk, fired) if as_message else text_of(raw)
            if self.kind == "dict" and fired and (carried := self._carried(input, edits)):
                yield AddableDict(carried)
            yield AddableDict({self.key: chunk}) if self.kind == "dict" else chunk

        return shaped

    @property
    def streams(self) -> bool:
        """Whether an answer can come in pieces; a graph's state comes whole."""
        return self.kind != "messages"

    def _carried(self, input: Any, edits: Sequence[Edit]) -> dict[str, Any]:
        carried = {}
        if isinstance(input, Mapping):
            carried = {k: v for k, v in input.items() if k in self.fields or not self.fields}
        if self.context:
            carried[self.context] = [document_of(edit) for edit in edits]
        carried.pop(self.key if self.kind == "dict" else "messages", None)
        return carried


def _message(raw: Any, kind: type[AIMessage], edits: Sequence[Edit]) -> BaseMessage:
    message = raw if isinstance(raw, AIMessage) else kind(text_of(raw))
    if not edits:
        return message
    told = {**message.response_metadata, "serac_edits": [edit.id for edit in edits]}
    return message.model_copy(update={"response_metadata": told})


def document_of(edit: Edit, **metadata: Any) -> Document:
    """Return an edit as a LangChain document: prompt and target, its other fields as metadata."""
    record = edit.to_record()
    for name in ("in_scope", "out_of_scope"):
        record.pop(name, None)
    return Document(
        id=edit.id, page_content=f"{edit.prompt}\n{edit.target}", metadata={**record, **metadata}
    )


def output_shape(base: Runnable[Any, Any], kind: Shape, answer_key: str | None) -> OutputShape:
    """Find out what type the base answers with, from what it says of itself.

    Args:
        base: The user's chain.
        kind: ``auto``, or the answer to the question.
        answer_key: The key of the answer, where the base's output is a dict.

    Raises:
        ConfigError: It is a dict, and no key is known to hold the answer; or it is neither text
            nor a message nor a dict.
    """
    declared = _declared(base)
    properties = _properties(base, declared)
    if kind == "auto":
        _refuse_what_cannot_be_said(base, declared, properties, answer_key)
        kind = _kind(declared, properties, answer_key)
    if kind != "dict":
        return OutputShape(kind, fields=frozenset(properties) or frozenset({"messages"}))
    key = answer_key or _first(ANSWER_KEYS, properties)
    if key is None:
        raise ConfigError(
            f"Expected the base's output to have one of the keys {', '.join(ANSWER_KEYS)}, got "
            f"{sorted(properties)}. Say answer_key=."
        )
    is_open = not properties or "root" in properties  # RunnablePassthrough.assign passes all on
    return OutputShape(
        "dict",
        key,
        context="context" if is_open else _first(CONTEXT_KEYS, properties),
        fields=frozenset() if is_open else frozenset(properties),
        message=any(name in str(properties.get(key)) for name in ("AIMessage", "BaseMessage")),
    )


def _first(keys: Sequence[str], fields: Mapping[str, Any]) -> str | None:
    return next((key for key in keys if key in fields), None)


def _kind(
    declared: Any, fields: Mapping[str, Any], answer_key: str | None
) -> Literal["text", "message", "dict", "messages"]:
    if "messages" in fields and answer_key is None:
        return "messages"
    if answer_key or fields or dict in (declared, get_origin(declared)):
        return "dict"
    return "message" if _is_message(declared) else "text"


def _refuse_what_cannot_be_said(
    base: Runnable[Any, Any], declared: Any, fields: Mapping[str, Any], answer_key: str | None
) -> None:
    """Raise where the base answers with something that an edit cannot be put into."""
    if answer_key or "messages" in fields:
        return
    if isinstance(base, RunnableWithMessageHistory):
        raise ConfigError(
            "A RunnableWithMessageHistory does not tell what it answers with: say "
            "output='message', output='text' or answer_key=; or put Serac inside it."
        )
    is_model = isinstance(declared, type) and issubclass(declared, BaseModel)
    is_other = (get_origin(declared) or declared) in (list, tuple, set, int, float, bool, bytes)
    last = _last_step(base)
    is_parsed = (
        declared is Any
        and isinstance(last, BaseOutputParser)
        and not isinstance(last, StrOutputParser)
    )
    if (is_model and not _is_message(declared)) or is_other or is_parsed:
        name = type(last).__name__ if is_parsed else getattr(declared, "__name__", declared)
        found = f"the pydantic model {name}" if is_model else name
        raise ConfigError(
            f"Expected the base to answer with text, a message or a dict, got {found}. Wrap the "
            "chain before its parser; or say output= or answer_key= if it does answer so."
        )


def _last_step(base: Runnable[Any, Any]) -> Runnable[Any, Any]:
    while True:
        if isinstance(base, RunnableSequence):
            base = base.last
        elif isinstance(base, RunnableBindingBase):
            base = base.bound
        else:
            return base


def _declared(base: Runnable[Any, Any]) -> Any:
    try:
        declared = base.OutputType
    except TypeError:  # some Runnables do not know
        return Any
    if not isinstance(declared, str):
        return declared
    function = getattr(base, "func", None) or getattr(base, "afunc", None)
    try:  # a function of a module whose annotations are strings
        return get_type_hints(function)["return"]
    except Exception:  # a name that only a type checker can look up
        return Any


def _is_message(declared: Any) -> bool:
    if get_args(declared):
        return any(_is_message(part) for part in get_args(declared))
    return isinstance(declared, type) and issubclass(declared, BaseMessage)


def _properties(base: Runnable[Any, Any], declared: Any) -> dict[str, Any]:
    """Return the keys of the base's output, where it is a dict that tells them."""
    if _is_message(declared):  # an object with properties too, but no dict
        return {}
    if is_typeddict(declared):
        return dict(declared.__annotations__)
    try:
        return dict(base.get_output_jsonschema().get("properties", {}))
    except PydanticUserError:  # a graph's state, where typing's own TypedDict has no JSON schema
        return dict(getattr(base.get_output_schema(), "model_fields", {}))
    except Exception:  # the schema of somebody's Runnable may fail in any way: then none is known
        return {}
