"""Options that many commands share, written once: a parameter's name says what it stands for.

A command's parameter ``memory``, ``fields``, ``show``, ``config`` or ``judging`` is replaced by the
options of the function below that provides it.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from serac_retriever.cli.show import Show
from serac_retriever.errors import SeracError

if TYPE_CHECKING:
    from serac_retriever.config import Config
    from serac_retriever.memory import EditMemory

WHERE = "Where the edits are"
FIELDS = "Fields of the edit"
Threshold = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="An edit is in scope when its score is above this."),
]
ERROR, FAULTS = 1, 3  # exit codes; 2 is typer's for wrong usage


def config(
    context: typer.Context,
    memory: Annotated[
        Path | None,
        typer.Option(
            "--memory", "-m", envvar="SERAC_MEMORY", rich_help_panel=WHERE, show_default="edits",
            help="Folder of an embedded memory.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(envvar="SERAC_HOST", rich_help_panel=WHERE, help="A Chroma server instead."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            envvar="SERAC_PORT", rich_help_panel=WHERE, show_default="8000",
            help="The server's port.",
        ),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            envvar="SERAC_COLLECTION", rich_help_panel=WHERE, show_default="edits",
            help="The collection's name.",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--config", envvar="SERAC_CONFIG", rich_help_panel=WHERE,
            help="A TOML file with these and the gate's other settings.",
        ),
    ] = None,
) -> Config:  # fmt: skip
    """Put together the settings: options win over the file."""
    from serac_retriever.config import Config

    read = Config.read(settings) if settings else Config()
    given = {"memory": memory, "host": host, "port": port, "collection": collection}
    said = [name for name in ("memory", "host") if _is_option(context, name)]
    if len(said) == 1:  # what is said here beats what the environment or the file says
        (other,) = {"memory", "host"} - {*said}
        given[other] = None
        read = read.model_copy(update={other: None})
    return Config(**{**read.model_dump(), **{k: v for k, v in given.items() if v is not None}})


def _is_option(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def judging(
    config: Config,
    scope: Annotated[
        Path | None, typer.Option(help="Folder of a trained scope classifier, as serac train's.")
    ] = None,
    threshold: Threshold = None,
) -> Config:
    """Return the settings, the scope classifier and its threshold as given here."""
    given = {"scope": scope, "threshold": threshold}
    return config.model_copy(update={k: v for k, v in given.items() if v is not None})


def memory(config: Config) -> EditMemory:
    """Open the memory that the settings name."""
    return config.open_memory()


def fields(
    kind: Annotated[
        Literal["answer", "fact", "stance"] | None,
        typer.Option(rich_help_panel=FIELDS, help="What it is."),
    ] = None,
    mode: Annotated[
        Literal["reason", "verbatim"] | None,
        typer.Option(
            rich_help_panel=FIELDS,
            help="Let the counterfactual model phrase it, or say it word for word.",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(rich_help_panel=FIELDS, help="A label; may be repeated.")
    ] = None,
    author: Annotated[
        str | None, typer.Option(rich_help_panel=FIELDS, help="Who writes it.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(rich_help_panel=FIELDS, help="Where it comes from.")
    ] = None,
    note: Annotated[
        str | None, typer.Option(rich_help_panel=FIELDS, help="For colleagues.")
    ] = None,
    valid_from: Annotated[
        str | None,
        typer.Option(rich_help_panel=FIELDS, help="Date or moment (ISO 8601) it begins to fire."),
    ] = None,
    valid_until: Annotated[
        str | None,
        typer.Option(rich_help_panel=FIELDS, help="Date or moment (ISO 8601) it stops."),
    ] = None,
) -> dict[str, Any]:
    """Return the fields that were given."""
    given = {
        "kind": kind,
        "mode": mode,
        "tags": tag or None,
        "author": author,
        "source": source,
        "note": note,
        "valid_from": valid_from,
        "valid_until": valid_until,
    }
    return {name: value for name, value in given.items() if value is not None}


def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> Show:
    """Return what prints."""
    return Show(as_json)


PROVIDERS: dict[str, Callable[..., Any]] = {
    "config": config,
    "judging": judging,
    "memory": memory,
    "fields": fields,
    "show": show,
}


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Register a command: shared options expanded, our errors told plainly, handles closed."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        options = _expanded(function)

        def run(**given: Any) -> None:
            as_json = bool(given.get("as_json"))
            for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter is no failure
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(errors="replace")
            opened: dict[str, Any] = {}
            try:
                function(**_provided(function, given, opened))
            except SeracError as error:
                Show(as_json).error(error)
                raise typer.Exit(ERROR) from None
            except KeyboardInterrupt:
                Show(as_json).interrupted()
                raise typer.Exit(130) from None
            except BrokenPipeError:  # `serac list | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            finally:
                if "memory" in opened:
                    opened["memory"].close()

        run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        app.command(name)(run)
        return function

    return register


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, localns=_types(), include_extras=True)
    return [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def _types() -> dict[str, Any]:
    return {"Config": Any, "EditMemory": Any}  # their homes load chromadb: not for `serac --help`


def _expanded(function: Callable[..., Any]) -> list[inspect.Parameter]:
    options: dict[str, inspect.Parameter] = {}
    for parameter in _parameters(function):
        if parameter.name in PROVIDERS and parameter.default is inspect.Parameter.empty:
            provider = PROVIDERS[parameter.name]
            options.update((option.name, option) for option in _expanded(provider))
        else:
            options[parameter.name] = parameter
    return list(options.values())


def _provided(
    function: Callable[..., Any], given: dict[str, Any], opened: dict[str, Any]
) -> dict[str, Any]:
    values = {}
    for parameter in _parameters(function):
        name = parameter.name
        if name in PROVIDERS and parameter.default is inspect.Parameter.empty:
            if name not in opened:
                opened[name] = PROVIDERS[name](**_provided(PROVIDERS[name], given, opened))
            values[name] = opened[name]
        else:
            values[name] = given[name]
    return values
