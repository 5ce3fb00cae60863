"""Loading many edits: all the checks first, then batches that each stand once written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

from serac_retriever.edit import Edit
from serac_retriever.errors import ConfigError, InvalidEditError, SuiteError
from serac_retriever.memory.store import Record, Store
from serac_retriever.suites import Line, read_lines

BATCH = 256  # edits embedded and written at a time: what an interruption can lose


@dataclass(frozen=True)
class Failure:
    """An edit that did not land.

    Attributes:
        line: 1-based number of its line in the file, or of its place among the edits given.
        error: What was expected, what came.
    """

    line: int
    error: str


@dataclass
class LoadReport:
    """What became of each edit that was loaded.

    Attributes:
        added: Ids that are new.
        replaced: Ids whose content was replaced.
        unchanged: Ids that were there already with the same content.
        failures: What did not land, and why.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {name: len(getattr(self, name)) for name in self.__dataclass_fields__}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


def load(
    store: Store,
    source: Path | Iterable[Edit | Mapping[str, Any]],
    *,
    on_error: Literal["abort", "skip"],
    replace: bool,
    progress: bool,
) -> LoadReport:
    """Check every edit, then write those that are new (or to be replaced) batch by batch."""
    if on_error not in ("abort", "skip"):
        raise ConfigError(f"Expected on_error 'abort' or 'skip', got {on_error!r}.")
    report = LoadReport()
    lines = read_lines(source) if isinstance(source, Path) else _numbered(source)
    edits = _sound(lines, report)
    with store.writing:
        known = store.run(lambda: store.find([*edits]))
        new, changed = _compare(edits, known, replace, report)
        if report.failures and on_error == "abort":
            raise _refusal(source, report.failures)
        bar = Progress(
            SpinnerColumn(),
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not progress,
        )
        with bar:
            task = bar.add_task("Storing edits", total=len(new) + len(changed))
            for start in range(0, len(new), BATCH):
                batch = new[start : start + BATCH]
                vectors = store.embed([edit.prompt for edit in batch])
                store.run(lambda b=batch, v=vectors: store.insert(b, v))  # type: ignore[misc]
                report.added += [edit.id for edit in batch]
                bar.advance(task, len(batch))
            for edit in changed:
                _replace(store, known[edit.id], edit)
                report.replaced.append(edit.id)
                bar.advance(task)
    return report


def _numbered(edits: Iterable[Edit | Mapping[str, Any]]) -> Iterator[Line]:
    for number, item in enumerate(edits, start=1):
        try:
            if not isinstance(item, Edit | Mapping):
                raise InvalidEditError(f"expected an Edit or a mapping; got {item!r:.80}")
            yield number, item if isinstance(item, Edit) else Edit.from_record(item)
        except InvalidEditError as error:
            yield number, error


def _sound(lines: Iterable[Line], report: LoadReport) -> dict[str, tuple[int, Edit]]:
    """Return the edits that are edits, by id, each with its line; the same one twice is one."""
    edits: dict[str, tuple[int, Edit]] = {}
    for number, found in lines:
        if not isinstance(found, Edit):
            report.failures.append(Failure(number, str(found)))
        elif found.id not in edits:
            edits[found.id] = (number, found)
        elif not edits[found.id][1].same_as(found):
            first = edits[found.id][0]
            report.failures.append(
                Failure(
                    number, f"id '{found.id}' stands on line {first} already, with other content"
                )
            )
    return edits


def _compare(
    edits: dict[str, tuple[int, Edit]],
    known: dict[str, Record],
    replace: bool,
    report: LoadReport,
) -> tuple[list[Edit], list[Edit]]:
    """Part the edits into new ones and ones to replace; the rest goes to the report."""
    new, changed = [], []
    for id, (number, edit) in edits.items():
        old = known[id].content if id in known else None
        if old is None:
            new.append(edit)
        elif isinstance(old, Edit) and old.same_as(edit):
            report.unchanged.append(id)
        elif replace:
            changed.append(edit)
        else:
            report.failures.append(
                Failure(
                    number, f"id '{id}' exists already with other content; replace it, or rename"
                )
            )
    return new, changed


def _replace(store: Store, old: Record, edit: Edit) -> None:
    vector = None
    if isinstance(old.content, Edit):
        edit = edit.model_copy(
            update={"version": old.content.version + 1, "created_at": old.content.created_at}
        )
    if not isinstance(old.content, Edit) or old.content.prompt != edit.prompt:
        (vector,) = store.embed([edit.prompt])
    store.run(lambda: store.overwrite(edit.id, old, edit, vector))


def _refusal(source: object, failures: list[Failure]) -> SuiteError:
    failures.sort(key=lambda failure: failure.line)
    shown = "\n".join(f"  line {failure.line}: {failure.error}" for failure in failures[:5])
    more = f"\n  ... and {len(failures) - 5} more" if len(failures) > 5 else ""
    where = f"{source}: " if isinstance(source, Path) else ""
    return SuiteError(
        f"{where}{len(failures)} line(s) not accepted, nothing was stored. Mend them, or store the "
        f"rest with on_error='skip' (--skip).\n{shown}{more}",
        line=failures[0].line,
    )
