"""What every trainer here shares: settings, the bar, checkpoints and resume, the fewest edits."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from serac_retriever.edit import Edit
from serac_retriever.errors import TrainingError

FEWEST = 20  # edits from which training can tell anything


def enough(suite: Sequence[Edit]) -> None:
    """Refuse a suite that is too small to train on.

    Raises:
        TrainingError: Fewer than 20 edits, or none with in-scope queries.
    """
    asked = sum(len(edit.in_scope) for edit in suite)
    if len(suite) < FEWEST or not asked:
        raise TrainingError(
            f"Expected at least {FEWEST} edits with in-scope queries to train on, got "
            f"{len(suite)} with {asked} queries. Add edits, or in_scope queries to them."
        )


def fit(
    model: nn.Module,
    rows: Sequence[dict[str, Any]],
    out: Path,
    collate: Any,
    *,
    epochs: float,
    learning_rate: float,
    batch_size: int = 64,
    seed: int = 0,
) -> nn.Module:
    """Train a PyTorch model on rows; an interrupted run goes on from its last checkpoint.

    Args:
        model: Gives ``{"loss": ...}`` for what ``collate`` makes of rows.
        rows: Dicts with ``query``, ``edit`` and whatever else ``collate`` reads.
        out: Where the model goes; checkpoints lie in its ``checkpoints`` meanwhile.
        collate: Makes a batch of rows.
        epochs: Passes over the rows.
        learning_rate: Its peak.
        batch_size: Rows a step; those of like length go together.
        seed: Of the order of rows and of dropout.
    """
    from datasets import Dataset

    lengths = [len(row["query"]) + len(row["edit"]) for row in rows]
    arguments = TrainingArguments(
        **settings(
            out,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            seed=seed,
            data=[*rows],
        ),
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        remove_unused_columns=False,
    )
    dataset = Dataset.from_list(
        [{**row, "length": n} for row, n in zip(rows, lengths, strict=True)]
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=dataset, data_collator=collate)
    trained: nn.Module = run(trainer, out)
    return trained


def settings(
    out: Path, *, epochs: float, learning_rate: float, batch_size: int, seed: int, data: Any
) -> dict[str, Any]:
    """Return the arguments that transformers' and sentence-transformers' trainers have in common.

    Args:
        out: Where the model goes; checkpoints lie in its ``checkpoints`` meanwhile.
        epochs: Passes over the examples.
        learning_rate: Its peak; it warms up over the first tenth and then falls to 0.
        batch_size: Examples a step.
        seed: Of the order of examples, of dropout and of new weights.
        data: What is trained on, as JSON: only checkpoints of the same run are gone on from.
    """
    run = json.dumps([epochs, learning_rate, batch_size, seed, data], default=str)
    name = hashlib.blake2b(run.encode(), digest_size=8).hexdigest()
    return {
        "output_dir": str(out / "checkpoints" / name),
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": 0.01,
        "warmup_steps": 0.1,
        "max_grad_norm": 1.0,
        "bf16": fast_bfloat16(),
        "use_cpu": not torch.cuda.is_available(),
        "seed": seed,
        "save_steps": 500,
        "save_total_limit": 1,
        "logging_steps": 100,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def run(trainer: Any, out: Path) -> Any:
    """Train, from the last checkpoint where there is one; return the model, on the CPU."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ShowProgress())
    begun = any(Path(trainer.args.output_dir).glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=begun)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)  # done: what is left is the model
    return trainer.model.to("cpu").eval()


class ShowProgress(TrainerCallback):
    """A bar on stderr with the loss, as everywhere in this package."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Draw the bar."""
        self.bar = Progress(
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=Console(stderr=True),
        )
        self.bar.start()
        self.task = self.bar.add_task("Training", total=state.max_steps, loss="")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move it."""
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the loss."""
        if "loss" in state.log_history[-1]:
            loss = float(state.log_history[-1]["loss"])
            self.bar.update(self.task, loss=f"loss {loss:.3f}")
            if not self.bar.console.is_terminal:  # a log file has no bar: a line now and then
                self.bar.console.print(
                    f"step {state.global_step}/{state.max_steps} loss {loss:.3f}"
                )

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave it as it stands."""
        self.bar.stop()


def fast_bfloat16() -> bool:
    """Say whether this machine multiplies in bfloat16 faster than in float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported())
