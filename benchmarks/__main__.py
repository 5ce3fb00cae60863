"""``python -m benchmarks``: the table of ratios, both sides of each, and their JSON."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.clock import cores
from benchmarks.ratios import QUICK, Ratios, Size
from benchmarks.table import RATIOS, Row, results

HERE = Path(__file__).parent
MARGIN = 2  # a quick run fails only beyond this factor: it is short, and CI machines are shared
console = Console()


def run(
    quick: Annotated[bool, typer.Option("--quick", help="A minute; fails on ratios.")] = False,
    edits: Annotated[int | None, typer.Option(help="Edits in the large memory.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps the large memory for the next run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Time decisions by this process's CPU: on a busy machine.")
    ] = False,
) -> None:
    """Measure what the gate costs, each figure beside what it is compared with."""
    size = QUICK if quick else Size()
    size = replace(size, many=edits) if edits else size
    out = out or HERE / ("quick.json" if quick else "results.json")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        measured = Ratios(
            folder, cache or folder / "cache", size, process_time if cpu else perf_counter
        )
        rows = measured.all(lambda name: console.print(f"[dim]measuring {name}[/]"))
        found = results(rows)
        write(out, found)
        write(out.with_stem(f"{out.stem}-details"), measured.details)
        show(rows, measured.details)
        console.print(found["machine"])
    missed = [row for row in rows if row.name in RATIOS and not row.met(MARGIN)]
    if cores() < 2:  # askers at once need cores to answer on
        missed = [row for row in missed if row.name != "concurrent"]
    if quick and missed:
        console.print(f"[red]Beyond {MARGIN} times what is to be reached:[/]")
        for row in missed:
            console.print(f"  {row.name}: {row.value:.2f}, reach {row.reach:g}")
        raise typer.Exit(1)


def write(path: Path, found: object) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def show(rows: list[Row], details: dict[str, object]) -> None:
    """Print the table, and where a decision's time goes."""
    table = Table("what", "measured", "reach", "", "both sides", box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        value = f"{row.value:.2f}" if row.value < 100 else f"{row.value:.0f}"
        reach = f"{'≥' if row.at_least else '≤'} {row.reach:g}"
        mark = "[green]✓[/]" if row.met() else "[red]✗[/]"
        table.add_row(row.what, f"{value} {row.unit}".strip(), reach, mark, row.sides)
    console.print(table)
    profile = details["profile"]
    if isinstance(profile, dict):
        parts = Table("median ms of", *profile, box=SIMPLE_HEAD, pad_edge=False)
        for part in dict.fromkeys(name for one in profile.values() for name in one):
            parts.add_row(part, *(f"{one.get(part, 0):.2f}" for one in profile.values()))
        console.print(parts)


if __name__ == "__main__":
    typer.run(run)
