"""Fact checking: the edit is the evidence, the claim is the query."""

from __future__ import annotations

from pathlib import Path

import pytest

from serac_retriever.edit import Edit, Example
from serac_retriever.evaluation import TaskResult, run_task
from serac_retriever.evaluation.fact_checking import split
from tests.public_sets import READER, values


@pytest.fixture(scope="module")
def checked(data: Path) -> dict[str, TaskResult]:
    results = run_task("fc", data, threshold=0.0, counterfactual=READER)
    return {result.setting: result for result in results}


def test_verdicts_are_told_with_the_right_edit_and_by_the_base_alone(
    checked: dict[str, TaskResult],
) -> None:
    found = values(checked["FEVER, held out, verdicts"])
    assert found["verdict, right edit"] == 1.0
    assert found["verdict, base alone"] is not None
    assert checked["Fever-Symmetric, verdicts"].figures["verdict, right edit"].queries == 2


def test_end_to_end_success_is_also_told_where_the_base_is_wrong(
    checked: dict[str, TaskResult],
) -> None:
    result = next(r for name, r in checked.items() if name.startswith("FEVER") and r.edits)
    every, wrong = result.figures["edit success"], result.figures["edit success, base wrong"]
    assert wrong.queries <= every.queries
    assert {"drawdown, neighbour", "drawdown, unrelated"} <= {*result.figures}


def fact(text: str, claim: str, answer: str = "True") -> Edit:
    example = Example(query=claim, answer=answer)
    return Edit(prompt=text, target=text, kind="fact", in_scope=(example,))


def test_out_of_scope_claims_rest_on_no_sentence_that_is_in_memory() -> None:
    shared = [fact(f"Ann flies. Note {n}.", f"Claim {n}.") for n in range(10)]
    assert all(not edit.out_of_scope for edit in split(shared))


def test_evidence_that_contradicts_is_not_in_memory_together() -> None:
    both = [fact("It is red.", "It is red."), fact("It is blue.", "It is red.", "False")]
    apart = [fact(f"Bo has {n} dogs.", f"Bo has {n} dogs.") for n in range(2)]
    for seed in range(10):
        chosen = {edit.prompt for edit in split([*both, *apart], seed)}
        assert not {"It is red.", "It is blue."} <= chosen
