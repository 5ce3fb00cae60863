"""Public data sets read as suites. Each converter is deterministic."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from serac_retriever.edit import Edit
from serac_retriever.errors import ConfigError, InvalidEditError, SuiteError
from serac_retriever.suites.claims import fever, fool_me_twice
from serac_retriever.suites.facts import counterfact, knowedit, pokemqa, zsre
from serac_retriever.suites.files import read_lines
from serac_retriever.suites.paraphrases import mrpc, paws, squad
from serac_retriever.suites.stances import convsent


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _json_lines(path: Path) -> Any:
    rows = []
    # not splitlines(): it breaks at characters that JSON strings may hold
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                fault = f"{path}, line {number}: expected JSON, got {line:.60} ({error})"
                raise SuiteError(fault, line=number) from error
    return rows


def _tabbed(path: Path, columns: int) -> Any:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, start=1):
        if len(row) != columns:
            fault = f"{path}, line {number}: expected {columns} columns, got {len(row)}"
            raise SuiteError(fault, line=number)
    return rows


FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Any], list[Edit]]]] = {
    "zsre": (_json, zsre),
    "counterfact": (_json, counterfact),
    "knowedit": (_json, knowedit),
    "pokemqa": (_json, pokemqa),
    "fever": (_json_lines, fever),
    "fool_me_twice": (_json_lines, fool_me_twice),
    "squad": (_json, squad),
    "paws": (partial(_tabbed, columns=4), paws),
    "mrpc": (partial(_tabbed, columns=5), mrpc),
    "convsent": (_json, convsent),
}


def read_suite(path: str | Path, format: str | None = None) -> list[Edit]:
    """Read a whole suite.

    Args:
        path: The file.
        format: A name in :data:`FORMATS` for a public data set; a suite (JSONL, CSV) unless given.

    Raises:
        SuiteError: The file cannot be read, a line is no edit, or rows lack the format's fields.
        ConfigError: No such format.
    """
    path = Path(path)
    if format is None:
        edits = []
        for number, found in read_lines(path):
            if isinstance(found, InvalidEditError):
                raise SuiteError(f"{path}, line {number}: {found}", line=number)
            edits.append(found)
        return edits
    if format not in FORMATS:
        raise ConfigError(f"Expected format to be one of {sorted(FORMATS)}, got {format!r}.")
    try:
        read, convert = FORMATS[format]
        return convert(read(path))
    except (OSError, ValueError, csv.Error) as error:
        raise SuiteError(f"Expected a {format} file at {path}, got: {error}") from error
    except InvalidEditError as error:
        raise SuiteError(f"Expected {format} rows in {path}, got: {error}") from error
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise SuiteError(
            f"Expected {format} rows in {path}, got rows without {error}. See --format."
        ) from error
