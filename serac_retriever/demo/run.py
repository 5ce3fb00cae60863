"""Ask the chatbot everything before the edits, and everything again after them."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict

from serac_retriever.edit import Edit, Example
from serac_retriever.gate import Serac

Kind = Literal["in scope", "near miss", "unrelated"]


class Outcome(BaseModel):
    """One question, before and after.

    Attributes:
        kind: What the question is to the edit.
        edit: The id of the edit it was written for.
        query: The question.
        before: What the chatbot said.
        after: What it says now.
        fired: The id of the edit that answered, if one did.
        score: The best candidate's score, in [0, 1].
        right: Whether it is as it should be: in scope what the edit wants, else unchanged.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    edit: str
    query: str
    before: str
    after: str
    fired: str | None
    score: float | None
    right: bool


def run(base: Runnable[Any, str], chain: Serac, edits: list[Edit]) -> list[Outcome]:
    """Store the edits while the chatbot runs; return each question's outcome, by kind."""
    asked: list[tuple[Kind, Edit, Example]] = []
    for edit in edits:
        asked += [("in scope", edit, example) for example in edit.in_scope]
        asked += [
            ("unrelated" if example.tag == "unrelated" else "near miss", edit, example)
            for example in edit.out_of_scope
        ]
    queries = [example.query for _, _, example in asked]
    before = base.batch(queries)
    chain.memory.add_many(edits)
    outcomes = []
    for (kind, edit, example), said, says in zip(asked, before, chain.batch(queries), strict=True):
        decision = chain.decide(example.query)
        wanted = (example.answers or (edit.target,)) if kind == "in scope" else (said,)
        outcomes.append(
            Outcome(
                kind=kind,
                edit=edit.id,
                query=example.query,
                before=said,
                after=says,
                fired=decision.edit.id if decision.edit else None,
                score=decision.candidates[0].score if decision.candidates else None,
                right=says in wanted,
            )
        )
    order = ("in scope", "near miss", "unrelated")
    return sorted(outcomes, key=lambda outcome: order.index(outcome.kind))
