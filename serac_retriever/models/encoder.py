"""The packaged sentence encoder: all-MiniLM-L6-v2 in ONNX, as LangChain ``Embeddings``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from serac_retriever.models import ENCODER_FOLDER, weights

MAX_TOKENS = 256  # as the model was trained, and as Chroma's default embedding function cuts
BATCH = 32
MAX_CHARACTERS = 16 * MAX_TOKENS  # more never reaches the model, and would be tokenised for nothing


class PackagedEncoder(Embeddings):
    """all-MiniLM-L6-v2, the model of Chroma's default embedding function, from this package.

    No network, key or torch. Weights load at the first text (about a second). Texts of more than
    256 tokens are judged by their beginning.

    Args:
        folder: Where ``encoder.onnx`` and ``tokenizer.json`` lie.
        threads: onnxruntime threads. One is fastest for single queries and safe beside other work.

    Example:
        >>> vector = PackagedEncoder().embed_query("Who leads Britain?")
        >>> len(vector)
        384
    """

    encoder_id = "all-MiniLM-L6-v2"

    def __init__(self, folder: Path = ENCODER_FOLDER, threads: int = 1) -> None:
        self.folder = folder
        self.threads = threads

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            weights(self.folder, "encoder.onnx"), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(weights(self.folder, "tokenizer.json")))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
        return tokenizer

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts.

        Returns:
            Unit vectors, float32, shape (len(texts), 384): their dot product is the cosine.
        """
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding
        for start in range(0, len(texts), BATCH):
            rows = by_length[start : start + BATCH]
            vectors[rows] = self._encode_batch([texts[row] for row in rows])
        return vectors

    def _encode_batch(self, texts: list[str]) -> npt.NDArray[np.float32]:
        encodings = self._tokenizer.encode_batch([_beginning(text) for text in texts])
        fields = {
            "input_ids": "ids",
            "attention_mask": "attention_mask",
            "token_type_ids": "type_ids",
        }
        inputs = {
            name: np.array([getattr(encoding, field) for encoding in encodings], dtype=np.int64)
            for name, field in fields.items()
        }
        (vectors,) = self._session.run(["sentence_embedding"], inputs)
        return np.asarray(vectors, dtype=np.float32)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts as lists of 384 floats."""
        vectors: list[list[float]] = self.encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed one text as a list of 384 floats."""
        return self.embed_documents([text])[0]


def _beginning(text: str) -> str:
    """Return what of a text can reach the model, as Unicode that a tokenizer can read."""
    if len(text) > MAX_CHARACTERS:  # blanks are no tokens: a question may follow thousands
        text = " ".join(text.split())[:MAX_CHARACTERS]
    return text.encode(errors="replace").decode()


@cache
def packaged_encoder() -> PackagedEncoder:
    """Return the packaged encoder, one for the process: its weights load once."""
    return PackagedEncoder()


def encoder_id(embeddings: Embeddings) -> str:
    """Return the name that a collection remembers its encoder by.

    An ``encoder_id`` attribute wins; else it is the class and the model's name.
    """
    own = getattr(embeddings, "encoder_id", None)
    if own:
        return str(own)
    kind = type(embeddings)
    names = (
        getattr(embeddings, name, None) for name in ("model_name", "model", "model_id", "repo_id")
    )
    model = next((name for name in names if isinstance(name, str)), "")
    return f"{kind.__module__}.{kind.__qualname__}:{model}".rstrip(":")
