"""Commands that ask: a chain, the gate, a suite, the demo."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.prompt import Prompt

from serac_retriever.cli.options import Threshold, command
from serac_retriever.cli.show import Show, stdout, visible
from serac_retriever.errors import ConfigError, SeracError

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from serac_retriever.config import Config
    from serac_retriever.gate import Serac

app = typer.Typer()
TASK = "The paper's tasks"
Query = Annotated[str, typer.Argument(help="What a user says.")]
Base = Annotated[
    str,
    typer.Option(
        "--base",
        envvar="SERAC_BASE",
        help="The chain to patch: module:attribute, or provider:model (init_chat_model).",
    ),
]


def load_base(name: str) -> Runnable[Any, Any]:
    """Return the chain that a name stands for.

    ``module:attribute`` is tried first, from the current folder too; else the name goes to
    LangChain's ``init_chat_model``.

    Raises:
        ConfigError: It is neither.
    """
    from langchain.chat_models import init_chat_model
    from langchain_core.runnables.base import coerce_to_runnable

    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"Expected --base module:attribute or provider:model, got {name!r}.")
    if attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        sys.path.insert(0, str(Path.cwd()))
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise ConfigError(f"--base {name}: importing {module} failed: {error}") from error
            found = None
        except Exception as error:
            raise ConfigError(
                f"--base {name}: importing {module} failed: {type(error).__name__}: {error}"
            ) from error
        finally:
            sys.path.pop(0)
        if found is not None:
            try:
                runnable: Runnable[Any, Any] = coerce_to_runnable(found)
            except TypeError as error:
                raise ConfigError(
                    f"Expected --base {name} to be a Runnable or a function, "
                    f"got {type(found).__name__}."
                ) from error
            return runnable
    try:
        return init_chat_model(name)
    except Exception as error:  # each provider's package fails in its own way
        raise ConfigError(
            f"Expected --base module:attribute or provider:model, got {name!r}: it is no attribute "
            f"of a module that can be imported from {Path.cwd()}, and as a model: {error}"
        ) from error


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Make whatever somebody's chain fails with an error of our own."""
    try:
        yield
    except SeracError:
        raise
    except Exception as error:
        raise SeracError(f"The chain failed. {type(error).__name__}: {error}") from error


@command(app)
def ask(query: Query, base: Base, judging: Config, show: Show) -> None:
    """Ask a chain through its edits: the answer, which edit fired, and the scores."""
    from langchain_core.messages import BaseMessage

    with judging.open_memory() as memory:
        chain = judging.gate(load_base(base), memory=memory)
        decision = chain.decide(query)
        answering, given = chain.branch(query, decision)  # decided once, shown and answered
        with _told_plainly():
            answer = answering.invoke(given)
    text = str(answer.text) if isinstance(answer, BaseMessage) else str(answer)
    show.decision(decision, text)


@command(app)
def decide(query: Query, judging: Config, show: Show) -> None:
    """Say which edit would answer, and why; no chain is asked."""
    from langchain_core.runnables import RunnablePassthrough

    with judging.open_memory() as memory:
        gate = judging.gate(RunnablePassthrough(), memory=memory, output="text", on_error="raise")
        show.decision(gate.decide(query))


@command(app, "eval")
def evaluate_suite(
    judging: Config,
    show: Show,
    file: Annotated[
        Path | None, typer.Argument(help="A suite (JSONL, CSV), or a data set by --format.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Read a public data set: zsre, counterfact, knowedit, fever, squad, ..."),
    ] = None,
    edits: Annotated[str, typer.Option(help="How many at once: a number, or all.")] = "all",
    k: Annotated[
        int | None, typer.Option("-k", min=1, show_default="8", help="Candidates a query.")
    ] = None,
    task: Annotated[
        Literal["qa", "qa-hard", "near-misses", "counterfact", "growth", "fc", "convsent", "reader"]
        | None,
        typer.Option(rich_help_panel=TASK, help="Run a task of the paper instead of a suite."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="SERAC_DATA", rich_help_panel=TASK, help="Folder of the public sets."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=TASK, help="Only so many edits of each file."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines", rich_help_panel=TASK, help="Measure the baselines too (qa and fc)."
        ),
    ] = False,
) -> None:
    """Measure edit success, drawdown, recall and latency of the real gate: a suite, or a task."""
    from serac_retriever.evaluation import evaluate, run_task
    from serac_retriever.suites import read_suite

    if (file is None) == (task is None):
        raise typer.BadParameter("Expected a suite or --task, one of them.")
    if task and data is None:
        raise typer.BadParameter("Expected the folder of the public sets.", param_hint="--data")
    if task and (format or edits != "all"):
        raise typer.BadParameter("A task knows its data: drop --format and --edits.")
    if baselines and not task:
        raise typer.BadParameter("Baselines are a task's: give --task.", param_hint="--baselines")
    if edits != "all" and not edits.isdecimal():
        raise typer.BadParameter(f"Expected a number or all, got {edits!r}.", param_hint="--edits")
    parts: dict[str, Any] = {
        "scope": judging.open_scope(),
        "threshold": judging.threshold,
        "k": k or judging.k,
        "progress": True,
    }
    if task and data:
        show.task(run_task(task, data, limit=limit, baselines=baselines, **parts))
    elif file:
        size = None if edits == "all" else int(edits)
        show.report(evaluate(read_suite(file, format), size, **parts))


@command(app)
def demo(
    show: Show,
    base: Annotated[
        str | None, typer.Option(help="A chat model (provider:model) to phrase the answers.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Talk to the chatbot afterwards.")] = False,
    threshold: Threshold = None,
) -> None:
    """Mend a chatbot: a fictional product's handbook is out of date, nine edits put it right."""
    import chromadb

    from serac_retriever.demo import chatbot, corrections, run
    from serac_retriever.gate import Serac
    from serac_retriever.memory import EditMemory

    if not show.as_json:
        stdout.print(
            "\nA chatbot answers from the handbook of the [bold]Mizzlebrook[/] weather stations. "
            "Nine things in it are no longer true. Nine edits are stored while it runs; its chain "
            "and its handbook stay as they are."
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = chromadb.PersistentClient(folder)
        bot = chatbot(client, load_base(base) if base else None)  # type: ignore[arg-type]
        with EditMemory(client) as memory, _told_plainly():
            chain = Serac(base=bot, memory=memory, threshold=threshold)
            show.outcomes(run(bot, chain, corrections()))
            if chat:
                _talk(chain)


def _talk(chain: Serac) -> None:
    stdout.print(
        "\nAsk what you like. [bold]question => answer[/] stores an edit; an empty line ends.\n"
    )
    while said := Prompt.ask("[bold]you[/]", default="", show_default=False).strip():
        prompt, arrow, target = (part.strip() for part in said.partition("=>"))
        if arrow and prompt and target:
            report = chain.memory.add_many([{"prompt": prompt, "target": target}], replace=True)
            stdout.print(f"[dim]{report}[/]")
            continue
        decision = chain.decide(said)
        answering, given = chain.branch(said, decision)
        who = f"edit {decision.edit.id}" if decision.edit else "handbook"
        stdout.print(f"[bold]bot[/] {visible(answering.invoke(given))} [dim]({visible(who)})[/]")
