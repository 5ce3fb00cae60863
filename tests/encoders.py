"""A small real encoder, for tests where the quality of the packaged one is not the point."""

from __future__ import annotations

import re
import zlib

import numpy as np
from langchain_core.embeddings import Embeddings

WORD = re.compile(r"\w+")


class WordEncoder(Embeddings):
    """A bag of hashed words, as unit vectors: texts that share words are near each other.

    Deterministic, 20 microseconds a text. `calls` lists how many texts each call embedded.
    """

    def __init__(self, dimensions: int = 64, name: str = "word-encoder") -> None:
        self.dimensions = dimensions
        self.encoder_id = f"{name}-{dimensions}"
        self.calls: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        return [self._embed(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]

    def _embed(self, text: str) -> list[float]:
        vector = np.full(self.dimensions, 1e-3)  # never the zero vector, which has no direction
        for word in WORD.findall(text[:10_000].lower()):
            code = zlib.crc32(word.encode(errors="replace"))
            vector[code % self.dimensions] += 1.0 if code & 1 << 20 else -1.0
        unit: list[float] = (vector / np.linalg.norm(vector)).tolist()
        return unit
