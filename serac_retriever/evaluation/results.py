"""What the report's steps found, as ``docs/results.json`` keeps it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from serac_retriever.errors import SuiteError
from serac_retriever.evaluation.bench import TaskResult
from serac_retriever.evaluation.curves import Curve, Reliability


class Measured(BaseModel):
    """What one step found, and under which circumstances.

    Attributes:
        weights: A hash of the files that it was measured with.
        limit: Only so many edits of each file; None for all.
        minutes: It took.
        machine: Where.
        command: Prints it again.
        results: A task's.
        curves: A classifier's, one a test set.
        reliability: Of the packaged classifier's scores.
    """

    model_config = ConfigDict(frozen=True)

    weights: str
    limit: int | None
    minutes: float
    machine: str
    command: str
    results: list[TaskResult] = []
    curves: list[Curve] = []
    reliability: Reliability | None = None


class Results(BaseModel):
    """All steps' results, as ``docs/results.json`` holds them."""

    steps: dict[str, Measured] = {}

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what :meth:`write` wrote; nothing where there is no such file.

        Raises:
            SuiteError: The file is of another form.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            raise SuiteError(
                f"Expected results of an earlier report in {path}, got: {error}. Delete the file "
                "to measure all of it anew."
            ) from error

    def write(self, path: Path) -> None:
        """Write them; the file is whole at every moment."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def machine() -> str:
    """Return what the figures were measured on, in words."""
    import onnxruntime

    kind = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file():
        names = (line for line in about.read_text().splitlines() if line.startswith("model name"))
        kind = next(names, kind).partition(": ")[2] or kind
    return (
        f"{kind}, {os.cpu_count()} cores, one thread, no GPU; Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}"
    )
