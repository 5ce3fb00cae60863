"""What is asked first: fitted on what the head accepts, and on what retrieval brings by mistake."""

from __future__ import annotations

import random

import numpy as np
import pytest

from serac_retriever import Edit, LateInteractionScope
from serac_retriever.scope.calibration import Pair
from serac_retriever.training.cascade import accepted, fit_cascade, strangers
from tests.training.drawn import about, three_parts

Parts = tuple[LateInteractionScope, LateInteractionScope, list[list[Edit]]]


@pytest.fixture(scope="module")
def parts() -> Parts:
    """The head by itself, the head with a cascade, and suites that neither has seen."""
    thorough = LateInteractionScope.packaged().model_copy(update={"glance": None, "exit": None})
    fitting, validation, unseen = three_parts()
    glance, exit = fit_cascade(thorough, fitting, [*validation, []], random.Random(0))
    return thorough, thorough.model_copy(update={"glance": glance, "exit": exit}), unseen


def test_what_the_head_accepts_is_kept_with_the_very_same_score(parts: Parts) -> None:
    thorough, cascade, unseen = parts
    wanted = [pair for suite in unseen for pair in accepted(thorough, suite)]
    assert len(wanted) > 200
    scores = np.array(cascade.score_pairs(wanted))
    assert (scores > 0).mean() > 0.97
    assert (scores == thorough.score_pairs(wanted))[scores > 0].all()


def test_strangers_are_turned_away_by_the_glance_and_of_the_rest_by_the_exit(parts: Parts) -> None:
    _, cascade, unseen = parts
    met = strangers(unseen, random.Random(2))
    passing = _passing(cascade, met)
    assert 0 < len(passing) < 0.4 * len(met)
    assert np.mean([score == 0 for score in cascade.score_pairs(passing)]) > 0.5


def test_strangers_are_of_other_suites_or_other_domains() -> None:
    kitchens = [_of(about(name, "Who taught {}?", "x", name), "kitchens") for name in ("Ada", "Bo")]
    harbours = [_of(about("Cy", "Who taught {}?", "x", "Cy"), "harbours")]
    elsewhere = [about("Di", "Who met {}?", "x", "Di"), about("Ed", "Who met {}?", "x", "Ed")]
    met = strangers([[*kitchens, *harbours], elsewhere], random.Random(0))
    beside = {query: {c.edit.prompt for q, c in met if q == query} for query, _ in met}
    others = {"Who met Di?", "Who met Ed?"}
    taught = {name: f"Who taught {name}?" for name in ("Ada", "Bo", "Cy")}
    assert beside["Ada"] == beside["Bo"] == {taught["Cy"], *others}
    assert beside["Cy"] == {taught["Ada"], taught["Bo"], *others}
    assert beside["Di"] == beside["Ed"] == {*taught.values()}


def _of(edit: Edit, domain: str) -> Edit:
    return edit.model_copy(update={"metadata": {**edit.metadata, "domain": domain}})


def _passing(scope: LateInteractionScope, pairs: list[Pair]) -> list[Pair]:
    assert scope.glance is not None
    passes = scope.glance(scope.resemblance(pairs)) >= 0
    return [pair for pair, kept in zip(pairs, passes, strict=True) if kept]
