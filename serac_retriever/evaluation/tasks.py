"""The paper's tasks on public data: question answering, near misses, growth, fact checking.

All edits are in memory at once unless a task says otherwise, and the base is left as it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable

from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.evaluation.baselines import BASELINES, rivals
from serac_retriever.evaluation.bench import (
    Bench,
    Figure,
    TaskResult,
    default_counterfactual,
    default_scope,
    figures_of,
    grouped,
)
from serac_retriever.evaluation.fact_checking import fact_checking, read_with
from serac_retriever.evaluation.queries import ZsreQueries, neighbours, subject_of
from serac_retriever.evaluation.remembered import Remembered, RememberedScope
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import ScopeClassifier
from serac_retriever.suites import read_suite

ZSRE = "zsre/zsre_mend_eval_portability_gpt4.json"
ZSRE_TRAIN = "zsre/zsre_mend_train-1k.json"
SIZES = (1, 10, 100, 1_000, 10_000)
PAPER = 10  # edits at once in the paper
HUNDRED = 100  # where the paper's scan of all edits is still affordable


def run_task(
    name: str,
    data: str | Path,
    *,
    scope: ScopeClassifier | None = None,
    counterfactual: Runnable[Any, Any] | None = None,
    threshold: float | None = None,
    k: int = 8,
    embeddings: Embeddings | None = None,
    limit: int | None = None,
    baselines: bool = False,
    progress: bool = False,
) -> list[TaskResult]:
    """Run one of the paper's tasks through the real gate.

    Args:
        name: One of :data:`TASKS`.
        data: The folder of public data sets.
        scope: The classifier; the packaged one unless given.
        counterfactual: Any Runnable that takes a ``CounterfactualInput``.
        threshold: Overrides the classifier's.
        k: Candidates a query.
        embeddings: The memory's encoder; the packaged one unless given.
        limit: Only so many edits of each file, for a quick look.
        baselines: Measure the baselines on the same queries as well (``qa`` and ``fc``).
        progress: Show progress bars on stderr.

    Returns:
        One result for each setting (so many edits at once, this or that file) and system.

    Raises:
        ConfigError: No such task, or none that has baselines.
        SuiteError: A file it needs is not there, or is not what it should be.

    Example:
        >>> results = run_task("qa", "../shared/data")  # doctest: +SKIP
        >>> results[0].figures["edit success"].value  # doctest: +SKIP
        0.9912
    """
    if name not in TASKS:
        raise ConfigError(f"Expected a task of {sorted(TASKS)}, got {name!r}.")
    if baselines and name not in BASELINES:
        raise ConfigError(f"Expected baselines of a task of {[*BASELINES]}, got {name!r}.")
    bench = Bench(
        scope=RememberedScope.of(scope or default_scope()),
        counterfactual=counterfactual or default_counterfactual(),
        threshold=threshold,
        k=k,
        embeddings=Remembered.of(embeddings or packaged_encoder()),
        progress=progress,
    )
    systems = [bench, *(rivals(name, bench, Path(data)) if baselines else ())]
    return [result for one in systems for result in TASKS[name](one, Path(data), limit)]


def question_answering(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``qa``, zsRE as in the paper: paraphrases in scope, Natural Questions out of it."""
    edits = [
        edit.model_copy(
            update={"out_of_scope": tuple(e for e in edit.out_of_scope if e.tag == "unrelated")}
        )
        for edit in _zsre(data).edits[:limit]
    ]
    yield from _at_sizes("qa", "zsRE", bench, edits, (PAPER, HUNDRED, len(edits)))


