"""What stands between an encoder and Chroma: the embedding function that Chroma keeps."""

from __future__ import annotations

from typing import Any

from chromadb.api.types import DefaultEmbeddingFunction, Documents, EmbeddingFunction
from chromadb.api.types import Embeddings as Vectors
from chromadb.utils.embedding_functions import known_embedding_functions
from chromadb.utils.embedding_functions.chroma_langchain_embedding_function import (
    create_langchain_embedding,
)
from langchain_core.embeddings import Embeddings

from serac_retriever.models.encoder import PackagedEncoder, encoder_id, packaged_encoder


class PackagedEmbeddingFunction(DefaultEmbeddingFunction):
    """Chroma's default embedding function, with the weights of this package.

    A collection that names Chroma's ``default`` can be added to and queried by any Chroma client
    of any language. Chroma's own class downloads the model at first use; in a process that has
    imported this package the same model is served from here, offline.
    """

    def __call__(self, input: Documents) -> Vectors:
        """Embed documents: float32 vectors, shape (len(input), 384)."""
        return list(packaged_encoder().encode(input))

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> PackagedEmbeddingFunction:
        """Build the function from what Chroma stored of it (nothing)."""
        return PackagedEmbeddingFunction()


known_embedding_functions[DefaultEmbeddingFunction.name()] = PackagedEmbeddingFunction


def embedding_function(embeddings: Embeddings) -> EmbeddingFunction[Any]:
    """Return the embedding function that Chroma stores with a collection of these embeddings."""
    if encoder_id(embeddings) == PackagedEncoder.encoder_id:
        return PackagedEmbeddingFunction()
    return create_langchain_embedding(embeddings)
