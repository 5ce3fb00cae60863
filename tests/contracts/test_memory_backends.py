"""The memory's contract, on each backend that Chroma has."""

from __future__ import annotations

from collections.abc import Callable

import chromadb
import pytest

from serac_retriever.memory import EditMemory
from tests.contracts.memory import EditMemoryContract


class TestEveryBackend(EditMemoryContract):
    @pytest.fixture
    def memory(self, open_memory: Callable[..., EditMemory]) -> EditMemory:
        return open_memory()


class TestPackagedEncoder(EditMemoryContract):
    @pytest.fixture
    def memory(self, collection_name: str) -> EditMemory:
        return EditMemory(client=chromadb.EphemeralClient(), collection=collection_name)
