"""What adapting the packaged scope classifier to a person's own edits gives, and what it costs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from serac_retriever.edit import Edit
from serac_retriever.evaluation.bench import Bench, Figure, Outcome, TaskResult, figures_of
from serac_retriever.evaluation.curves import area, under
from serac_retriever.evaluation.remembered import RememberedScope
from serac_retriever.scope import LateInteractionScope
from serac_retriever.training.heads import adapt_scope

OWN = 20  # edits of a person: the fewest that can be trained on
PEOPLE = 3
OTHERS = 40  # edits of other domains
BEFORE, AFTER = "as it ships", f"adapted to {OWN} edits"


def adaptation(
    bench: Bench, everyday: Sequence[Edit], elsewhere: Sequence[Edit], folder: Path, seed: int = 0
) -> list[TaskResult]:
    """Adapt the packaged classifier for a few people, and ask before and after.

    Each person has some domains of their own: of half of a domain's edits the classifier is
    adapted (:func:`adapt_scope`, what ``serac train scope`` runs), the other half says whether it
    helped. Other domains, and another style of edits, say whether anything was forgotten.

    Args:
        bench: Ours.
        everyday: Edits with a ``domain`` that the packaged classifier was not trained on.
        elsewhere: Edits in another style that it was not trained on either.
        folder: Where the adapted classifiers go.
        seed: Of who has which domains, and of training.

    Returns:
        Two results, before and after, with edit success, drawdown and AUC of each group of
        edits; all people's queries together.
    """
    rng = random.Random(seed)  # noqa: S311  (a draw, not a secret)
    domains: dict[str, list[Edit]] = defaultdict(list)
    for edit in everyday:
        domains[str(edit.metadata["domain"])].append(edit)
    names = sorted(domains)
    rng.shuffle(names)
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for person in range(PEOPLE):
        own: list[Edit] = []
        judged: list[Edit] = []
        while len(own) < OWN and names:
            edits = domains[names.pop()]
            half = (len(edits) + 1) // 2
            own += edits[:half]
            judged += edits[half:]
        others = [edit for name in names for edit in domains[name]]
        groups = {
            "their domains": judged,
            "other domains": rng.sample(others, min(OTHERS, len(others))),
            "zsRE, held out": [*elsewhere],
        }
        adapted = adapt_scope(own[:OWN], folder / f"person-{person + 1}", seed=seed)
        for when, scope in ((BEFORE, LateInteractionScope.packaged()), (AFTER, adapted)):
            asking = replace(bench, scope=RememberedScope.of(scope), threshold=0.0)
            for name, edits in groups.items():
                found = asking.ask([edits], label=f"adaptation, {name}")
                outcomes[when, name] += under(found, bench.limit)
    return [
        TaskResult(
            task="adaptation", setting=when, edits=OWN, groups=PEOPLE, k=bench.k,
            threshold=bench.limit, figures=_figures(outcomes, when, bench.k),
        )
        for when in (BEFORE, AFTER)
    ]  # fmt: skip


def _figures(
    outcomes: dict[tuple[str, str], list[Outcome]], when: str, k: int
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for (time, group), found in outcomes.items():
        if time == when:
            told = figures_of(found, k)
            figures |= {f"{name}, {group}": told[name] for name in ("edit success", "drawdown")}
            figures[f"AUC, {group}"] = area(found)
    return figures
