"""Fact checking (the paper's ``fc``): the edit is the evidence, the claim is the query."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.runnables import Runnable

from serac_retriever.counterfactual import given_to
from serac_retriever.edit import Edit, Example
from serac_retriever.evaluation.bench import (
    OURS,
    Bench,
    Figure,
    Outcome,
    TaskResult,
    figures_of,
    grouped,
)
from serac_retriever.evaluation.metrics import succeeded
from serac_retriever.evaluation.queries import neighbours
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.shapes import text_of
from serac_retriever.suites import read_suite
from serac_retriever.training.claims import ClaimClassifier, train_claims
from serac_retriever.training.recipe import Public

SYMMETRIC = "fever_symmetric/symmetric_v0.2__fever_symmetric_dev.jsonl"
PAPER = 10  # edits at once in the paper


def fact_checking(bench: Bench, data: Path, limit: int | None = None) -> Iterator[TaskResult]:
    """Run ``fc`` on FEVER's and Fool Me Twice's held-out claims, and on Fever-Symmetric.

    The base is a claim-only classifier trained on the other claims (``training/claims.py``), with
    any claim of Fever-Symmetric left out. For each file, told are

    - ``verdict, right edit``: how often the counterfactual model's verdict is right, given the
      evidence that the claim belongs to; ``verdict, base alone`` beside it;
    - end to end, at 10 edits and at half the file: ``edit success`` is the share of all claims
      whose answer is the verdict that their evidence calls for (from whichever evidence, or the
      base, it came), ``edit success, base wrong`` that of the claims which the base alone gets
      wrong; ``drawdown`` is the share of claims of other evidence whose answer is not the base's:
      the nearest to each edit (``neighbour``), one drawn (``unrelated``), and in Fool Me Twice
      others about the same page (``other_claim``).

    The other half of the file gives the claims out of scope.
    """
    for name, checked in claim_sets(data, limit).items():
        yield from measured(name, checked, bench)


class ClaimSet(NamedTuple):
    """One file's evidence and claims.

    Attributes:
        suite: All evidence, with its claims in scope.
        loaded: The half that is in memory (:func:`split`).
        base: What the base says of each claim.
    """

    suite: list[Edit]
    loaded: list[Edit]
    base: Mapping[str, str]


@lru_cache(maxsize=1)  # reading 12,000 claims takes a minute
def claim_classifier(data: Path) -> ClaimClassifier:
    """Return the base: a claim-only classifier, of the claims that are not held out."""
    return train_claims(Public(data, data).suite("claims"))


@lru_cache(maxsize=1)
def claim_sets(data: Path, limit: int | None) -> dict[str, ClaimSet]:
    """Return the three files."""
    held_out = Public(data, data).suite("claims", held_out=True)
    sets = {
        "FEVER, held out": [e for e in held_out if e.id.startswith("fever")],
        "Fool Me Twice, held out": [e for e in held_out if e.id.startswith("fool")],
        "Fever-Symmetric": read_suite(data / SYMMETRIC, "fever"),
    }
    found = {}
    for name, edits in sets.items():
        suite = edits[:limit]
        asked = (example for edit in suite for example in (*edit.in_scope, *edit.out_of_scope))
        claims = [*dict.fromkeys(example.query for example in asked)]
        answers = claim_classifier(data).answers(claims)
        found[name] = ClaimSet(suite, split(suite), dict(zip(claims, answers, strict=True)))
    return found


def measured(name: str, checked: ClaimSet, bench: Bench) -> Iterator[TaskResult]:
    """Yield what one file's evidence and claims give: verdicts, then both end-to-end settings."""
    bench = replace(bench, base=checked.base)
    if bench.system == OURS:
        yield TaskResult(
            task="fc",
            setting=f"{name}, verdicts",
            edits=None,
            groups=0,
            k=bench.k,
            threshold=bench.limit,
            figures=verdicts(checked.suite, bench),
        )
    loaded = checked.loaded
    for size in sorted({min(PAPER, len(loaded)), len(loaded)}):
        groups = grouped(loaded, size)
        outcomes = bench.ask(groups, label=f"fc, {name}, {bench.system}, {size} edits")
        wrong = [o for o in outcomes if o.wanted and not succeeded(o.before[0], o.wanted)]
        yield TaskResult(
            task="fc",
            setting=f"{name}, {size:,} edits at once",
            edits=size,
            groups=len(groups),
            k=bench.k,
            threshold=bench.limit,
            figures={
                **figures_of(outcomes, bench.k),
                "edit success, base wrong": Figure.of(
                    (one.succeeded for one in wrong), (one.edit for one in wrong)
                ),
            },
            system=bench.system,
        )


