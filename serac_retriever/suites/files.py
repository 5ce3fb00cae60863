"""Edits in files: JSON lines, or CSV with the columns prompt and target."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from serac_retriever.edit import Edit
from serac_retriever.errors import InvalidEditError, SuiteError

Line = tuple[int, Edit | InvalidEditError]
CSV_COLUMNS = [name for name in Edit.model_fields if name != "metadata"]


def read_lines(path: str | Path) -> Iterator[Line]:
    """Read a suite line by line; a line that is no edit comes as the error that says so.

    Args:
        path: JSON lines, or CSV where the name ends in ``.csv``; UTF-8.

    Yields:
        The 1-based number of the line, and its Edit or an InvalidEditError.

    Raises:
        SuiteError: The file cannot be read, or is a CSV without the columns.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, record in _csv(file, path) if path.suffix == ".csv" else _jsonl(file):
                try:
                    if isinstance(record, InvalidEditError):
                        raise record
                    yield number, Edit.from_record(record)
                except InvalidEditError as error:
                    yield number, error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuiteError(f"Expected a readable UTF-8 file at {path}, got: {error}") from error


def _jsonl(file: TextIO) -> Iterator[tuple[int, dict[str, Any] | InvalidEditError]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            shown = line.strip()[:60]
            yield number, InvalidEditError(f"expected one JSON object; got {shown!r} ({error})")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            yield number, InvalidEditError(f"expected one JSON object; got {record!r:.60}")


def _csv(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, Any] | InvalidEditError]]:
    reader = csv.DictReader(file, strict=True)
    missing = {"prompt", "target"} - set(reader.fieldnames or ())
    if missing:
        raise SuiteError(
            f"Expected columns prompt and target in {path}, got {list(reader.fieldnames or ())}."
        )
    for record in reader:
        if None in record:
            yield reader.line_num, InvalidEditError("expected no more values than columns")
        else:
            yield reader.line_num, record


def write_suite(path: str | Path, edits: Iterable[Edit]) -> int:
    """Write edits as JSON lines, or as CSV where the name ends in ``.csv``; return how many.

    The file appears whole or not at all. Reading it back gives the same edits.

    Raises:
        SuiteError: The file cannot be written.
    """
    path = Path(path)
    count = 0
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=path.parent, prefix=".", delete=False
        ) as file:
            try:
                write = _csv_writer(file) if path.suffix == ".csv" else _jsonl_writer(file)
                for count, edit in enumerate(edits, start=1):
                    write(edit.to_record())
                file.close()
                os.chmod(file.name, 0o666 & ~_umask())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise SuiteError(f"Expected to write {path}, got: {error}") from error
    return count


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _jsonl_writer(file: Any) -> Any:
    return lambda record: file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _csv_writer(file: Any) -> Any:
    writer = csv.DictWriter(file, CSV_COLUMNS, extrasaction="ignore")
    writer.writeheader()

    def write(record: dict[str, Any]) -> None:
        flat = {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
            for key, value in record.items()
        }
        flat["tags"] = ",".join(record.get("tags", ()))
        writer.writerow(flat)

    return write
