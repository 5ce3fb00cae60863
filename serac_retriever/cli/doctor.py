"""``serac doctor``: is everything where it should be?"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serac_retriever.cli.options import FAULTS, command
from serac_retriever.cli.show import Show, stdout, visible
from serac_retriever.errors import SeracError
from serac_retriever.models import ENCODER_FOLDER, FOLDER, weights

if TYPE_CHECKING:
    from serac_retriever.config import Config

app = typer.Typer()
PACKAGES = (
    "serac-retriever", "langchain", "langchain-core", "chromadb", "langchain-chroma", "torch",
    "transformers", "sentence-transformers", "onnxruntime", "pydantic",
)  # fmt: skip
PARTS = {
    "encoder": (ENCODER_FOLDER, "encoder.onnx"),
    "tokenizer": (ENCODER_FOLDER, "tokenizer.json"),
    "words": (ENCODER_FOLDER, "words.safetensors"),
    "scope, first stage": (FOLDER / "late-interaction-scope", "compare.onnx"),
    "scope, glance": (FOLDER / "late-interaction-scope", "glance.safetensors"),
    "scope, early exit": (FOLDER / "late-interaction-scope", "exit.safetensors"),
    "scope, second stage": (FOLDER / "late-interaction-scope", "scope.onnx"),
    "reader": (FOLDER / "reader", "reader.onnx"),
}


@command(app)
def doctor(
    config: Config,
    show: Show,
    create: Annotated[
        bool, typer.Option("--create", help="Look into the memory even where there is none yet.")
    ] = False,
) -> None:
    """Check versions, weights and the collection; exit code 3 where something is amiss."""
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    found: dict[str, Any] = {"versions": versions, "weights": {}, "memory": None, "faults": []}
    faults: list[str] = found["faults"]
    faults += [f"{name} is not installed" for name, version in versions.items() if not version]
    for name, (folder, file) in PARTS.items():
        try:
            found["weights"][name] = weights(folder, file).stat().st_size
        except SeracError as error:
            faults.append(str(error))
    if create or config.folder is None or config.folder.exists():
        try:
            found["memory"] = _examine(config, faults)
        except SeracError as error:
            faults.append(f"{type(error).__name__}: {error}")
    if show.as_json:
        show.json(found)
    else:
        _print(found)
    if faults:
        raise typer.Exit(FAULTS)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _examine(config: Config, faults: list[str]) -> dict[str, Any]:
    with config.open_memory() as memory:
        states = ("active", "draft", "retired")
        counts = {status: memory.count(status) for status in states}  # type: ignore[arg-type]
        facts = memory.collection.metadata or {}
        malformed = memory.malformed()
        faults += [f"record '{one.id}' is skipped: {one.fault}" for one in malformed]
        return {
            "where": repr(memory),
            "edits": counts,
            "malformed": [one._asdict() for one in malformed],
            "schema": facts.get("serac_schema"),
            "encoder": facts.get("serac_encoder"),
        }


def _print(found: dict[str, Any]) -> None:
    for name, version in found["versions"].items():
        stdout.print(f"[dim]{name:22}[/] {version or '[red]not installed[/]'}")
    for name, size in found["weights"].items():
        stdout.print(
            f"[dim]{name:22}[/] {size / 1e6:.1f} MB" if size > 1e5 else f"[dim]{name:22}[/] found"
        )
    if memory := found["memory"]:
        counts = ", ".join(f"{count} {status}" for status, count in memory["edits"].items())
        stdout.print(f"[dim]{'memory':22}[/] {visible(memory['where'])}: {counts}")
        stdout.print(f"[dim]{'its encoder':22}[/] {visible(str(memory['encoder']))}")
    else:
        stdout.print(f"[dim]{'memory':22}[/] none yet; the first `serac add` makes one")
    for fault in found["faults"]:
        stdout.print(f"[bold red]✗[/] {visible(fault)}")
    if not found["faults"]:
        stdout.print("[bold green]✓[/] All well.")
