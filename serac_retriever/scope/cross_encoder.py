"""The paper's cross-attention scope classifier: query and prompt read together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from serac_retriever.scope.calibration import Pair
from serac_retriever.scope.classifier import ScopeClassifier


class CrossEncoderScope(ScopeClassifier):
    """Judges with any sentence-transformers CrossEncoder that gives one number a pair.

    Slower than a similarity and better at near misses (the paper's section 3). All candidates of
    all queries of a batch go through the model together.

    Attributes:
        model: A CrossEncoder, or the name or folder of one; a name is loaded at the first pair.
        batch_size: Pairs a forward pass.

    Example:
        >>> CrossEncoderScope(model="folder-of-a-cross-encoder").batch_size
        64
    """

    model: Any = Field(exclude=True)
    batch_size: int = Field(default=64, ge=1)

    @cached_property
    def encoder(self) -> Any:
        """The CrossEncoder itself."""
        from sentence_transformers import CrossEncoder

        return CrossEncoder(str(self.model)) if isinstance(self.model, str | Path) else self.model

    def score_pairs(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the sigmoid of the model's output for (query, prompt)."""
        import torch

        scores = self.encoder.predict(
            [(query, candidate.edit.prompt) for query, candidate in pairs],
            batch_size=self.batch_size,
            activation_fn=torch.nn.Sigmoid(),
            show_progress_bar=False,
        )
        return [float(score) for score in scores]

    def save(self, folder: str | Path) -> Path:
        """Write the model beside the settings."""
        folder = super().save(folder)
        self.encoder.save_pretrained(str(folder / "cross-encoder"))
        return folder

    @classmethod
    def _restored(cls, folder: Path, settings: dict[str, Any]) -> Self:
        return cls(model=str(folder / "cross-encoder"), **settings)
