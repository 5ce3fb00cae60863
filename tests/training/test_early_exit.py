"""The exit: fitted on what the head's first stage says of what the whole head accepts."""

from __future__ import annotations

import random

import numpy as np

from serac_retriever import LateInteractionScope
from serac_retriever.scope.calibration import Pair
from serac_retriever.training.early_exit import fit_early_exit
from serac_retriever.training.glance import accepted, strangers
from tests.training.drawn import three_parts


def test_it_lets_strangers_go_and_keeps_what_the_head_accepts() -> None:
    scope = LateInteractionScope.packaged()
    fitting, validation, unseen = three_parts()
    early = fit_early_exit(scope, fitting, validation, random.Random(0))

    def stopped(pairs: list[Pair]) -> np.ndarray:
        texts = [(query, candidate.edit.prompt) for query, candidate in pairs]
        return np.array([early(pooled) < 0 for *_, pooled in scope.compared(texts)])

    wanted = [pair for suite in unseen for pair in accepted(scope, suite)]
    assert len(wanted) > 200
    assert stopped(wanted).mean() < 0.03
    assert stopped(strangers(unseen, random.Random(2))).mean() > 0.7
