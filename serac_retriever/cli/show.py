"""What a person sees, and what a script reads."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from serac_retriever.edit import Candidate, Decision, Edit
from serac_retriever.errors import SeracError

if TYPE_CHECKING:
    from serac_retriever.demo import Outcome
    from serac_retriever.evaluation import Report, TaskResult
    from serac_retriever.memory import LoadReport

stdout = Console(soft_wrap=False)
stderr = Console(stderr=True)
TITLES = {
    "in scope": "Stale answers, asked in other words, answered from the edit",
    "near miss": "Near misses, answered as before",
    "unrelated": "Everything else, answered as before",
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
COLOURS = {"active": "green", "draft": "yellow", "retired": "dim"}


def told(text: str, style: str = "") -> Text:
    """Return text as it stands, for a cell: no markup, and nothing that moves a terminal's cursor.

    Control characters and marks that turn the reading direction are shown as their code.
    """
    return Text(CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text), style=style)


def visible(text: str) -> str:
    """Return the same for use within markup."""
    return escape(told(text).plain)


class Show:
    """Prints results: tables for people, or one JSON document for scripts."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def json(self, value: Any) -> None:
        """Print one JSON document."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def done(self, value: dict[str, Any], text: str) -> None:
        """Print what was done."""
        self.json(value) if self.as_json else stdout.print(told(text))

    def error(self, error: SeracError) -> None:
        """Print one of our errors on stderr."""
        if self.as_json:
            found = {"error": {"type": type(error).__name__, "message": str(error)}}
            sys.stderr.write(json.dumps(found) + "\n")
        else:
            stderr.print(f"[bold red]{type(error).__name__}[/]: {visible(str(error))}")

    def interrupted(self) -> None:
        """Say that nothing was harmed."""
        stderr.print("Interrupted. What was stored stays; run the same command again to go on.")

    def edit(self, edit: Edit) -> None:
        """Print one edit, whole."""
        if self.as_json:
            self.json(edit.model_dump(mode="json"))
            return
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        for name, value in edit.to_record().items():
            if isinstance(value, list):  # tags are strings, examples have a query
                parts = [part if isinstance(part, str) else part["query"] for part in value]
                shown = (", " if name == "tags" else "\n").join(parts)
            else:
                shown = str(value)
            grid.add_row(name.replace("_", " "), told(shown))
        colour = COLOURS[edit.status]
        stdout.print(
            Panel(grid, title=f"{visible(edit.id)} [{colour}]{edit.status}[/]", expand=False)
        )

    def edits(self, edits: Sequence[Edit], more: bool, next_offset: int) -> None:
        """Print a page of edits."""
        if self.as_json:
            self.json([edit.model_dump(mode="json") for edit in edits])
            return
        if not edits:
            stdout.print("No edits. Add one: serac add PROMPT TARGET")
            return
        table = _table("id", "status", "prompt", "target", "tags", "v")
        for edit in edits:
            status = f"[{COLOURS[edit.status]}]{edit.status}[/]"
            cells = [edit.prompt, edit.target, ", ".join(edit.tags), str(edit.version)]
            table.add_row(told(edit.id, "bold"), status, *map(told, cells))
        stdout.print(table)
        if more:
            stdout.print(f"[dim]There are more: --offset {next_offset}[/]")

    def candidates(self, candidates: Sequence[Candidate], chosen: Sequence[Edit] = ()) -> None:
        """Print candidates, nearest first."""
        if self.as_json:
            self.json([_candidate(candidate) for candidate in candidates])
            return
        if not candidates:
            stdout.print("No edit that could fire.")
            return
        table = _table("id", "prompt", "target", "similarity", "score")
        for candidate in candidates:
            fires = any(candidate.edit.id == edit.id for edit in chosen)
            score = "" if candidate.score is None else f"{candidate.score:.3f}"
            table.add_row(
                told(candidate.edit.id),
                told(candidate.edit.prompt),
                told(candidate.edit.target),
                f"{candidate.similarity:.3f}",
                score,
                style="bold green" if fires else None,
            )
        stdout.print(table)

    def decision(self, decision: Decision, answer: str | None = None) -> None:
        """Print a decision, and the answer where there is one."""
        if self.as_json:
            self.json(
                {
                    **({} if answer is None else {"answer": answer}),
                    "query": decision.query,
                    "fired": [edit.id for edit in decision.edits],
                    "reason": decision.reason,
                    "error": decision.error,
                    "threshold": decision.threshold,
                    "candidates": [_candidate(candidate) for candidate in decision.candidates],
                    "timings_ms": decision.timings_ms,
                }
            )
            return
        who = f"edit [bold]{visible(decision.edit.id)}[/]" if decision.edit else "the base"
        if answer is not None:
            colour = "green" if decision.fired else "blue"
            stdout.print(Panel(told(answer), title=who, border_style=colour, expand=False))
        else:
            stdout.print(f"Answered by {who}.")
        stdout.print(f"[dim]{visible(decision.reason)}[/]")
        if decision.error:
            stderr.print(f"[yellow]{visible(decision.error)}[/]")
        self.candidates(decision.candidates, decision.edits)
        spent = ", ".join(f"{name} {ms:.1f}" for name, ms in decision.timings_ms.items())
        stdout.print(f"[dim]milliseconds: {spent}[/]")

    def load_report(self, report: LoadReport) -> None:
        """Print what became of a file's lines."""
        if self.as_json:
            self.json(asdict(report))
            return
        stdout.print(f"[bold]{report}[/]")
        for failure in report.failures[:20]:
            stderr.print(f"[red]line {failure.line}[/]: {visible(failure.error)}")
        if len(report.failures) > 20:
            stderr.print(f"... and {len(report.failures) - 20} more")

    def report(self, report: Report) -> None:
        """Print an evaluation."""
        if self.as_json:
            self.json(report.model_dump(mode="json"))
            return
        table = _table("figure", "value", "95 % interval", "queries")
        rows = [("edit success", report.edit_success, report.edit_success_ci, "in_scope")]
        rows += [
            (f"drawdown, {tag}", report.drawdown[tag], report.drawdown_ci[tag], tag)
            for tag in report.drawdown
        ]
        for name, value, interval, count in rows:
            table.add_row(name, _share(value), _interval(interval), str(report.queries[count]))
        table.add_row(f"recall@{report.k}", _share(report.recall_at_k), "", "")
        stdout.print(table)
        stdout.print(
            f"[dim]{report.edits} edits at once, {report.groups} time(s); threshold "
            f"{report.threshold:.3f}; an answer takes {report.latency_ms['p50']:.1f} ms (p95 "
            f"{report.latency_ms['p95']:.1f}), embedding it {report.embedding_ms['p50']:.1f} ms "
            "of that[/]"
        )

    def task(self, results: Sequence[TaskResult]) -> None:
        """Print a task's results: one table a setting."""
        if self.as_json:
            self.json([result.model_dump(mode="json") for result in results])
            return
        for result in results:
            title = f"{result.setting}: {result.system}"
            table = _table("figure", "value", "95 % interval", "queries", title=title)
            for name, figure in result.figures.items():
                row = (_share(figure.value), _interval(figure.interval), str(figure.queries))
                table.add_row(name, *row)
            stdout.print(table)
            if result.groups:
                stdout.print(
                    f"[dim]{result.groups} time(s); {result.k} candidates a query; threshold "
                    f"{result.threshold:.3f}[/]"
                )

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Print the demo's before and after."""
        if self.as_json:
            self.json([outcome.model_dump() for outcome in outcomes])
            return
        for kind, title in TITLES.items():
            rows = [outcome for outcome in outcomes if outcome.kind == kind]
            right = sum(row.right for row in rows)
            table = _table("", "asked", "before", "after", title=f"{title}: {right} of {len(rows)}")
            above: tuple[str, str] = ("", "")
            for row in rows:
                mark = "[green]✓[/]" if row.right else "[red]✗[/]"
                cells = row.before, "the same" if row.after == row.before else row.after
                before, after = (
                    '"' if cell == last else cell for cell, last in zip(cells, above, strict=True)
                )
                style = "dim" if row.fired is None else "green" if row.right else "red"
                table.add_row(mark, told(row.query), told(before), told(after, style))
                above = cells
            stdout.print(table)
        stdout.print(
            "\nThe packaged threshold would rather miss a paraphrase than answer a near miss. A "
            "lower --threshold answers more of both; serac train scope teaches the classifier "
            "your ways of asking."
        )


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(
        title=title and f"\n[bold]{title}[/]",
        title_justify="left",
        title_style="",
        header_style="dim",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column == "v" else "left")
    return table


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.edit.id,
        "prompt": candidate.edit.prompt,
        "target": candidate.edit.target,
        "similarity": candidate.similarity,
        "score": candidate.score,
    }


def _share(value: float | None) -> str:
    return "none asked" if value is None else f"{value:.4f}"


def _interval(value: tuple[float, float] | None) -> str:
    return "" if value is None else f"{value[0]:.4f} to {value[1]:.4f}"
