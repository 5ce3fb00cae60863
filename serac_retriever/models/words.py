"""What a glance at two texts' words tells: no layer of the encoder runs for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serac_retriever.models import ENCODER_FOLDER, weights
from serac_retriever.models.encoder import PackagedEncoder, beginning, packaged_encoder

FILE = "words.safetensors"
UNKNOWN = 100  # the word piece that stands for a text without any
KEPT = 16_384  # texts whose word pieces are kept, some 200 bytes each

Floats = npt.NDArray[np.float32]


class Words:
    """The encoder's word pieces: a short vector of each, and how much it weighs.

    The vectors are the encoder's own word embeddings, cut down to their main components; a rare
    piece weighs more than a common one.

    Args:
        folder: Where ``words.safetensors`` lies.
        encoder: Whose word pieces they are.
    """

    def __init__(
        self, folder: Path = ENCODER_FOLDER, encoder: PackagedEncoder | None = None
    ) -> None:
        self.folder = folder
        self.encoder = encoder or packaged_encoder()
        self._pieces = lru_cache(KEPT)(self._read)

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        from safetensors.numpy import load_file

        stored = load_file(weights(self.folder, FILE))
        vectors = stored["vectors"].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1)
        return vectors, stored["weights"].astype(np.float32)

    def _read(self, text: str) -> npt.NDArray[np.int32]:
        return np.array(self.encoder.pieces(text) or [UNKNOWN], dtype=np.int32)

    def resemblance(self, query: str, texts: Sequence[str], cosines: Sequence[float]) -> Floats:
        """Return how alike a query and each of some texts are, as seven numbers.

        The cosine; then, of the query's pieces and of the text's, how well each is matched by its
        best counterpart on the other side, by weight: on average (a share, in [0, 1]) and in all
        (the length of the vector of matches: much in common counts more than little). At last the
        logarithms of how many pieces either has: of a long text little need be matched.

        Args:
            query: The query.
            texts: At least one.
            cosines: The cosine similarity of the query to each text.

        Returns:
            Shape (len(texts), 7).

        Example:
            >>> alike, unlike = Words().resemblance(
            ...     "Who wrote Emma?", ["Emma's author", "Capital of Peru?"], [0.7, 0.1])
            >>> bool((alike > unlike)[:5].all())
            True
        """
        vectors, weight = self._table
        asked, *told = (self._pieces(beginning(text)) for text in (query, *texts))
        every = np.concatenate(told)
        lengths = np.array([len(one) for one in told])
        starts = np.cumsum(lengths) - lengths
        similar = (vectors[asked] @ vectors[every].T).clip(min=0)
        ours, theirs = weight[asked], weight[every]
        matched = np.maximum.reduceat(similar, starts, axis=1) * ours[:, None]
        matching = similar.max(axis=0) * theirs
        return np.stack(
            [
                np.asarray(cosines, dtype=np.float32),
                matched.sum(axis=0) / ours.sum(),
                np.add.reduceat(matching, starts) / np.add.reduceat(theirs, starts),
                np.sqrt((matched**2).sum(axis=0)),
                np.sqrt(np.add.reduceat(matching**2, starts)),
                np.full(len(texts), np.log(len(asked))),
                np.log(lengths),
            ],
            axis=1,
            dtype=np.float32,
        )


@cache
def packaged_words() -> Words:
    """Return the packaged word pieces, one table for the process."""
    return Words()
