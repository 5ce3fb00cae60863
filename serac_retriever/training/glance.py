"""The scope head's first stage: a glance that turns away what is plainly no edit's business."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np

from serac_retriever.edit import Candidate, Edit
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.models.words import packaged_words
from serac_retriever.scope import LateInteractionScope
from serac_retriever.scope.calibration import Pair

LOST = 0.002  # of what the head would accept, in all
LOST_OF_ONE = 0.01  # in any one suite, whose thousandths are one query or none
ACCEPTED = 0.5  # a logit that a threshold somewhat below the packaged one lets pass
STRANGERS = 400  # queries of each suite


def fit_glance(
    scope: LateInteractionScope,
    fitting: Sequence[Sequence[Edit]],
    validation: Sequence[Sequence[Edit]],
    rng: random.Random,
) -> tuple[float, ...]:
    """Find the glance that turns away most strangers and hardly a pair that the head would accept.

    Logistic regression. Positives are the in-scope queries that the head accepts; negatives are
    queries of one suite beside their nearest prompt of the others, as retrieval would bring them.
    The constant is then set on validation suites, together and apart, so that no style pays for
    the others.

    Args:
        scope: The trained head.
        fitting: Suites to fit the weights on.
        validation: Others, to set the constant by.
        rng: All chance comes from here.

    Returns:
        What :attr:`LateInteractionScope.glance` takes.
    """
    from sklearn.linear_model import LogisticRegression

    inside = np.concatenate([_seen(accepted(scope, suite)) for suite in fitting])
    outside = _seen(strangers(fitting, rng))
    model = LogisticRegression(C=10, class_weight="balanced", max_iter=1000)
    model.fit(np.concatenate([inside, outside]), [1] * len(inside) + [0] * len(outside))
    factors = model.coef_[0]
    kept = [_seen(accepted(scope, suite)) @ factors for suite in validation]
    return (*map(float, factors), -lowest(kept))


def lowest(kept: Sequence[np.ndarray]) -> float:
    """Return the limit that a stage may set, from its scores of what it must let pass, by suite.

    At most 0.2 % of them lie below it, and 1 % of any suite's.
    """
    limits = [np.quantile(np.concatenate(kept), LOST)]
    limits += [np.quantile(values, LOST_OF_ONE) for values in kept]
    return float(min(limits))


def accepted(scope: LateInteractionScope, suite: Sequence[Edit]) -> list[Pair]:
    """Return the in-scope pairs of a suite that the head, asked, would let pass."""
    pairs = [(example.query, edit) for edit in suite for example in edit.in_scope]
    logits = scope.logits([(query, edit.prompt) for query, edit in pairs])
    return _with_cosines(p for p, logit in zip(pairs, logits, strict=True) if logit > ACCEPTED)


def strangers(suites: Sequence[Sequence[Edit]], rng: random.Random, nearest: int = 1) -> list[Pair]:
    """Pair queries with their nearest prompts among the edits of other suites."""
    found: list[tuple[str, Edit]] = []
    for place, suite in enumerate(suites):
        asked = [example.query for edit in suite for example in edit.in_scope]
        asked = rng.sample(asked, min(STRANGERS, len(asked)))
        others = [edit for i, other in enumerate(suites) if i != place for edit in other]
        vectors = packaged_encoder().encode([*asked, *(edit.prompt for edit in others)])
        cosines = vectors[: len(asked)] @ vectors[len(asked) :].T
        places = np.argsort(-cosines, axis=1)[:, :nearest]
        found += [(q, others[at]) for q, row in zip(asked, places, strict=True) for at in row]
    return _with_cosines(found)


def _with_cosines(pairs: Iterable[tuple[str, Edit]]) -> list[Pair]:
    pairs = [*pairs]
    vectors = packaged_encoder().encode([text for q, edit in pairs for text in (q, edit.prompt)])
    cosines = (vectors[::2] * vectors[1::2]).sum(axis=1).clip(-1, 1)
    return [
        (query, Candidate(edit=edit, similarity=float(cosine)))
        for (query, edit), cosine in zip(pairs, cosines, strict=True)
    ]


def _seen(pairs: Sequence[Pair]) -> np.ndarray:
    words = packaged_words()
    return np.concatenate([words.resemblance(q, [c.edit.prompt], [c.similarity]) for q, c in pairs])
