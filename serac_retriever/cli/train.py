"""``serac train``: models trained on a person's own edits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from serac_retriever.cli.options import command
from serac_retriever.cli.show import Show
from serac_retriever.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from serac_retriever.edit import Edit
    from serac_retriever.scope import ScopeClassifier

app = typer.Typer(no_args_is_help=True, help="Train models on your own edits.")
Suites = Annotated[list[Path], typer.Argument(help="Suites to train on: JSONL or CSV.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write the model to.")]
Init = Annotated[
    str, typer.Option(help="What to start from: packaged, scratch, or a folder of a trained one.")
]
Epochs = Annotated[float | None, typer.Option(min=0.01, help="Passes over the examples.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", min=0, help="Its peak.")]
Seed = Annotated[int, typer.Option(help="All chance comes from it.")]
Threads = Annotated[int, typer.Option(min=1, help="torch threads, on a CPU.")]
Kind = Literal["late-interaction", "cross-encoder", "embedding"]
Model = Annotated[
    str | None, typer.Option(help="Name or folder of a Hugging Face model to start from.")
]


@command(app)
def scope(
    show: Show,
    suites: Suites,
    out: Out = Path("scope"),
    kind: Annotated[
        Kind, typer.Option(help="The packaged kind, or one of the paper's two.")
    ] = "late-interaction",
    init: Init = "packaged",
    epochs: Epochs = None,
    learning_rate: Rate = None,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Train a scope classifier: from 20 edits up."""
    suite, options = _read(suites), _given(epochs=epochs, learning_rate=learning_rate)
    trained: ScopeClassifier
    with _training(threads):
        if kind == "late-interaction":
            from serac_retriever.training.heads import adapt_scope

            start = _start(init, "late-interaction-scope")
            trained = adapt_scope(suite, out, init=start, seed=seed, **options)
        elif kind == "cross-encoder":
            from serac_retriever.training.sentence import train_cross_encoder

            model = None if init in ("packaged", "scratch") else init
            trained = train_cross_encoder(suite, out, model=model, seed=seed, **options)
        else:
            from serac_retriever.training.sentence import fit_embedding

            if options or init != "packaged":
                raise ConfigError(
                    "Expected no --init, --epochs or --learning-rate with --kind embedding, which "
                    "fits a curve to the packaged encoder's cosines. Leave them out."
                )
            trained = fit_embedding(suite, out, seed=seed)
    show.done(
        {"scope": str(out), "threshold": trained.threshold},
        f"Wrote {out}. Try it: serac eval SUITE --scope {out}",
    )


@command(app)
def reader(
    show: Show,
    suites: Suites,
    out: Out = Path("reader"),
    init: Init = "packaged",
    epochs: Epochs = None,
    learning_rate: Rate = None,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Train the reader: from 20 edits up."""
    with _training(threads):
        from serac_retriever.training.heads import adapt_reader

        adapt_reader(
            _read(suites), out, init=_start(init, "reader"), seed=seed,
            **_given(epochs=epochs, learning_rate=learning_rate),
        )  # fmt: skip
    show.done({"reader": str(out)}, f"Wrote {out}. Use it: Reader({str(out)!r})")


@command(app)
def encoder(
    show: Show,
    suites: Suites,
    out: Out = Path("encoder"),
    model: Model = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Train a sentence encoder: from 20 edits up. A collection must be rebuilt for it."""
    with _training(threads):
        from serac_retriever.training.sentence import train_encoder

        train_encoder(
            _read(suites), out, model=model, seed=seed,
            **_given(epochs=epochs, learning_rate=learning_rate),
        )  # fmt: skip
    show.done(
        {"encoder": str(out)},
        f"Wrote {out}. Use it, with langchain-huggingface: EditMemory('edits', "
        f"embeddings=HuggingFaceEmbeddings(model_name={str(out)!r}), reindex=True)",
    )


@command(app)
def seq2seq(
    show: Show,
    suites: Suites,
    out: Out = Path("seq2seq"),
    model: Model = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Train the paper's counterfactual model; a small one from scratch without --model."""
    with _training(threads):
        from serac_retriever.training.seq2seq import train_seq2seq

        train_seq2seq(
            _read(suites), out, model=model, seed=seed,
            **_given(epochs=epochs, learning_rate=learning_rate),
        )  # fmt: skip
    show.done({"seq2seq": str(out)}, f"Wrote {out}. Use it: Seq2Seq({str(out)!r})")


@contextmanager
def _training(threads: int) -> Iterator[None]:
    try:
        import datasets
        import torch
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            f"Training needs {error.name}: pip install 'serac-retriever[train]'"
        ) from error
    torch.set_num_threads(threads)
    quiet: Any = transformers.utils.logging  # its functions are not typed
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    datasets.disable_progress_bars()
    yield


def _read(paths: list[Path]) -> list[Edit]:
    from serac_retriever.suites import read_suite

    return [edit for path in paths for edit in read_suite(path)]


def _start(init: str, packaged: str) -> Path | None:
    from serac_retriever.models import FOLDER

    if init == "scratch":
        return None
    return FOLDER / packaged if init == "packaged" else Path(init)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
