"""The memory as a LangChain retriever and vector store, held to LangChain's own standard tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import chromadb
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import RetrieversIntegrationTests

from serac_retriever import Edit
from serac_retriever.errors import ConfigError
from serac_retriever.memory import EditMemory, EditRetriever
from tests.encoders import WordEncoder

PROMPT = "Who is the UK prime minister?"
EDITS = [Edit(prompt=f"What is the capital of country {n}?", target=f"City {n}") for n in range(9)]


class TestLangChainStandard(RetrieversIntegrationTests):
    memory: ClassVar[EditMemory]

    @pytest.fixture(autouse=True)
    def filled(self, collection_name: str) -> None:
        type(self).memory = EditMemory(
            client=chromadb.EphemeralClient(), collection=collection_name, embeddings=WordEncoder()
        )
        self.memory.add_many(EDITS)

    @property
    def retriever_constructor(self) -> type[EditRetriever]:
        return EditRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"memory": self.memory}

    @property
    def retriever_query_example(self) -> str:
        return "capital of country"


@pytest.fixture
def filled(local_memory: EditMemory) -> EditMemory:
    local_memory.add(
        PROMPT, "Keir Starmer", id="uk-pm", tags=("uk",), author="Ada", metadata={"team": "geo"}
    )
    local_memory.add_many(EDITS)
    return local_memory


def test_a_document_says_prompt_and_target_and_carries_the_edit(filled: EditMemory) -> None:
    (document,) = filled.as_retriever(k=1).invoke("the UK prime minister")
    assert isinstance(document, Document)
    assert PROMPT in document.page_content
    assert "Keir Starmer" in document.page_content
    assert document.metadata["target"] == "Keir Starmer"
    assert document.metadata["author"] == "Ada"
    assert document.metadata["team"] == "geo"
    assert document.metadata["similarity"] == filled.search("the UK prime minister")[0].similarity


def test_the_nearest_edit_comes_first_and_k_of_them(filled: EditMemory) -> None:
    documents = filled.as_retriever(k=3).invoke("capital of country 4")
    assert len(documents) == 3
    assert documents[0].metadata["target"] == "City 4"
    assert len(filled.as_retriever().invoke("capital", k=2)) == 2


def test_less_similar_edits_can_be_left_out(filled: EditMemory) -> None:
    found = filled.as_retriever(k=9, min_similarity=0.99).invoke(PROMPT)
    assert [document.metadata["target"] for document in found] == ["Keir Starmer"]


@pytest.mark.parametrize("k", [0, -1])
def test_at_least_one_must_be_asked_for(filled: EditMemory, k: int) -> None:
    with pytest.raises(ConfigError, match="k from 1 to"):
        filled.as_retriever().invoke(PROMPT, k=k)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        filled.as_retriever(k=k)


async def test_it_is_one_step_of_a_chain_sync_and_async(filled: EditMemory) -> None:
    chain = filled.as_retriever(k=1) | RunnableLambda(lambda found: found[0].metadata["target"])
    assert chain.invoke(PROMPT) == await chain.ainvoke(PROMPT) == "Keir Starmer"
    assert chain.batch([PROMPT, "capital of country 7"]) == ["Keir Starmer", "City 7"]


def test_retired_edits_are_no_documents(filled: EditMemory) -> None:
    filled.retire("uk-pm")
    assert "Keir Starmer" not in {
        document.metadata["target"] for document in filled.as_retriever(k=20).invoke(PROMPT)
    }


def test_the_active_edits_are_a_langchain_vector_store(
    open_memory: Callable[..., EditMemory],
) -> None:
    memory = open_memory()
    memory.add(PROMPT, "Keir Starmer")
    memory.add("The prime minister of old?", "x", status="retired")
    store = memory.as_vectorstore()
    ((document, distance),) = store.similarity_search_with_score(PROMPT)
    assert document.page_content == PROMPT
    assert document.metadata["target"] == "Keir Starmer"
    assert distance == pytest.approx(0, abs=1e-3)
    store.add_texts(["Capital of X?"], metadatas=[{"target": "Y"}], ids=["x"])
    assert memory.get("x").target == "Y"
    assert memory.search("capital of x", k=1)[0].edit.id == "x"
