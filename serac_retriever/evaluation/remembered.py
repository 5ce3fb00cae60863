"""Encoder and classifier that remember: several measurements have queries in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings
from pydantic import PrivateAttr

from serac_retriever.models.encoder import encoder_id
from serac_retriever.scope import ScopeClassifier
from serac_retriever.scope.calibration import Pair


class Remembered(Embeddings):
    """Embeds each text once: several measurements ask the same queries of other memories."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.encoder_id = encoder_id(embeddings)
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}

    @classmethod
    def of(cls, embeddings: Embeddings) -> Remembered:
        """Return the same, remembering."""
        return embeddings if isinstance(embeddings, cls) else cls(embeddings)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, those never seen before in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        found = self.embeddings.embed_documents(new) if new else []
        self._vectors.update(zip(new, np.asarray(found, dtype=np.float32), strict=True))
        return [self._vectors[text].tolist() for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed one text."""
        return self.embed_documents([text])[0]


class RememberedScope(ScopeClassifier):
    """Judges each pair once: several measurements judge the same queries among other edits.

    Attributes:
        scope: Who judges.

    Example:
        >>> from serac_retriever.scope import EmbeddingScope
        >>> RememberedScope.of(EmbeddingScope(threshold=0.7)).threshold
        0.7
    """

    scope: ScopeClassifier
    _scores: dict[tuple[str, str, str], float] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, scope: ScopeClassifier) -> RememberedScope:
        """Return the same, remembering; threshold, margin and calibration are its own."""
        if isinstance(scope, cls):
            return scope
        parts = {name: getattr(scope, name) for name in ("threshold", "calibration", "margin")}
        return cls(scope=scope, **parts)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the scores, asking for those of new pairs only."""
        keys = [(query, one.edit.prompt, one.edit.target) for query, one in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._scores}
        if new:
            found = self.scope.score_pairs([*new.values()])
            self._scores.update(zip(new, map(float, found), strict=True))
        return [self._scores[key] for key in keys]
