"""``serac bench``: what a decision costs on this machine, with these edits, and where it goes."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from serac_retriever.cli.options import command
from serac_retriever.cli.show import Show, stdout, visible
from serac_retriever.errors import ConfigError

if TYPE_CHECKING:
    from serac_retriever.config import Config
    from serac_retriever.memory import EditMemory

app = typer.Typer()
WHOLE, OWN = "a decision", "the gate itself"
PARTS = {"embed": "embedding the query", "retrieve": "Chroma", "scope": "the scope classifier"}
WARM_UP = ("warm", "and warmer")  # the first query pays for the weights


@command(app)
def bench(
    judging: Config,
    show: Show,
    queries: Annotated[
        Path | None,
        typer.Option(help="What to ask, a query a line; the edits' own queries unless given."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many queries.")] = 200,
) -> None:
    """Time decisions over your own edits on this machine, and say where the time goes."""
    from langchain_core.runnables import RunnablePassthrough

    with judging.open_memory() as memory:
        asked = (_read(queries) if queries else _own(memory, limit))[:limit]
        gate = judging.gate(RunnablePassthrough(), memory=memory, output="text", on_error="raise")
        edits = memory.collection.count()
        for query in WARM_UP:
            gate.decide(query)
        spent: dict[str, list[float]] = {name: [] for name in (WHOLE, *PARTS.values(), OWN)}
        fired = 0
        for query in asked:
            began = perf_counter()
            decision = gate.decide(query)
            whole = (perf_counter() - began) * 1000
            laps = {label: decision.timings_ms.get(lap, 0.0) for lap, label in PARTS.items()}
            for name, ms in ((WHOLE, whole), *laps.items(), (OWN, whole - sum(laps.values()))):
                spent[name].append(ms)
            fired += decision.fired
    _print(show, spent, {"queries": len(asked), "fired": fired, "edits": edits})


def _read(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Expected a UTF-8 file of queries at {path}, got: {error}") from error
    return _distinct(lines, f"Expected a query a line in {path}, found none.")


def _own(memory: EditMemory, limit: int) -> list[str]:
    edits = memory.list(status="active", limit=limit)
    examples = [one.query for e in edits for one in (*e.in_scope, *e.out_of_scope)]
    missing = "Expected active edits to ask for, found none. Add one: serac add PROMPT TARGET"
    return _distinct(examples or [edit.prompt for edit in edits], missing)


def _distinct(queries: list[str], missing: str) -> list[str]:
    """Return each query once: asked again, a cache may answer."""
    found = [*dict.fromkeys(query.strip() for query in queries if query.strip())]
    if not found:
        raise ConfigError(missing)
    return found


def _print(show: Show, spent: dict[str, list[float]], counts: dict[str, int]) -> None:
    import numpy as np

    figures: dict[str, dict[str, Any]] = {}
    for name, ms in spent.items():
        p50, p95 = np.percentile(ms, [50, 95]).round(3).tolist()
        figures[name] = {"p50": p50, "p95": p95}
    if show.as_json:
        show.json({**counts, "ms": figures})
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for column in ("milliseconds", "median", "p95", "share"):
        table.add_column(column, justify="left" if column == "milliseconds" else "right")
    whole = sum(spent[WHOLE])
    for name, one in figures.items():
        share = "" if name == WHOLE else f"{sum(spent[name]) / whole:.0%}"
        table.add_row(visible(name), f"{one['p50']:.2f}", f"{one['p95']:.2f}", share)
    stdout.print(table)
    units = figures[WHOLE]["p50"] / figures[PARTS["embed"]]["p50"]
    stdout.print(
        f"[dim]{counts['queries']} queries over {counts['edits']} active edits, {counts['fired']} "
        f"of them in scope. A decision costs {units:.1f} times embedding its query.[/]"
    )
