"""The scope head's first stage: a glance that turns away what is plainly no edit's business."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from serac_retriever.edit import Edit
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.models.interaction import resemblances
from serac_retriever.scope import LateInteractionScope

LOST = 0.002  # of what the head would accept, in any one suite
ACCEPTED = -1.0  # a logit that a lenient threshold still lets pass


def fit_glance(
    scope: LateInteractionScope,
    fitting: Sequence[Sequence[Edit]],
    validation: Sequence[Sequence[Edit]],
    rng: random.Random,
) -> tuple[float, ...]:
    """Find the glance that turns away most strangers and hardly a pair that the head would accept.

    Logistic regression over the tokens' resemblance. Positives are the in-scope queries that the
    head accepts; negatives are queries of one suite beside their nearest prompt of the others, as
    retrieval would bring them. The constant is then set on validation suites, apart for each, so
    that no style pays for the others.

    Args:
        scope: The trained head.
        fitting: Suites to fit the weights on.
        validation: Others, to set the constant by.
        rng: All chance comes from here.

    Returns:
        What :attr:`LateInteractionScope.glance` takes.
    """
    from sklearn.linear_model import LogisticRegression

    inside = np.concatenate([resemblances(_accepted(scope, suite)) for suite in fitting])
    outside = resemblances(_strangers(fitting, rng))
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(np.concatenate([inside, outside]), [1] * len(inside) + [0] * len(outside))
    weights = model.coef_[0]
    kept = [resemblances(_accepted(scope, suite)) @ weights for suite in validation]
    return (*map(float, weights), -float(min(np.quantile(values, LOST) for values in kept)))


def _accepted(scope: LateInteractionScope, suite: Sequence[Edit]) -> list[tuple[str, str]]:
    pairs = [(example.query, edit.prompt) for edit in suite for example in edit.in_scope]
    logits = scope.logits(pairs)
    return [pair for pair, logit in zip(pairs, logits, strict=True) if logit > ACCEPTED]


def _strangers(suites: Sequence[Sequence[Edit]], rng: random.Random) -> list[tuple[str, str]]:
    """Pair queries with their nearest prompts among the edits of other suites."""
    found = []
    for place, suite in enumerate(suites):
        asked = [example.query for edit in suite for example in edit.in_scope]
        asked = rng.sample(asked, min(400, len(asked)))
        others = [e.prompt for i, other in enumerate(suites) if i != place for e in other]
        vectors = packaged_encoder().encode([*asked, *others])
        nearest = (vectors[: len(asked)] @ vectors[len(asked) :].T).argmax(axis=1)
        found += [(query, others[at]) for query, at in zip(asked, nearest, strict=True)]
    return found
