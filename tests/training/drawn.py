"""Suites and texts to make pairs from, drawn by chance or written for a test."""

from __future__ import annotations

import random
import re
from pathlib import Path

from hypothesis import strategies as st

from serac_retriever import Edit, Example, read_suite
from serac_retriever.training.relations import relation_edits

DEV = Path(__file__).parents[2] / "data" / "everyday" / "dev.jsonl"
NAMES = ["Ada Quill", "Ada Quilt", "Bob Ink", "Room 12", "Room 21", "A. Quill", "ada quill"]
FORMS = ["Who taught {}?", "{} is found in", "When did {} open?"]

chances = st.integers(0, 2**16).map(random.Random)
WORDS = re.findall(r"\w+", "who is the harp teacher of Ada Quill in Arlen since May 2019 not 12")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join)


@st.composite
def suites(draw: st.DrawFn) -> list[Edit]:
    """Edits whose texts are all different, with every tag that there is."""
    tags = st.sampled_from(["paraphrase", "keyword", "verify", "claim", None])
    edits = []
    for number in range(draw(st.integers(1, 4))):
        inside = draw(st.lists(tags, max_size=4))
        outside = draw(st.lists(tags, max_size=4))
        edits.append(
            Edit(
                id=f"edit-{number}",
                prompt=f"prompt of {number}",
                target="x",
                in_scope=[Example(query=f"in {number} {n}", tag=t) for n, t in enumerate(inside)],
                out_of_scope=[
                    Example(query=f"out {number} {n}", tag=t) for n, t in enumerate(outside)
                ],
            )
        )
    return edits


def about(subject: str, form: str = "Who taught {}?", target: str = "x", *asked: str) -> Edit:
    return Edit(
        id=f"{form}-{subject}-{target}",
        prompt=form.format(subject),
        target=target,
        in_scope=[Example(query=query, tag="paraphrase") for query in asked],
        metadata={"subject": subject},
    )


def three_parts() -> list[list[list[Edit]]]:
    """Two suites of different styles, each cut in three: to fit on, to set limits by, unseen."""
    everyday, relations = read_suite(DEV), relation_edits(300, random.Random(1))
    return [
        [everyday[start : start + 100], relations[start : start + 100]] for start in (0, 100, 200)
    ]
