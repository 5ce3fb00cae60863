"""The glance: fitted on what the head accepts, against what retrieval brings by mistake."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from serac_retriever import LateInteractionScope
from serac_retriever.suites import read_suite
from serac_retriever.training.glance import fit_glance
from serac_retriever.training.relations import relation_edits

DEV = Path(__file__).parents[2] / "data" / "everyday" / "dev.jsonl"


def test_it_turns_strangers_away_and_keeps_what_the_head_accepts() -> None:
    scope = LateInteractionScope.packaged()
    everyday, relations = read_suite(DEV), relation_edits(80, random.Random(1))
    scope.glance = fit_glance(
        scope, [everyday[:40], relations[:40]], [everyday[40:70], relations[40:]], random.Random(0)
    )
    assert len(scope.glance) == 10
    kept = [(e.query, edit.prompt) for edit in everyday[40:70] for e in edit.in_scope]
    accepted = scope.logits(kept) > 0
    assert (scope.glances(kept)[accepted] >= 0).mean() > 0.98
    strange = [(e.query, edit.prompt) for edit, other in zip(everyday[70:100], relations[40:70])
               for e in other.in_scope]  # fmt: skip
    assert (scope.glances(strange) < 0).mean() > 0.8
    assert not np.isnan(scope.glances([("", "?")])).any()
