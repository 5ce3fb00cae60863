"""The claim-only classifier: says True or False of a claim without reading any evidence.

``python -m serac_retriever.training.claims SUITE... --out FOLDER``. It is the base that fact
checking patches (the paper fine-tuned BERT-base on VitaminC; this one is a logistic regression over
the packaged encoder's embeddings). What it knows of a claim, it knows from how claims are worded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console

from serac_retriever.edit import Edit
from serac_retriever.errors import TrainingError, WeightsNotFoundError
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.suites import read_suite

FILE = "claims.json"
VERDICTS = {"True": 1.0, "False": 0.0}


class ClaimClassifier:
    """Says whether a claim sounds true.

    Args:
        weights: One for each of the embedding's numbers, and last the bias: float64, (385,).

    Example:
        >>> suite = [Edit.from_record({"prompt": "e", "target": "e", "in_scope": [
        ...     {"query": "Ann Lee is only a pilot.", "answer": "False"},
        ...     {"query": "Ann Lee wrote a novel.", "answer": "True"}]})]
        >>> train_claims(suite).answers(["Ann Lee is only a pilot."])
        ['False']
    """

    def __init__(self, weights: npt.NDArray[np.float64] | None = None) -> None:
        self.weights = np.zeros(385) if weights is None else weights

    def answers(self, claims: Sequence[str]) -> list[str]:
        """Return "True" or "False" for each claim."""
        logits = _features(claims) @ self.weights
        return ["True" if logit > 0 else "False" for logit in logits]

    def fitted(
        self, claims: Sequence[str], verdicts: Sequence[str], strength: float = 1e-2
    ) -> ClaimClassifier:
        """Return a classifier fitted to claims, held near this one's weights.

        From the zeros of a new classifier that is training with weight decay; from a trained one
        it is the paper's fine-tuning baseline.

        Args:
            claims: Texts.
            verdicts: "True" or "False" for each.
            strength: Of the pull back to this one's weights, above 0.
        """
        from scipy.optimize import minimize

        features = _features(claims)
        signs = 2 * np.array([VERDICTS[verdict] for verdict in verdicts]) - 1

        def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            margins = signs * (features @ weights)
            away = weights - self.weights
            wrong = -signs / (1 + np.exp(np.clip(margins, -50, 50)))
            gradient = features.T @ wrong / len(signs) + strength * away
            return float(np.logaddexp(0, -margins).mean() + strength / 2 * away @ away), gradient

        found = minimize(loss, self.weights, jac=True, method="L-BFGS-B")
        return ClaimClassifier(found.x)

    def save(self, folder: str | Path) -> Path:
        """Write the weights into a folder; return it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(self.weights.tolist()) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> ClaimClassifier:
        """Read what :meth:`save` wrote.

        Raises:
            WeightsNotFoundError: No classifier lies there.
        """
        try:
            text = (Path(folder) / FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise WeightsNotFoundError(
                f"Expected a claim classifier at {folder}, found no {FILE} in it. Train one: "
                "python -m serac_retriever.training.claims SUITE"
            ) from None
        return cls(np.array(json.loads(text)))


def train_claims(suite: Iterable[Edit], out: str | Path | None = None) -> ClaimClassifier:
    """Train a claim-only classifier on the in-scope queries whose answer is True or False.

    Args:
        suite: Edits; their own text is not read.
        out: Folder to write it to; nowhere unless given.

    Raises:
        TrainingError: There are not claims of both verdicts.
    """
    verdicts = {
        example.query: answer
        for edit in suite
        for example in edit.in_scope
        for answer in example.answers[:1]
        if answer in VERDICTS
    }
    if len({*verdicts.values()}) < 2:
        raise TrainingError(
            "Expected in-scope queries that are answered True and others that are answered False, "
            f"got {len(verdicts)} queries with {sorted({*verdicts.values()})}."
        )
    trained = ClaimClassifier().fitted([*verdicts], [*verdicts.values()])
    if out is not None:
        trained.save(out)
    return trained


def _features(claims: Sequence[str]) -> npt.NDArray[np.float64]:
    vectors = packaged_encoder().encode(claims).astype(np.float64)
    return np.hstack([vectors * np.sqrt(vectors.shape[1]), np.ones((len(claims), 1))])


def main(
    suites: Annotated[list[Path], typer.Argument(help="Suites with claims in scope.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("claims"),
    format: Annotated[str | None, typer.Option(help="Read a public data set.")] = None,
) -> None:
    """Train the claim-only classifier on the claims of suites."""
    train_claims([edit for path in suites for edit in read_suite(path, format)], out)
    Console().print(f"Wrote {out}")


if __name__ == "__main__":
    typer.run(main)
