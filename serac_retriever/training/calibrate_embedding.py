"""Fit and calibrate the packaged EmbeddingScope.

``python -m serac_retriever.training.calibrate_embedding TRAIN.json``, where TRAIN.json is zsRE's
train file. Curve and threshold come from its paraphrases and its ``loc`` questions; near misses
play no part, since a cosine cannot tell them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from serac_retriever.edit import Edit
from serac_retriever.models import FOLDER
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import EmbeddingScope
from serac_retriever.scope.calibration import best_scores
from serac_retriever.suites import read_suite


def calibrate_embedding(
    suite: list[Edit], max_drawdown: float = 0.005, keep_success: float = 0.99
) -> EmbeddingScope:
    """Return an EmbeddingScope fitted and calibrated on paraphrases and unrelated questions."""
    plain = [
        edit.model_copy(
            update={"out_of_scope": tuple(e for e in edit.out_of_scope if e.tag == "unrelated")}
        )
        for edit in suite
    ]
    inside = [example.query for edit in plain for example in edit.in_scope]
    outside = [example.query for edit in plain for example in edit.out_of_scope]
    _, cosines = best_scores(
        plain,
        inside + outside,
        lambda pairs: [candidate.similarity for _, candidate in pairs],
        packaged_encoder(),
        k=1,
    )
    scope = EmbeddingScope().fit(cosines.tolist(), [True] * len(inside) + [False] * len(outside))
    scope.calibrate(plain, max_drawdown, keep_success=keep_success)
    return scope


def main(
    train: Annotated[Path, typer.Argument(help="zsRE's train file.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = FOLDER / "embedding-scope",
    max_drawdown: Annotated[float, typer.Option(help="Budget of false fires.")] = 0.005,
) -> None:
    """Fit and calibrate the packaged EmbeddingScope on zsRE's train file."""
    scope = calibrate_embedding(read_suite(train, "zsre"), max_drawdown)
    scope.save(out)
    Console().print(scope)


if __name__ == "__main__":
    typer.run(main)
