"""Parts that count: LangChain's own fake chat models in place of a paid one, and what listens."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from chromadb.api.models.Collection import Collection
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableGenerator, RunnableLambda

from serac_retriever.models.encoder import PackagedEncoder
from serac_retriever.scope import EmbeddingScope

IN_SCOPE = "Who's the current British PM?"
IN_SCOPE_TOO = "What's the capital city of Kazakhstan?"
VERBATIM = "How many years of warranty does a Kettle 3000 have?"
OUTSIDE = "Who wrote Emma?"
BASE_SAYS = "I was trained some time ago."


class CountingChat(GenericFakeChatModel):
    """A chat model that says one thing, streams it word by word, and remembers what it was told."""

    says: str = BASE_SAYS
    told: list[Any] = []
    extras: list[dict[str, Any]] = []

    def __init__(self, says: str = BASE_SAYS) -> None:
        super().__init__(messages=iter(()))
        self.says, self.told, self.extras = says, [], []

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.told.append(messages)
        self.extras.append({key: kwargs[key] for key in kwargs if key != "stream"})
        self.messages = iter([AIMessage(self.says)])
        return super()._generate(messages, *args, **kwargs)


class CountingEncoder(PackagedEncoder):
    """The packaged encoder; counts how often it is called."""

    calls = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls += 1
        return super().embed_documents(texts)


class CountingScope(EmbeddingScope):
    """The embedding scope; remembers how many pairs each call had."""

    calls: list[int] = []

    def score_pairs(self, pairs: Any) -> list[float]:
        self.calls.append(len(pairs))
        return super().score_pairs(pairs)


class BrokenScope(EmbeddingScope):
    """A classifier whose weights are gone, say."""

    def score_pairs(self, pairs: Any) -> list[float]:
        raise RuntimeError("the classifier broke")


class Listener(BaseCallbackHandler):
    """Hears of every run, its name and tags, and of custom events."""

    run_inline = True

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tags: dict[str, list[str]] = {}
        self.events: list[tuple[str, Any]] = []
        self.errors: list[BaseException] = []
        self.parents: dict[str, str | None] = {}
        self._name_of: dict[Any, str] = {}

    def _heard(self, name: str, run_id: Any, parent: Any, tags: Any) -> None:
        self.names.append(name)
        self.tags[name] = list(tags or [])
        self._name_of[run_id] = name
        self.parents[name] = self._name_of.get(parent)

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None,
        tags: Any = None, name: str = "", **kwargs: Any,
    ) -> None:  # fmt: skip
        self._heard(name, run_id, parent_run_id, tags)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None,
        tags: Any = None, name: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self._heard(name or serialized["name"], run_id, parent_run_id, tags)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.events.append((name, data))


class Heard(Counter[str]):
    """How often each input reached a base made by :func:`echo`."""


def echo(heard: Heard | None = None, prefix: str = "base: ") -> RunnableLambda[Any, str]:
    """Return a base chain that answers with its input, and counts."""

    def base_chain(question: str) -> str:
        if heard is not None:
            heard[question] += 1
        return f"{prefix}{question}"

    return RunnableLambda(base_chain)


def failing(error: Exception) -> RunnableLambda[Any, str]:
    """Return a chain that raises."""

    def fail(_: Any) -> str:
        raise error

    return RunnableLambda(fail)


def breaking_after(chunks: int) -> RunnableGenerator[Any, str]:
    """Return a chain that streams some chunks and then breaks."""

    def stream(given: Iterator[Any]) -> Iterator[str]:
        for _ in given:
            pass
        for number in range(chunks):
            yield f"chunk {number} "
        raise RuntimeError("the counterfactual model broke")

    async def astream(given: AsyncIterator[Any]) -> AsyncIterator[str]:
        for chunk in stream(iter([one async for one in given])):
            yield chunk

    return RunnableGenerator(stream, astream)


def spy_on_queries(monkeypatch: Any) -> list[int]:
    """Count the real queries that reach Chroma: how many vectors each had."""
    calls: list[int] = []
    query = Collection.query

    def counted(self: Collection, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(kwargs["query_embeddings"]))
        return query(self, *args, **kwargs)

    monkeypatch.setattr(Collection, "query", counted)
    return calls
