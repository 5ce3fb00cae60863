"""The paper's tasks on public data: question answering, near misses, growth, fact checking.

All edits are in memory at once unless a task says otherwise, and the base is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable

from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.evaluation.bench import (
    Bench,
    Remembered,
    TaskResult,
    default_counterfactual,
    default_scope,
    figures_of,
    grouped,
)
from serac_retriever.evaluation.fact_checking import fact_checking
from serac_retriever.evaluation.queries import ZsreQueries, neighbours, subject_of
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import ScopeClassifier
from serac_retriever.suites import read_suite

ZSRE = "zsre/zsre_mend_eval_portability_gpt4.json"
ZSRE_TRAIN = "zsre/zsre_mend_train-1k.json"
SIZES = (1, 10, 100, 1_000, 10_000)
PAPER = 10  # edits at once in the paper


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
        progress: Show progress bars on stderr.

    Returns:
        One result for each setting (so many edits at once, this or that file).

    Raises:
        ConfigError: No such task.
        SuiteError: A file it needs is not there, or is not what it should be.

    Example:
        >>> results = run_task("qa", "../shared/data")  # doctest: +SKIP
        >>> results[0].figures["edit success"].value  # doctest: +SKIP
        0.9912
    """
    if name not in TASKS:
        raise ConfigError(f"Expected a task of {sorted(TASKS)}, got {name!r}.")
    bench = Bench(
        scope=scope or default_scope(),
        counterfactual=counterfactual or default_counterfactual(),
        threshold=threshold,
        k=k,
        embeddings=Remembered(embeddings or packaged_encoder()),
        progress=progress,
    )
    return [*TASKS[name](bench, Path(data), limit)]


def question_answering(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``qa``, zsRE as in the paper: paraphrases in scope, Natural Questions out of it."""
    edits = [
        edit.model_copy(
            update={"out_of_scope": tuple(e for e in edit.out_of_scope if e.tag == "unrelated")}
        )
        for edit in _zsre(data).edits[:limit]
    ]
    yield from _at_sizes("qa", "zsRE", bench, edits, (PAPER, len(edits)))


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
    source = _zsre(data)
    edits = source.near_misses(source.edits[:limit], packaged_encoder())
    yield from _at_sizes("near-misses", "zsRE", bench, edits, (len(edits),))


def counterfact(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``counterfact``, CounterFact-edit: 10,000 edits at once.

    In scope are the true paraphrases only, without the unrelated text before them. Out of scope is
    the same relation of another subject; where that subject is another edit's, it is left out.
    """
    edits = read_suite(data / "counterfact/counterfact-edit.json", "counterfact")[:limit]
    subjects = {subject_of(edit) for edit in edits}
    longest = max(len(subject.split()) for subject in subjects)
    kept = [
        edit.model_copy(
            update={
                "out_of_scope": tuple(
                    e for e in edit.out_of_scope if not _names_any(e.query, subjects, longest)
                )
            }
        )
        for edit in edits
    ]
    yield from _at_sizes("counterfact", "CounterFact-edit", bench, kept, (len(kept),))


def growth(bench: Bench, data: Path, limit: int | None) -> Iterator[TaskResult]:
    """Run ``growth``: the same queries at 1 to 10,000 edits in memory.

    zsRE's edits, in groups where fewer fit; beyond them CounterFact's train file fills up. Figures
    stand for unrelated questions (``drawdown, unrelated``) and for all kinds of near miss together
    (``drawdown, near misses``) and apart.
    """
    source = _zsre(data)
    chosen = source.edits[:limit]
    missed = source.near_misses(chosen, packaged_encoder())
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


TASKS: dict[str, Callable[[Bench, Path, int | None], Iterator[TaskResult]]] = {
    "qa": question_answering,
    "qa-hard": hard_question_answering,
    "near-misses": near_misses,
    "counterfact": counterfact,
    "growth": growth,
    "fc": fact_check,
    "convsent": dialogue,
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
        groups = grouped(edits, min(size, len(edits)))
        added = filler[: max(0, size - len(edits))]
        outcomes = bench.ask(groups, added, label=f"{task}, {size:,} edits")
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
