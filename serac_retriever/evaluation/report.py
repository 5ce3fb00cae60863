"""Measure everything and write it down: ``python -m serac_retriever.evaluation.report``.

Each step's raw result goes to ``docs/results.json`` as soon as it is there, with a hash of the
weights that it was measured with: an interrupted run goes on where it stopped, and what other
weights gave is measured anew. ``docs/results.md`` and its plots are written from that file.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console

from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError
from serac_retriever.evaluation import goals, written
from serac_retriever.evaluation.adaptation import adaptation
from serac_retriever.evaluation.bench import Bench, TaskResult, figures_of
from serac_retriever.evaluation.convsent import run_convsent
from serac_retriever.evaluation.curves import Curve, Reliability, curve, reliability
from serac_retriever.evaluation.remembered import Remembered, RememberedScope
from serac_retriever.evaluation.results import Measured, Results, machine
from serac_retriever.evaluation.tasks import counterfact_edits, near_missed, run_task
from serac_retriever.models import ENCODER_FOLDER, FOLDER
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import EmbeddingScope, LateInteractionScope, ScopeClassifier
from serac_retriever.suites import read_suite
from serac_retriever.training import examples, swaps
from serac_retriever.training.cascade import with_cosines
from serac_retriever.training.recipe import Public

OURS, COSINE = goals.MINE, "cosine"
PACKAGED = {OURS: FOLDER / "late-interaction-scope", COSINE: FOLDER / "embedding-scope"}
TASKS = ("qa", "qa-hard", "near-misses", "counterfact", "growth", "fc", "reader")
SAMPLE = 1_000  # CounterFact's edits on which the classifiers are compared
FIRST_PAGE = Edit(
    prompt="Who is the UK prime minister?",
    target="Keir Starmer",
    in_scope=tuple(
        Example(query=query)
        for query in (
            "Which politician leads the British government?",
            "Who's the current British PM?",
        )
    ),
    out_of_scope=tuple(
        Example(query=query)
        for query in (
            "Who is the UK foreign minister?",
            "Who was the UK prime minister in 1940?",
            "Who is the prime minister of France?",
        )
    ),
)
Found = list[TaskResult] | list[Curve] | Reliability


@dataclass(frozen=True)
class Step:
    """Something to measure.

    Attributes:
        command: Prints it by itself.
        run: Measures it.
        folders: Of the weights that it rests on.
    """

    command: str
    run: Callable[[], Found]
    folders: tuple[Path, ...]

    def weights(self) -> str:
        """Return twelve letters that change with any of the files."""
        found = hashlib.blake2b(digest_size=6)
        for path in sorted(path for folder in self.folders for path in folder.rglob("*")):
            if path.is_file():
                found.update(path.name.encode() + path.read_bytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Measurements:
    """All steps of the report.

    Args:
        data: Folder of the public sets.
        everyday: Folder of the Everyday set.
        dialogue: Where convsent's two trained models lie, or go.
        classifiers: Folders of further scope classifiers to compare, by name.
        limit: Only so many edits of each file.
    """

    data: Path
    everyday: Path
    dialogue: Path
    classifiers: dict[str, Path] = field(default_factory=dict)
    limit: int | None = None

    @cached_property
    def bench(self) -> Bench:
        """Ours. What it embeds and judges it remembers: the steps have queries in common."""
        return Bench(
            scope=RememberedScope.of(LateInteractionScope.packaged()),
            embeddings=Remembered.of(packaged_encoder()),
            system=OURS,
            progress=True,
        )

    def steps(self) -> dict[str, Step]:
        """Return every step by its name, in order."""
        shared = (FOLDER / "reader", ENCODER_FOLDER)
        ours = (*PACKAGED.values(), *shared)
        found = {}
        for name in TASKS:
            rivals = name in ("qa", "fc")
            command = f"serac eval --task {name}{' --baselines' * rivals} --data DATA"
            found[name] = Step(command, partial(self._task, name, rivals), ours)
        found["convsent"] = Step("serac eval --task convsent --data DATA", self._convsent, ours)
        alone = "make report"
        found["adaptation"] = Step(alone, self._adaptation, ours)
        found["first page"] = Step(alone, self._first_page, ours)
        found["reliability"] = Step(alone, self._reliability, ours)
        for name, folder in {**PACKAGED, **self.classifiers}.items():
            given = f" --scope '{name}=FOLDER'" * (name in self.classifiers)
            command = f"python -m serac_retriever.evaluation.report --only curves{given}"
            run = partial(self._curves, name, folder)
            found[f"curves, {name}"] = Step(command, run, (folder, *shared))
        return found

    def _task(self, name: str, baselines: bool) -> list[TaskResult]:
        return run_task(
            name,
            self.data,
            scope=self.bench.scope,
            embeddings=self.bench.embeddings,
            limit=self.limit,
            baselines=baselines,
            progress=True,
        )

    def _convsent(self) -> list[TaskResult]:
        return run_convsent(self.data, self.dialogue, scope=self.bench.scope, progress=True)

    def _adaptation(self) -> list[TaskResult]:
        everyday = read_suite(self.everyday / "dev.jsonl")
        zsre = Public(self.data, self.everyday).suite("zsre", held_out=True)
        with tempfile.TemporaryDirectory() as folder:
            return adaptation(self.bench, everyday, zsre, Path(folder))

    def _first_page(self) -> list[TaskResult]:
        figures = figures_of(self.bench.ask([[FIRST_PAGE]]), self.bench.k)
        return [
            TaskResult(
                task="first page", setting=FIRST_PAGE.prompt, edits=1, groups=1, k=self.bench.k,
                threshold=self.bench.limit, figures=figures,
            )
        ]  # fmt: skip

    def _reliability(self) -> Reliability:
        """Judge pairs of the held-out tenth of zsRE's training file."""
        rng = random.Random(0)  # noqa: S311  (a draw, not a secret)
        edits = Public(self.data, self.everyday).suite("zsre", held_out=True)
        pairs = [
            *chain(
                examples.given(edits),
                swaps.subject_swaps(edits, rng),
                swaps.relation_swaps(edits, rng),
            )
        ]
        asked = with_cosines((p.query, Edit(prompt=p.prompt, target=p.target)) for p in pairs)
        scores = self.bench.scope.score_pairs(asked)
        return reliability(scores, [pair.in_scope for pair in pairs], "zsRE train, held-out tenth")

    def _curves(self, name: str, folder: Path) -> list[Curve]:
        scope: ScopeClassifier = self.bench.scope
        if name != OURS:
            known = EmbeddingScope.packaged() if name == COSINE else ScopeClassifier.load(folder)
            scope = RememberedScope.of(known)
        bench = replace(self.bench, scope=scope, system=name)
        everyday = read_suite(self.everyday / "test.jsonl")[: self.limit]
        sample = min(SAMPLE, self.limit or SAMPLE)
        return [
            curve(bench, near_missed(self.data, self.limit, True), goals.ZSRE),
            curve(bench, everyday, goals.EVERYDAY),
            curve(bench, counterfact_edits(self.data, sample), goals.COUNTERFACT),
        ]


