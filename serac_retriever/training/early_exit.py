"""The scope head's second stage: an exit for pairs that a first comparison shows to be no match."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

import numpy as np

from serac_retriever.edit import Edit
from serac_retriever.models.interaction import EarlyExit, Floats
from serac_retriever.scope import LateInteractionScope
from serac_retriever.scope.calibration import Pair
from serac_retriever.training.glance import accepted, lowest, strangers

UNITS = 32
PASSES = 12
CHUNK = 1024  # pairs whose tokens are held at once


def fit_early_exit(
    scope: LateInteractionScope,
    fitting: Sequence[Sequence[Edit]],
    validation: Sequence[Sequence[Edit]],
    rng: random.Random,
) -> EarlyExit:
    """Find the exit that lets most strangers and near misses go, and hardly what the head accepts.

    A perceptron with one hidden layer over what the head's first stage says of a pair. Positives
    are the in-scope queries that the whole head accepts; negatives are the suites' near misses
    and queries of one suite beside their nearest prompts of the others. The constant is set as the
    glance's is (:func:`lowest`).

    Args:
        scope: The trained head.
        fitting: Suites to fit on.
        validation: Others, to set the constant by.
        rng: All chance comes from here.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    inside = [pair for suite in fitting for pair in _texts(accepted(scope, suite))]
    outside = [(e.query, edit.prompt) for s in fitting for edit in s for e in edit.out_of_scope]
    outside = rng.sample(outside, min(len(outside), len(inside)))
    outside += _texts(strangers(fitting, rng, nearest=3))
    seen = _pooled(scope, [*inside, *outside])
    labels = [1] * len(inside) + [0] * len(outside)
    network = MLPClassifier(
        (UNITS,), alpha=0.1, batch_size=256, max_iter=PASSES, tol=0, random_state=0
    )
    scaler = StandardScaler().fit(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        network.fit(scaler.transform(seen), labels)
    (hidden, out), (hidden_bias, _) = network.coefs_, network.intercepts_
    hidden = hidden / scaler.scale_[:, None]  # what is scaled in fitting is not in use
    parts = (hidden, hidden_bias - scaler.mean_ @ hidden, out[:, 0], np.zeros(()))
    exit = EarlyExit(*(np.asarray(part, dtype=np.float32) for part in parts))
    kept = [exit(_pooled(scope, _texts(accepted(scope, suite)))) for suite in validation]
    exit.constant = np.array(-lowest(kept), dtype=np.float32)
    return exit


def _texts(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(query, candidate.edit.prompt) for query, candidate in pairs]


def _pooled(scope: LateInteractionScope, texts: Sequence[tuple[str, str]]) -> Floats:
    """Return pairs in short, (pairs, 1920)."""
    chunks = (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
    return np.stack([pooled for chunk in chunks for *_, pooled in scope.compared(chunk)])