def verdicts(suite: Sequence[Edit], bench: Bench) -> dict[str, Figure]:
    """Return how often the verdict is right, by the counterfactual model and by the base alone."""
    read = read_with(bench.counterfactual, suite)
    whose = [one.edit for one in read]
    return {
        "verdict, right edit": Figure.of((one.succeeded for one in read), whose),
        "verdict, base alone": Figure.of(
            (succeeded(bench.base[one.query], one.wanted) for one in read), whose
        ),
    }


def read_with(model: Runnable[Any, Any], suite: Sequence[Edit]) -> list[Outcome]:
    """Return what a counterfactual model answers to each in-scope query, given its own edit."""
    asked = [(edit, example) for edit in suite for example in edit.in_scope]
    answers = model.batch([given_to(e.query, e.query, (edit,)) for edit, e in asked])
    return [
        Outcome(
            example.query,
            edit.id,
            example.tag or "untagged",
            example.answers or (edit.target,),
            (),
            text_of(answer),
        )
        for (edit, example), answer in zip(asked, answers, strict=True)
    ]


def split(suite: Sequence[Edit], seed: int = 0) -> list[Edit]:
    """Return half of the evidence, with claims of the other half out of its scope.

    Evidence that contradicts what is chosen already (Fever-Symmetric holds both versions of a
    fact) is left out, and no claim out of scope rests on evidence that shares a sentence with
    what is chosen.

    Example:
        >>> def fact(text, claim):
        ...     asked = [Example(query=claim, answer="True")]
        ...     return Edit(prompt=text, target=text, kind="fact", in_scope=asked)
        >>> suite = [fact("Ann is a pilot.", "Ann flies."), fact("Bo is a cook.", "Bo cooks.")]
        >>> [edit] = split(suite)
        >>> {example.query for example in edit.out_of_scope} <= {"Ann flies.", "Bo cooks."}
        True
    """
    rng = random.Random(seed)  # noqa: S311  (a draw, not a secret)
    shuffled = rng.sample([*suite], len(suite))
    chosen: list[Edit] = []
    called: dict[str, tuple[str, ...]] = {}
    for edit in shuffled[: (len(shuffled) + 1) // 2]:
        if all(called.get(e.query, e.answers) == e.answers for e in edit.in_scope):
            called.update((e.query, e.answers) for e in edit.in_scope)
            chosen.append(edit)
    held = {sentence for edit in chosen for sentence in _sentences(edit.prompt)}
    strangers = [
        example.query
        for edit in shuffled[(len(shuffled) + 1) // 2 :]
        if held.isdisjoint(_sentences(edit.prompt))
        for example in edit.in_scope
        if example.query not in called
    ]
    near = neighbours(chosen, strangers, packaged_encoder(), each=1)
    made = []
    for edit, found in zip(chosen, near, strict=True):
        drawn = [q for q in rng.sample(strangers, min(2, len(strangers))) if q not in found]
        out = [Example(query=query, tag="neighbour") for query in found]
        out += [Example(query=query, tag="unrelated") for query in drawn[:1]]
        out += [e for e in edit.out_of_scope if e.query not in called]
        made.append(edit.model_copy(update={"out_of_scope": tuple(out)}))
    return made


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)
