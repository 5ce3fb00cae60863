"""The command ``serac``.

Exit codes: 0 done; 1 failed (the error is on stderr); 2 wrong usage; 3 done, but with faults found
(lines of a file, records of a collection); 130 interrupted.
"""

from __future__ import annotations

from typing import Annotated

import typer

from serac_retriever import __version__
from serac_retriever.cli import answers, bench, doctor, edits, train

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Patch what a LangChain application says, in seconds, without touching its model.",
)
for part in (edits.app, answers.app, bench.app, doctor.app):
    app.registered_commands += part.registered_commands
app.add_typer(train.app, name="train")


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
