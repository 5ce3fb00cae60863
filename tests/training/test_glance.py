"""The glance: fitted on what the head accepts, against what retrieval brings by mistake."""

from __future__ import annotations

import random

from serac_retriever import LateInteractionScope
from serac_retriever.training.glance import accepted, fit_glance, strangers
from tests.training.drawn import three_parts


def test_it_turns_strangers_away_and_keeps_what_the_head_accepts() -> None:
    scope = LateInteractionScope.packaged()
    fitting, validation, unseen = three_parts()
    scope.glance = fit_glance(scope, fitting, validation, random.Random(0))
    assert len(scope.glance) == 6
    wanted = [pair for suite in unseen for pair in accepted(scope, suite)]
    assert len(wanted) > 200
    assert (scope.glances(wanted) >= 0).mean() > 0.98
    assert (scope.glances(strangers(unseen, random.Random(2))) < 0).mean() > 0.7
