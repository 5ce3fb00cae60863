"""The metrics as pure functions (the paper's section 4, by exact match)."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """Return an answer without case, punctuation, articles and spare blanks, as SQuAD does.

    Example:
        >>> normalized("The  Prime Minister.")
        'prime minister'
    """
    text = ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION))
    return " ".join(text.split()) or answer.strip()  # an answer of punctuation alone is itself


def is_match(answer: str, accepted: Iterable[str]) -> bool:
    """Say whether an answer equals any accepted one, both normalised.

    Example:
        >>> is_match("keir starmer", ["Keir Starmer", "Starmer"])
        True
    """
    return normalized(answer) in {normalized(one) for one in accepted}


def share(outcomes: Sequence[bool]) -> float | None:
    """Return the share of true outcomes, in [0, 1]; None of no outcomes."""
    return sum(outcomes) / len(outcomes) if outcomes else None


def interval(outcomes: Sequence[bool], confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the exact (Clopper-Pearson) interval of a share; None of no outcomes.

    Example:
        >>> low, high = interval([True] * 98 + [False] * 2)
        >>> round(low, 3), round(high, 3)
        (0.93, 0.998)
    """
    from scipy.stats import binomtest

    if not outcomes:
        return None
    found = binomtest(sum(outcomes), len(outcomes)).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile."""
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}
