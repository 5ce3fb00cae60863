"""The rows of the table, and the JSON that they are kept as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.clock import machine

RATIOS = ("far", "near", "growth", "batch", "scan", "langchain", "load", "concurrent")
FIGURES = ("gate_ms", "import_s", "list_s", "first_answer_s", "peak_mb")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: As in the JSON.
        what: What is measured.
        value: The figure: a ratio unless it has a unit.
        reach: What it should reach.
        at_least: Whether more is better.
        sides: What it is of, as text; with medians and p95 where they are latencies.
        unit: Of the value; none for a ratio.
    """

    name: str
    what: str
    value: float
    reach: float
    at_least: bool = False
    sides: str = ""
    unit: str = ""

    def met(self, margin: float = 1.0) -> bool:
        """Say whether it is reached, give or take a factor."""
        if self.at_least:
            return self.value >= self.reach / margin
        return self.value <= self.reach * margin


def results(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the figures as they are written down."""
    values = {row.name: round(row.value, 4) for row in rows}
    return {
        "ratios": {name: values[name] for name in RATIOS},
        **{name: values[name] for name in FIGURES},
        "machine": machine(),
    }
