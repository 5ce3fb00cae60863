"""The gate's tests share one memory with three edits; backends are the memory's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import chromadb
import pytest

from serac_retriever.memory import EditMemory
from tests.gate.parts import CountingEncoder, Listener


@pytest.fixture(scope="session")
def edits() -> Iterator[EditMemory]:
    """A real Chroma collection with the real packaged encoder. Read it only."""
    with EditMemory(
        client=chromadb.EphemeralClient(), collection="gate-tests", embeddings=CountingEncoder()
    ) as memory:
        memory.add("Who is the UK prime minister?", "Keir Starmer", id="uk-pm")
        memory.add("What is the capital of Kazakhstan?", "Astana", id="capital")
        memory.add(
            "How long is the warranty on the Kettle 3000?",
            "Three years, <b>see</b> {terms}.",
            id="warranty",
            mode="verbatim",
        )
        yield memory


@pytest.fixture
def own_edits(collection_name: str) -> Iterator[EditMemory]:
    """An empty memory with the packaged encoder, to write to."""
    with EditMemory(client=chromadb.EphemeralClient(), collection=collection_name) as memory:
        yield memory


@pytest.fixture
def listener() -> Listener:
    return Listener()