def hard_question_answering(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``qa-hard``, zsRE with the harder queries of the paper's section 5.1.

    In scope besides the paraphrase: checks and restatements (:meth:`ZsreQueries.harder`). Out of
    scope: the two nearest neighbours in embedding space among questions about other subjects
    (of both zsRE files and Natural Questions), and both kinds of swap.
    """
    source = _zsre(data)
    edits = source.edits[:limit]
    about = {subject_of(edit) for edit in source.edits}
    others = [
        text.removeprefix("nq question: ")
        for row in (*source.rows.values(), *_json(data / ZSRE_TRAIN))
        for text in ((row["loc"],) if row["subject"].strip() in about else (row["src"], row["loc"]))
    ]
    near = neighbours(edits, others, packaged_encoder())
    harder = [
        edit.model_copy(
            update={
                "in_scope": (*edit.in_scope, *source.harder(edit)),
                "out_of_scope": (
                    *(Example(query=query, tag="neighbour") for query in found),
                    *(e for e in edit.out_of_scope if e.tag != "unrelated"),
                ),
            }
        )
        for edit, found in zip(edits, near, strict=True)
    ]
    yield from _at_sizes("qa-hard", "zsRE", bench, harder, (PAPER, len(edits)))


def near_misses(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``near-misses``, zsRE: five kinds of query that only look as if they were in scope."""
    edits = near_missed(data, limit, bench.progress)
    yield from _at_sizes("near-misses", "zsRE", bench, edits, (len(edits),))


@lru_cache(maxsize=1)  # embedding the 40,000 questions that are chosen from takes two minutes
def near_missed(data: Path, limit: int | None = None, progress: bool = False) -> list[Edit]:
    """Return zsRE's edits with near misses out of scope (:meth:`ZsreQueries.near_misses`)."""
    source = _zsre(data)
    return source.near_misses(source.edits[:limit], packaged_encoder(), progress=progress)


def counterfact(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``counterfact``, CounterFact-edit: 10,000 edits at once.

    In scope are the true paraphrases only, without the unrelated text before them. Out of scope is
    the same relation of another subject; where that subject is another edit's, it is left out.
    """
    kept = counterfact_edits(data, limit)
    yield from _at_sizes("counterfact", "CounterFact-edit", bench, kept, (len(kept),))


def counterfact_edits(data: Path, limit: int | None = None) -> list[Edit]:
    """Return CounterFact-edit, less the queries that name another edit's subject."""
    edits = read_suite(data / "counterfact/counterfact-edit.json", "counterfact")[:limit]
    subjects = {subject_of(edit) for edit in edits}
    longest = max(len(subject.split()) for subject in subjects)
    return [
        edit.model_copy(
            update={
                "out_of_scope": tuple(
                    e for e in edit.out_of_scope if not _names_any(e.query, subjects, longest)
                )
            }
        )
        for edit in edits
    ]


def growth(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``growth``: the same queries at 1 to 10,000 edits in memory.

    zsRE's edits, in groups where fewer fit; beyond them CounterFact's train file fills up. Figures
    stand for unrelated questions (``drawdown, unrelated``) and for all kinds of near miss together
    (``drawdown, near misses``) and apart.
    """
    source = _zsre(data)
    chosen = source.edits[:limit]
    missed = near_missed(data, limit, bench.progress)
    edits = [
        near.model_copy(
            update={
                "out_of_scope": (
                    *(e for e in edit.out_of_scope if e.tag == "unrelated"),
                    *near.out_of_scope,
                )
            }
        )
        for edit, near in zip(chosen, missed, strict=True)
    ]
    names = {subject_of(edit) for edit in source.edits}
    train = read_suite(data / "counterfact/counterfact-train.json", "counterfact")
    filler = [edit for edit in train if subject_of(edit) not in names]
    yield from _at_sizes("growth", "zsRE", bench, edits, SIZES, filler)


def dialogue(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``convsent``: see :mod:`serac_retriever.evaluation.convsent`."""
    from serac_retriever.evaluation.convsent import run_convsent

    parts = {name: getattr(bench, name) for name in ("scope", "threshold", "k", "progress")}
    yield from run_convsent(data, **parts)


def fact_check(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``fc``: see :func:`fact_checking`."""
    yield from fact_checking(bench, data, limit)


def reading(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``reader``: the counterfactual model alone, given zsRE's right edit.

    ``answer``: a paraphrase gets the target. ``true or false``: a check of the new answer or of
    the base's former one gets its verdict (:meth:`ZsreQueries.checks`).
    """
    source, rng = _zsre(data), random.Random(0)  # noqa: S311  (a draw, not a secret)
    edits = source.edits[:limit]
    answered = read_with(bench.counterfactual, edits)
    checks = [edit.model_copy(update={"in_scope": source.checks(edit, rng)}) for edit in edits]
    read = read_with(bench.counterfactual, checks)
    kinds = {"template": ("template",), "paraphrased or negated": ("paraphrased", "negated")}
    kinds |= {"paraphrased": ("paraphrased",), "negated": ("negated",)}
    yield TaskResult(
        task="reader",
        setting="zsRE, given the right edit",
        edits=None,
        groups=0,
        k=bench.k,
        threshold=bench.limit,
        figures={
            "answer": Figure.of(one.succeeded for one in answered),
            **{
                f"true or false, {kind}": Figure.of(
                    (one.succeeded for one in read if one.tag in tags),
                    (one.edit for one in read if one.tag in tags),
                )
                for kind, tags in kinds.items()
            },
        },
    )


TASKS: dict[str, Callable[[Bench, Path, int | None], Iterator[TaskResult]]] = {
    "qa": question_answering,
    "qa-hard": hard_question_answering,
    "near-misses": near_misses,
    "counterfact": counterfact,
    "growth": growth,
    "fc": fact_check,
    "convsent": dialogue,
    "reader": reading,
}


def _at_sizes(
    task: str,
    source: str,
    bench: Bench,
    edits: Sequence[Edit],
    sizes: Sequence[int],
    filler: Sequence[Edit] = (),
) -> Iterator[TaskResult]:
    """Measure the same edits at several numbers of edits in memory; impossible ones are skipped."""
    for size in sorted({*sizes}):
        if size > len(edits) + len(filler):
            continue
        groups = bench.affordable(grouped(edits, min(size, len(edits))))
        if not groups:
            continue
        added = filler[: max(0, size - len(edits))]
        outcomes = bench.ask(groups, added, label=f"{task}, {bench.system}, {size:,} edits")
        figures = figures_of(outcomes, bench.k)
        if task == "growth":
            near = [one for one in outcomes if not one.wanted and one.tag != "unrelated"]
            figures["drawdown, near misses"] = figures_of(near, bench.k)["drawdown"]
        yield TaskResult(
            task=task,
            setting=f"{source}, {size:,} edits at once",
            edits=size,
            groups=len(groups),
            k=bench.k,
            threshold=bench.limit,
            figures=figures,
            system=bench.system,
        )


def _zsre(data: Path) -> ZsreQueries:
    try:
        return ZsreQueries(_json(data / ZSRE), _json(data / ZSRE_TRAIN))
    except (KeyError, TypeError, AttributeError) as error:
        raise SuiteError(
            f"Expected zsRE rows in {data / ZSRE}, got rows without {error}."
        ) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SuiteError(f"Expected a JSON file at {path}, got: {error}") from error


def _names_any(query: str, subjects: set[str], longest: int) -> bool:
    """Say whether a run of a query's words is one of the subjects."""
    words = query.replace("'s ", " ").split()
    runs = (
        " ".join(words[start : start + length]).strip(" ,.?!;:")
        for length in range(1, min(longest, len(words)) + 1)
        for start in range(len(words) - length + 1)
    )
    return any(run in subjects for run in runs)
