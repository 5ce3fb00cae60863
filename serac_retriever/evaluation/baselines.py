"""What else one could do with the same edits: the paper's baselines and the ones in use today.

Each is a :class:`Bench` of its own, so that every one is asked the same queries.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableLambda

from serac_retriever.counterfactual import Verbatim
from serac_retriever.edit import Edit
from serac_retriever.evaluation.bench import Bench, Outcome, progress_bar
from serac_retriever.evaluation.fact_checking import claim_classifier, split
from serac_retriever.evaluation.remembered import RememberedScope
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import EmbeddingScope
from serac_retriever.scope.calibration import best_scores
from serac_retriever.training.claims import ClaimClassifier
from serac_retriever.training.recipe import Public

BASELINES = ("qa", "fc")  # the tasks that have them
VALIDATED = 200  # pieces of training evidence that the lookup cache's distance is chosen on
SCANNED = 200  # edits at once, beyond which the full scan does not finish
SCANS = 20_000  # (query, edit) pairs that it may judge at each number of edits


def rivals(task: str, bench: Bench, data: Path) -> list[Bench]:
    """Return the baselines of a task.

    - ``no edit``: the base alone.
    - ``LU``, the paper's lookup cache: the nearest edit within a distance gives its target. The
      distance is chosen on held-out training data (:func:`lookup_threshold`). A piece of evidence
      has no target: a claim that is near to it is called true.
    - ``cosine gate``: :class:`EmbeddingScope` as it ships, and the same counterfactual model.
    - ``RP``, retrieve and prompt: the nearest edit always goes to the counterfactual model.
    - ``FT`` (``fc``): the claim-only classifier, fine-tuned on the edits.
    - ``full scan`` (``qa``): the paper's own way, the same scope classifier on every edit.

    Args:
        task: ``qa`` or ``fc``.
        bench: Ours; its counterfactual model, encoder and memory are theirs too.
        data: The folder of public data sets.
    """
    cosine = EmbeddingScope.packaged()
    public = Public(data, data)
    told: Any
    if task == "qa":
        validation = [_only_unrelated(edit) for edit in public.suite("zsre", held_out=True)]
        told = Verbatim()
    else:
        claims = public.suite("claims")  # not held out: the claims that are measured are
        rng = random.Random(0)  # noqa: S311  (a draw, not a secret)
        validation = split(rng.sample(claims, min(VALIDATED, len(claims))))
        told = RunnableLambda(lambda given: "True")
    nearest = lookup_threshold(validation, cosine)
    found = [
        replace(bench, system="no edit", scope=cosine, threshold=1.0),
        replace(bench, system="LU", scope=cosine, threshold=nearest, k=1, counterfactual=told),
        replace(bench, system="cosine gate", scope=cosine, threshold=None),
        replace(bench, system="RP", scope=cosine, threshold=0.0, k=1),
    ]
    if task == "fc":
        tuned = {"system": "FT", "claims": claim_classifier(data)}
        return [*found, FineTuned(**{**vars(bench), **tuned})]
    return [*found, full_scan(bench)]


def lookup_threshold(suite: Sequence[Edit], scope: EmbeddingScope) -> float:
    """Return the score at which a lookup's edit success exceeds its drawdown by most.

    The middle of the range where it does.

    Example:
        >>> from serac_retriever.edit import Example
        >>> edit = Edit(prompt="Who leads Britain?", target="Keir Starmer",
        ...     in_scope=[Example(query="Who is leading Britain?")],
        ...     out_of_scope=[Example(query="Who wrote Emma?")])
        >>> 0 < lookup_threshold([edit], EmbeddingScope.packaged()) < 1
        True
    """
    inside = [(edit.id, e.query) for edit in suite for e in edit.in_scope]
    outside = [e.query for edit in suite for e in edit.out_of_scope]
    queries = [*(query for _, query in inside), *outside]
    best, scores = best_scores(suite, queries, scope.score_pairs, packaged_encoder(), k=1)
    right = [suite[i].id == own for i, (own, _) in zip(best, inside, strict=False)]
    hits, fires = np.sort(scores[: len(inside)][right]), np.sort(scores[len(inside) :])
    tried = np.unique([0.0, *scores, 1.0])
    above = [(len(s) - np.searchsorted(s, tried, "right")) for s in (hits, fires)]
    gain = above[0] / max(len(inside), 1) - above[1] / max(len(fires), 1)
    (top,) = np.nonzero(gain == gain.max())
    # between the last score that gives the most and the next one nothing changes
    return float((tried[top[0]] + tried[min(top[-1] + 1, len(tried) - 1)]) / 2)


def full_scan(bench: Bench) -> FullScan:
    """Return the bench that scores every query against every edit, with the same classifier."""
    ours = bench.scope.scope if isinstance(bench.scope, RememberedScope) else bench.scope
    all_judged = {"margin": 2.0, "glance": None, "exit": None}  # the whole head reads every pair
    fields = type(ours).model_fields
    update = {name: value for name, value in all_judged.items() if name in fields}
    scope = RememberedScope.of(ours.model_copy(update=update))
    return FullScan(**{**vars(bench), "system": "full scan", "scope": scope, "k": SCANNED})


class FullScan(Bench):
    """Judges every edit in memory; of so many groups as are affordable."""

    def affordable(self, groups: Sequence[Sequence[Edit]]) -> Sequence[Sequence[Edit]]:
        """Return the first groups whose pairs of query and edit are :data:`SCANS` at most."""
        kept, pairs = [], 0
        for group in groups:
            pairs += len(group) * sum(len(e.in_scope) + len(e.out_of_scope) for e in group)
            if pairs > SCANS or len(group) > SCANNED:
                break
            kept.append(group)
        return kept


@dataclass(frozen=True)
class FineTuned(Bench):
    """No gate: the base itself is fine-tuned on a group's evidence, each piece of it a true claim.

    Attributes:
        claims: The base.
    """

    claims: ClaimClassifier = field(default_factory=ClaimClassifier)

    def ask(
        self, groups: Sequence[Sequence[Edit]], filler: Sequence[Edit] = (), label: str = "Asking"
    ) -> list[Outcome]:
        """Fine-tune on each group in turn and ask every query of it."""
        outcomes: list[Outcome] = []
        with progress_bar(self.progress) as bar:
            for group in bar.track(groups, description=label):
                evidence = [edit.prompt for edit in (*group, *filler)]
                tuned = self.claims.fitted(evidence, ["True"] * len(evidence))
                asked = [*self.queries(group)]
                answers = tuned.answers([one.query for one in asked])
                outcomes += [
                    one._replace(answer=answer) for one, answer in zip(asked, answers, strict=True)
                ]
        return outcomes


def _only_unrelated(edit: Edit) -> Edit:
    """Return an edit with the out-of-scope queries that ``qa`` has."""
    kept = tuple(e for e in edit.out_of_scope if e.tag == "unrelated")
    return edit.model_copy(update={"out_of_scope": kept})