def measure(
    steps: dict[str, Step], path: Path, limit: int | None, only: Sequence[str] = ()
) -> Results:
    """Measure what is not there yet, or what is asked for, and store each step as it finishes.

    Args:
        steps: What there is to measure.
        path: The file of results; what it holds with other weights or another limit is stale.
        limit: Only so many edits of each file.
        only: Names of steps to measure whether stale or not, and no others; ``curves`` is all of
            that kind.

    Raises:
        ConfigError: No step has such a name, or somebody changed the weights meanwhile.
    """
    kinds = {step: {step, step.partition(",")[0]} for step in steps}
    for name in only:
        if not any(name in kind for kind in kinds.values()):
            raise ConfigError(f"Expected --only one of {[*steps]}, got {name!r}.")
    console = Console(stderr=True)
    results = Results.read(path)
    loaded = {name: step.weights() for name, step in steps.items()}
    for number, (name, step) in enumerate(steps.items(), 1):
        known = results.steps.get(name)
        fresh = known is not None and (known.weights, known.limit) == (loaded[name], limit)
        if kinds[name].isdisjoint(only) if only else fresh:
            continue
        console.print(f"[bold]{name}[/] [dim]({number} of {len(steps)})[/]")
        began = perf_counter()
        found = step.run()
        about: dict[str, Any] = {"minutes": round((perf_counter() - began) / 60, 2)}
        if step.weights() != loaded[name]:
            raise ConfigError(
                f"Expected the weights to stay as they are, they changed while {name} was "
                "measured. Run it again: what was measured before is kept."
            )
        about |= {"weights": loaded[name], "limit": limit, "machine": machine()}
        about["command"] = step.command
        if isinstance(found, Reliability):
            about["reliability"] = found
        else:
            about["results"] = [one for one in found if isinstance(one, TaskResult)]
            about["curves"] = [one for one in found if isinstance(one, Curve)]
        results.steps[name] = Measured(**about)
        results.write(path)
        console.print(f"[dim]{about['minutes']} minutes[/]")
    return results


def main(
    data: Annotated[Path, typer.Option(help="Folder of the public data sets.")],
    everyday: Annotated[Path, typer.Option(help="Folder of the Everyday set.")] = Path(
        "data/everyday"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("docs"),
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this step anew, and no other.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=FOLDER: compare a saved classifier too; 'without zsRE' is its goal's name."
        ),
    ] = None,
    dialogue: Annotated[
        Path, typer.Option(help="Where convsent's two trained models lie, or go.")
    ] = Path("build/convsent"),
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many edits of each file, for a quick look.")
    ] = None,
) -> None:
    """Measure every task, and write results.json, results.md and plots."""
    given = dict(one.partition("=")[::2] for one in scope or ())
    if not all(given.values()):
        raise typer.BadParameter("Expected NAME=FOLDER.", param_hint="--scope")
    classifiers = {name: Path(folder) for name, folder in given.items()}
    steps = Measurements(data, everyday, dialogue, classifiers, limit).steps()
    results = measure(steps, out / "results.json", limit, only or ())
    stale = {name for name, step in steps.items() if name in results.steps
             and results.steps[name].weights != step.weights()}  # fmt: skip
    Console().print(f"Wrote {written.write(results.steps, stale, out)}")


if __name__ == "__main__":
    typer.run(main)
