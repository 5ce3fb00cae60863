"""Edits from a declarative file: relations with many phrasings each, over kinds of subjects.

Bulk for training: relations and phrasings by the hundred, that no public set has, with neighbours
(look-alike names stand side by side in the file, sister relations share a kind of subject).
"""

from __future__ import annotations

import json
import random
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from serac_retriever.edit import Edit, Example

FILE = Path(__file__).parent / "relations.json"


@cache
def relations() -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """Return the names of each kind of subject, and the relations."""
    tables = json.loads(FILE.read_text(encoding="utf-8"))
    return tables["types"], tables["relations"]


def relation_edits(count: int, rng: random.Random) -> list[Edit]:
    """Return so many edits about relations of subjects, phrased at random.

    Each has four queries in scope and six near misses: the same relation of a look-alike and of
    another subject, three other relations of the same subject, and another relation of another.

    Example:
        >>> [edit] = relation_edits(1, random.Random(0))
        >>> len(edit.in_scope), len(edit.out_of_scope)
        (4, 6)
    """
    types, every = relations()
    return [_edit(number, types, every, rng) for number in range(count)]


def _edit(
    number: int, types: dict[str, list[str]], every: list[dict[str, Any]], rng: random.Random
) -> Edit:
    relation = rng.choice(every)
    names = types[relation["type"]]
    at = rng.randrange(len(names))
    subject = names[at]
    beside = [names[place] for place in (at - 1, at + 1) if 0 <= place < len(names)]
    [look_alike] = get_close_matches(subject, beside, 1, 0)
    others = [name for name in names if name not in (subject, look_alike)]
    overlapping = {relation["id"], *relation["same"]}
    sisters = [
        one
        for one in every
        if one["type"] == relation["type"]
        and one["id"] not in overlapping
        and relation["id"] not in one["same"]
    ]
    answer = rng.choice(relation["objects"])
    statement = rng.random() < 0.25
    form = rng.choice(relation["statements" if statement else rng.choice(PROMPTS)])
    asked = [f for f in _phrasings(relation) if f != form]
    in_scope = [Example(query=f.format(s=subject), tag="paraphrase") for f in rng.sample(asked, 4)]
    misses = [
        (relation, look_alike, "other_subject"),
        (relation, rng.choice(others), "other_subject"),
        *(
            (sister, subject, "other_relation")
            for sister in rng.sample(sisters, min(3, len(sisters)))
        ),
        (rng.choice(sisters or every), look_alike, "other_relation"),
    ]
    return Edit(
        id=f"relation-{number}",
        prompt=form.format(s=subject, o=answer),
        target=answer,
        kind="fact" if statement else "answer",
        in_scope=tuple(in_scope),
        out_of_scope=tuple(
            Example(query=rng.choice(_phrasings(one)).format(s=name), tag=tag)
            for one, name, tag in misses
        ),
        metadata={"subject": subject, "relation": relation["id"]},
    )


PROMPTS = ("questions", "questions", "questions", "stubs", "indirect")


def _phrasings(relation: dict[str, Any]) -> list[str]:
    return [*relation["questions"], *relation["stubs"], *relation["indirect"]]
