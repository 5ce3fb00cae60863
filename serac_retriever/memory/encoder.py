"""What stands between an encoder and Chroma: the embedding function that Chroma keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np
from chromadb.api.types import DefaultEmbeddingFunction, Documents, EmbeddingFunction
from chromadb.api.types import Embeddings as Vectors
from chromadb.utils.embedding_functions import (
    known_embedding_functions,
    register_embedding_function,
)
from langchain_core.embeddings import Embeddings

from serac_retriever.errors import EditMemoryError, EncoderMismatchError
from serac_retriever.models.encoder import PackagedEncoder, encoder_id, packaged_encoder
from serac_retriever.models.token_states import StateStore


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


@register_embedding_function
class LangChainEmbeddingFunction(EmbeddingFunction[Documents]):
    """Any LangChain encoder as an embedding function that Chroma can store and build again.

    Chroma stores the encoder's id. Where a memory with that encoder is open in the process, a
    client that passes no embedding function uses it too; elsewhere such a client is told which
    encoder is missing, and nothing is embedded with the wrong one.
    """

    _opened: ClassVar[WeakValueDictionary[str, Embeddings]] = WeakValueDictionary()

    def __init__(self, encoder: str, embeddings: Embeddings | None = None) -> None:
        self.encoder = encoder
        if embeddings is not None:
            self._opened[encoder] = embeddings

    def __call__(self, input: Documents) -> Vectors:
        """Embed documents: float32 vectors, one a document."""
        embeddings = self._opened.get(self.encoder)
        if embeddings is None:
            raise EncoderMismatchError(
                f"This collection's encoder is '{self.encoder}', and no EditMemory with it is open "
                "in this process. Open one with embeddings=, or pass vectors yourself."
            )
        return [np.array(vector, dtype=np.float32) for vector in embeddings.embed_documents(input)]

    @staticmethod
    def name() -> str:
        """What Chroma calls it."""
        return "serac_langchain"

    def get_config(self) -> dict[str, Any]:
        """What Chroma stores of it."""
        return {"encoder": self.encoder}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> LangChainEmbeddingFunction:
        """Build it from what Chroma stored."""
        return LangChainEmbeddingFunction(config["encoder"])


def embed(
    embeddings: Embeddings, texts: Sequence[str], states: StateStore | None = None
) -> list[list[float]]:
    """Embed texts in one call; what an encoder returns is checked before it is stored or asked.

    Args:
        embeddings: The encoder.
        texts: What to embed.
        states: Where the packaged encoder keeps the texts' token states.

    Raises:
        EditMemoryError: Not one vector of finite numbers a text, all of one length.
    """
    try:
        if states is not None and isinstance(embeddings, PackagedEncoder):
            vectors = embeddings.encode(texts, states)
        else:
            vectors = np.asarray(embeddings.embed_documents([*texts]), dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise EditMemoryError(
            f"Expected vectors of one length from the encoder: {error}"
        ) from error
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise EditMemoryError(
            f"Expected {len(texts)} vectors of finite numbers from '{encoder_id(embeddings)}', "
            f"got an array of shape {vectors.shape}."
        )
    rows: list[list[float]] = vectors.tolist()
    return rows


def embedding_function(embeddings: Embeddings) -> EmbeddingFunction[Any]:
    """Return the embedding function that Chroma stores with a collection of these embeddings."""
    encoder = encoder_id(embeddings)
    if encoder == PackagedEncoder.encoder_id:
        return PackagedEmbeddingFunction()
    return LangChainEmbeddingFunction(encoder, embeddings)
