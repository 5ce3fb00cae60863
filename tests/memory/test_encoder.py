"""The encoder that a collection remembers, and the embedding function that Chroma keeps."""

from __future__ import annotations

import chromadb
import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from serac_retriever.memory import EditMemory
from serac_retriever.memory.encoder import PackagedEmbeddingFunction, embedding_function
from serac_retriever.models.encoder import PackagedEncoder, encoder_id, packaged_encoder
from tests.encoders import WordEncoder


class Named(Embeddings):
    def __init__(self, model: str) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, float(len(text))] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [1.0, float(len(text))]


def test_an_encoder_is_known_by_its_own_id() -> None:
    assert encoder_id(WordEncoder(32)) == "word-encoder-32"
    assert encoder_id(packaged_encoder()) == "all-MiniLM-L6-v2"


def test_an_encoder_without_one_is_known_by_class_and_model() -> None:
    assert encoder_id(Named("large")).endswith("Named:large")
    assert encoder_id(Named("large")) == encoder_id(Named("large")) != encoder_id(Named("small"))
    assert encoder_id(DeterministicFakeEmbedding(size=3)).endswith("DeterministicFakeEmbedding")


def test_chroma_keeps_the_packaged_encoder_under_its_own_default_s_name() -> None:
    memory = EditMemory(client=chromadb.EphemeralClient(), collection="encoder-default")
    kept = memory.collection.configuration_json["embedding_function"]
    assert (kept["name"], kept["type"]) == ("default", "known")
    assert memory.collection.metadata["serac_encoder"] == "all-MiniLM-L6-v2"


def test_chroma_rebuilds_the_packaged_encoder_without_being_given_it() -> None:
    function = PackagedEmbeddingFunction.build_from_config({})
    vectors = function(["Who leads Britain?", "Who wrote Emma?"])
    expected = packaged_encoder().embed_documents(["Who leads Britain?", "Who wrote Emma?"])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert isinstance(embedding_function(PackagedEncoder()), PackagedEmbeddingFunction)


def test_another_encoder_embeds_what_a_client_adds_through_the_collection() -> None:
    words = WordEncoder()
    function = embedding_function(words)
    np.testing.assert_allclose(function(["a b"])[0], words.embed_query("a b"), atol=1e-6)


@pytest.mark.parametrize("texts", [[], [""], ["", "a", "b" * 100_000]])
def test_the_packaged_encoder_gives_a_unit_vector_for_any_text(texts: list[str]) -> None:
    vectors = packaged_encoder().encode(texts)
    assert vectors.shape == (len(texts), 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_the_packaged_encoder_gives_each_text_its_vector_whatever_stands_beside_it() -> None:
    texts = ["short", "a much longer text than the one before " * 5, "middle of the road"]
    together = packaged_encoder().encode(texts)
    for text, vector in zip(texts, together, strict=True):
        assert float(vector @ packaged_encoder().encode([text])[0]) > 0.999


def test_paraphrases_are_nearer_than_other_questions() -> None:
    one, same, other = packaged_encoder().encode(
        ["Who is the UK prime minister?", "Who's the current British PM?", "Who wrote Emma?"]
    )
    assert one @ same > 0.6 > one @ other
