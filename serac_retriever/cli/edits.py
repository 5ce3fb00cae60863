"""Commands that keep edits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import MofNCompleteColumn, Progress

from serac_retriever.cli.options import FAULTS, command
from serac_retriever.cli.show import Show, stderr

if TYPE_CHECKING:
    from serac_retriever.config import Config
    from serac_retriever.memory import EditMemory

MOST = 2**31 - 1
app = typer.Typer()
Id = Annotated[str, typer.Argument(help="The edit's id, as `serac list` shows it.")]
Status = Literal["draft", "active", "retired"]


@command(app)
def add(
    prompt: Annotated[str, typer.Argument(help="What to look for: a question, a claim, a stub.")],
    target: Annotated[str, typer.Argument(help="What to say.")],
    memory: EditMemory,
    fields: dict[str, Any],
    show: Show,
    id: Annotated[str | None, typer.Option(help="Its id; a slug of the prompt otherwise.")] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Store it, but do not let it fire.")
    ] = False,
) -> None:
    """Store an edit. It fires from the next query on."""
    own = {"id": id} if id else {}
    show.edit(memory.add(prompt, target, status="draft" if draft else "active", **own, **fields))


@command(app, "list")
def list_edits(
    memory: EditMemory,
    show: Show,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only edits with this tag.")] = None,
    author: Annotated[str | None, typer.Option(help="Only this author's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most this many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, max=MOST, help="Leave out this many first.")] = 0,
) -> None:
    """List edits, page by page."""
    found = memory.list(status=status, tag=tag, author=author, limit=limit + 1, offset=offset)
    show.edits(found[:limit], more=len(found) > limit, next_offset=offset + limit)


@command(app, "show")
def show_edit(id: Id, memory: EditMemory, show: Show) -> None:
    """Show one edit, whole."""
    show.edit(memory.get(id))


@command(app)
def search(
    query: Annotated[str, typer.Argument(help="What a user might say.")],
    memory: EditMemory,
    show: Show,
    k: Annotated[int, typer.Option("-k", min=1, help="At most this many.")] = 8,
) -> None:
    """Find the active edits nearest to a query."""
    show.candidates(memory.search(query, k))


@command(app)
def update(
    id: Id,
    memory: EditMemory,
    fields: dict[str, Any],
    show: Show,
    prompt: Annotated[str | None, typer.Option(help="Another prompt.")] = None,
    target: Annotated[str | None, typer.Option(help="Another target.")] = None,
) -> None:
    """Change fields of an edit."""
    own = {"prompt": prompt, "target": target}
    changes = {**{name: value for name, value in own.items() if value is not None}, **fields}
    if not changes:
        raise typer.BadParameter("Expected at least one field to change, such as --target.")
    show.edit(memory.update(id, **changes))


@command(app)
def retire(id: Id, memory: EditMemory, show: Show) -> None:
    """Stop an edit from firing, and keep it."""
    show.edit(memory.retire(id))


@command(app)
def restore(id: Id, memory: EditMemory, show: Show) -> None:
    """Let a retired or draft edit fire again."""
    show.edit(memory.restore(id))


@command(app)
def delete(
    id: Id,
    memory: EditMemory,
    show: Show,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove an edit for good."""
    if not (yes or show.as_json) and not typer.confirm(f"Delete '{id}' for good?", err=True):
        raise typer.Exit(1)
    memory.delete(id)
    show.done({"deleted": id}, f"Deleted {id}.")


@command(app, "import")
def import_edits(
    file: Annotated[Path, typer.Argument(help="A suite (JSONL), or CSV with prompt,target.")],
    memory: EditMemory,
    show: Show,
    skip: Annotated[
        bool, typer.Option("--skip", help="Report bad lines and store the rest.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let lines replace edits of the same id.")
    ] = False,
) -> None:
    """Store the edits of a file. Run it again after an interruption: nothing lands twice."""
    report = memory.import_file(
        file, on_error="skip" if skip else "abort", replace=replace, progress=True
    )
    show.load_report(report)
    if report.failures:
        raise typer.Exit(FAULTS)


@command(app, "export")
def export_edits(
    file: Annotated[Path, typer.Argument(help="Where to: .jsonl, or .csv.")],
    memory: EditMemory,
    show: Show,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
) -> None:
    """Write the edits to a file."""
    count = memory.export_file(file, status=status)
    show.done({"exported": count, "file": str(file)}, f"Wrote {count} edits to {file}.")


@command(app)
def reindex(config: Config, show: Show) -> None:
    """Embed every record anew, for this version's encoder."""
    bar = Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), console=stderr)
    task = bar.add_task("Embedding", total=None)

    def advance(done: int) -> None:
        bar.advance(task, done)

    with bar, config.open_memory(reindex=advance) as memory:
        if not bar.tasks[0].completed:  # it was of this encoder: opening it rebuilt nothing
            memory.reindex(progress=advance)
        count = memory.count()
    show.done({"edits": count}, f"Embedded {count} edits anew.")
