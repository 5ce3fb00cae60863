"""The paper's embedding-based scope classifier: a calibrated function of the similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field

from serac_retriever.models import FOLDER
from serac_retriever.scope.calibration import Pair
from serac_retriever.scope.classifier import ScopeClassifier


class EmbeddingScope(ScopeClassifier):
    """Judges by the cosine that Chroma returned already: it costs nothing.

    The paper's section 3 takes exp(-|a - b|²) of two encodings, a fixed function of the same
    cosine; here a logistic curve fitted on pairs turns it into a probability. It cannot tell a
    near miss from a paraphrase of the same similarity.

    Attributes:
        slope: Steepness of the curve, positive: a higher cosine is never less probable.
        midpoint: The cosine at which the probability is one half, in [-1, 1].

    Example:
        >>> EmbeddingScope(slope=20, midpoint=0.7).threshold
        0.5
    """

    slope: float = Field(default=20.0, gt=0)
    midpoint: float = Field(default=0.7, ge=-1, le=1)

    @classmethod
    def packaged(cls) -> Self:
        """Return the classifier that ships: fitted and calibrated for the packaged encoder."""
        return cls.load(FOLDER / "embedding-scope")

    def score_pairs(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the fitted probability of each candidate's cosine."""
        cosines = np.array([candidate.similarity for _, candidate in pairs])
        # written so that a steep curve cannot overflow
        scores: list[float] = np.exp(
            -np.logaddexp(0, -self.slope * (cosines - self.midpoint))
        ).tolist()
        return scores

    def fit(self, similarities: Sequence[float], in_scope: Sequence[bool]) -> Self:
        """Fit slope and midpoint to labelled cosines (Platt scaling); return the classifier.

        A calibration made with the curve before is dropped: its threshold means nothing here.

        Raises:
            CalibrationError: The labels are all alike, or the lower cosines are the in-scope ones.
        """
        from scipy.optimize import minimize

        from serac_retriever.errors import CalibrationError

        x, y = np.asarray(similarities, dtype=float), np.asarray(in_scope, dtype=float)
        if x.shape != y.shape or not 0 < y.sum() < y.size or not np.isfinite(x).all():
            raise CalibrationError(
                "Expected as many labels as similarities, some in scope and some out of it; got "
                f"{y.size} labels, {int(y.sum())} in scope, for {x.size} similarities."
            )
        # Platt's targets: pulled in from 0 and 1 so that separable data has a finite optimum
        goal = np.where(y > 0, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))

        def loss(w: np.ndarray) -> float:
            z = w[0] * (x - w[1])
            return float((np.logaddexp(0, z) - goal * z).mean())

        slope, midpoint = minimize(loss, [20.0, float(np.median(x))], method="Nelder-Mead").x
        if slope <= 0:
            raise CalibrationError("Expected in-scope pairs to be the more similar ones.")
        self.slope, self.midpoint = float(slope), float(np.clip(midpoint, -1, 1))
        self.threshold, self.calibration = 0.5, None
        return self
