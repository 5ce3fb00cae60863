"""The metrics as pure functions (the paper's section 4, by exact match)."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")
Interval = tuple[float, float] | None
VERDICTS = {"yes": True, "true": True, "no": False, "false": False}
RESAMPLES = 2000
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


def succeeded(answer: str, wanted: Iterable[str]) -> bool:
    """Say whether an in-scope answer is what the edit wants: edit success (ES) of one query.

    The paper's ES is the mean over in-scope inputs of 1[the edited model's answer is the edit's].
    Where what is wanted is a verdict, "Yes" and "True" are the same, and so are "No" and "False".

    Example:
        >>> succeeded("True", ["Yes"]), succeeded("No", ["True"]), succeeded("Yes", ["Norway"])
        (True, False, False)
    """
    wanted = [*wanted]
    verdicts = {VERDICTS[found] for one in wanted if (found := normalized(one)) in VERDICTS}
    return is_match(answer, wanted) or VERDICTS.get(normalized(answer)) in verdicts


def changed(answer: str, before: Iterable[str]) -> bool:
    """Say whether an out-of-scope answer is not the base's: drawdown (DD) of one query.

    The paper's DD is the mean over out-of-scope inputs of 1[the edited model's answer is not the
    base model's], whether that was right or wrong.

    Example:
        >>> changed("jane austen", ["Jane Austen"]), changed("Keir Starmer", ["Jane Austen"])
        (False, True)
    """
    return not succeeded(answer, before)


def share(outcomes: Sequence[bool]) -> float | None:
    """Return the share of true outcomes, in [0, 1]; None of no outcomes.

    Edit success is the share of :func:`succeeded`, drawdown that of :func:`changed`, recall@k that
    of in-scope queries whose edit was among the k retrieved (the ceiling on edit success).
    """
    return sum(outcomes) / len(outcomes) if outcomes else None


def interval(outcomes: Sequence[bool], confidence: float = 0.95) -> Interval:
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


def bootstrap(by_edit: Iterable[Sequence[float]], seed: int = 0) -> Interval:
    """Return the 95 % percentile interval of a mean; edits are resampled, with all their queries.

    Queries of one edit are alike, so that an exact interval over queries would be too narrow.

    Args:
        by_edit: Each edit's values; edits without any are left out.
        seed: Of the draws.

    Example:
        >>> bootstrap([[1.0, 1.0], [1.0]])
        (1.0, 1.0)
    """
    found = [(sum(values), len(values)) for values in by_edit if values]
    if not found:
        return None
    drawn = np.random.default_rng(seed).integers(len(found), size=(RESAMPLES, len(found)))
    sums, counts = np.array(found).T
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile."""
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}
