"""Paraphrase sets read as suites: one text is the edit, the other the query."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from serac_retriever.edit import Edit, Example

TableRows = list[list[str]]


def squad(document: dict[str, Any]) -> list[Edit]:
    """Read SQuAD's form: one edit a question; out of scope are others on its paragraph.

    Questions on one paragraph that share an answer are left out of each other's scope and out of
    what it excludes: whether they ask the same cannot be told.
    """
    edits: list[Edit] = []
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            asked = {
                qa["question"].strip(): qa["answers"][0]["text"]
                for qa in paragraph["qas"]
                if qa["answers"]
            }
            for question, answer in asked.items():
                others = [other for other, theirs in asked.items() if theirs != answer]
                edits.append(
                    Edit(
                        id=f"squad-{len(edits)}",
                        prompt=question,
                        target=answer,
                        out_of_scope=_examples(others, "other_relation"),
                    )
                )
    return edits


def paws(rows: TableRows) -> list[Edit]:
    """Read PAWS: sentence pairs with much the same words, paraphrases or not (``word_order``)."""
    pairs = [(first, second, label) for _, first, second, label in rows]
    return _pairs("paws", pairs, "word_order")


def mrpc(rows: TableRows) -> list[Edit]:
    """Read MRPC: pairs of news sentences, paraphrases or ones that say something else."""
    pairs = [(first, second, label) for label, _, _, first, second in rows[1:]]
    return _pairs("mrpc", pairs, "other_relation")


def _pairs(name: str, pairs: Iterable[tuple[str, str, str]], near_miss: str) -> list[Edit]:
    edits = []
    for number, (first, second, label) in enumerate(pairs):
        if label.strip() not in ("0", "1"):
            raise ValueError(f"pair {number}: expected label 0 or 1, got {label!r}")
        same = label.strip() == "1"
        examples = _examples([second.strip()], "paraphrase" if same else near_miss)
        edits.append(
            Edit(
                id=f"{name}-{number}",
                prompt=first.strip(),
                target=first.strip(),
                kind="fact",
                in_scope=examples if same else (),
                out_of_scope=() if same else examples,
            )
        )
    return edits


def _examples(queries: Iterable[str], tag: str) -> tuple[Example, ...]:
    return tuple(Example(query=query, tag=tag) for query in queries)
