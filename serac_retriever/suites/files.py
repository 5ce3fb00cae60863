"""Edits in files: JSON lines, or CSV with the columns prompt and target."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from serac_retriever.edit import Edit, tags_as_text
from serac_retriever.errors import InvalidEditError, SuiteError

Line = tuple[int, Edit | InvalidEditError]
CSV_COLUMNS = [*Edit.model_fields]
MAX_CELL = 2**31 - 1  # characters; the csv module's own limit is 131,072


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
            for number, record in _csv(file, path) if _is_csv(path) else _jsonl(file):
                try:
                    if isinstance(record, InvalidEditError):
                        raise record
                    yield number, Edit.from_record(record)
                except InvalidEditError as error:
                    yield number, error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuiteError(f"Expected a readable UTF-8 file at {path}, got: {error}") from error


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _jsonl(file: TextIO) -> Iterator[tuple[int, dict[str, Any] | InvalidEditError]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:  # not JSON, a huge number, nested too deep
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
    limit = csv.field_size_limit(MAX_CELL)
    try:
        for record in reader:
            if None in record:
                yield reader.line_num, InvalidEditError("expected no more values than columns")
            else:
                yield reader.line_num, record
    except csv.Error as error:  # where its quoting is broken, the rest cannot be told apart
        line = reader.reader.line_num
        raise SuiteError(f"{path}, line {line}: expected CSV, got: {error}", line=line) from error
    finally:
        csv.field_size_limit(limit)


def write_suite(path: str | Path, edits: Iterable[Edit]) -> int:
    """Write edits as JSON lines, or as CSV where the name ends in ``.csv``; return how many.

    The file appears whole or not at all, keeps its permissions, and is written through a link.
    What is no plain file, such as ``/dev/stdout``, is written to. Reading it back gives the same
    edits.

    Raises:
        SuiteError: The file cannot be written.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="") as stream:
                return _write(stream, path, edits)
        real = path.resolve()
        mode = real.stat().st_mode & 0o777 if real.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="", dir=real.parent, prefix=".", delete=False
        ) as file:
            try:
                count = _write(file, path, edits)
                file.close()
                os.chmod(file.name, mode)
                os.replace(file.name, real)
            except BaseException:
                os.unlink(file.name)
                raise
    except (OSError, UnicodeError) as error:
        raise SuiteError(f"Expected to write {str(path)!r}, got: {error}") from error
    return count


def _write(file: Any, path: Path, edits: Iterable[Edit]) -> int:
    write = _csv_writer(file) if _is_csv(path) else _jsonl_writer(file)
    count = 0
    for edit in edits:
        write(edit.to_record())
        count += 1
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
            if key in Edit.model_fields
        }
        flat["tags"] = tags_as_text(record.get("tags", ()))
        extra = {key: value for key, value in record.items() if key not in Edit.model_fields}
        if extra:
            flat["metadata"] = json.dumps(extra, ensure_ascii=False)
        writer.writerow(flat)

    return write
