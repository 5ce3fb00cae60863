"""Shared fixtures. Where a server is meant, it is a real `chroma run` process."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import chromadb
import pytest
from hypothesis import settings

from serac_retriever.memory import EditMemory
from tests.chroma_server import ChromaServer
from tests.encoders import WordEncoder

# a model loads at the first example, and machines are shared: time proves nothing here
settings.register_profile("project", deadline=None)
settings.load_profile("project")

BACKENDS = ("ephemeral", "embedded", "server")


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """A running server for the whole session. Stop it only in tests that start it again."""
    server = ChromaServer(tmp_path_factory.mktemp("chroma") / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Any) -> Iterator[ChromaServer]:
    """A running server of one's own, to stop, hang and kill."""
    server = ChromaServer(tmp_path / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def collection_name() -> str:
    """A collection name that no other test has."""
    return f"edits-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def words() -> WordEncoder:
    """A cheap, deterministic encoder: texts that share words are near each other."""
    return WordEncoder()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Where the edits lie. A test that names it runs once for each."""
    return str(request.param)


@pytest.fixture
def open_memory(
    backend: str, collection_name: str, tmp_path: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[..., EditMemory]]:
    """Open a memory on each backend: ``open_memory(embeddings=...)``. All see the same edits."""
    opened: list[EditMemory] = []

    def open_one(**fields: Any) -> EditMemory:
        fields = {"collection": collection_name, "embeddings": WordEncoder(), **fields}
        if backend == "server":
            memory = request.getfixturevalue("chroma_server").memory(**fields)
        elif backend == "embedded":
            memory = EditMemory(tmp_path / "edits", **fields)
        else:
            memory = EditMemory(client=chromadb.EphemeralClient(), **fields)
        opened.append(memory)
        return memory

    yield open_one
    for memory in opened:
        memory.close()


@pytest.fixture
def memory(open_memory: Callable[..., EditMemory]) -> EditMemory:
    """An empty edit memory with a cheap encoder; the test runs once on each backend."""
    return open_memory()


@pytest.fixture
def local_memory(collection_name: str) -> Iterator[EditMemory]:
    """An empty edit memory with a cheap encoder, in this process only: the fastest there is."""
    with EditMemory(
        client=chromadb.EphemeralClient(), collection=collection_name, embeddings=WordEncoder()
    ) as memory:
        yield memory
