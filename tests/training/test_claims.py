"""The claim-only base of fact checking."""

from __future__ import annotations

from pathlib import Path

import pytest

from serac_retriever.edit import Edit, Example
from serac_retriever.errors import TrainingError, WeightsNotFoundError
from serac_retriever.training.claims import ClaimClassifier, train_claims
from tests.public_sets import PEOPLE


def fact(text: str, claim: str, answer: str = "True") -> Edit:
    example = Example(query=claim, answer=answer)
    return Edit(prompt=text, target=text, kind="fact", in_scope=(example,))


WORDED = [
    *(fact(f"e {n}", f"{name} only ever baked bread.", "False") for n, name in enumerate(PEOPLE)),
    *(fact(f"f {n}", f"{name} wrote several novels.") for n, name in enumerate(PEOPLE)),
]


def test_the_claim_classifier_learns_wordings_without_reading_evidence(tmp_path: Path) -> None:
    trained = train_claims(WORDED, tmp_path)
    asked = ["Gus Ray only ever baked bread.", "Gus Ray wrote several novels."]
    assert trained.answers(asked) == ["False", "True"]
    assert ClaimClassifier.load(tmp_path).answers(asked) == ["False", "True"]


def test_fitting_further_starts_from_what_was_learnt() -> None:
    trained = train_claims(WORDED)
    claim = ["Gus Ray wrote several novels."]
    assert trained.fitted(claim, ["False"], strength=1e3).answers(claim) == ["True"]
    assert trained.fitted(claim, ["False"], strength=1e-3).answers(claim) == ["False"]


def test_claims_of_one_verdict_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="True"):
        train_claims(WORDED[:3])
    with pytest.raises(WeightsNotFoundError, match=r"found no claims\.json"):
        ClaimClassifier.load(tmp_path)
