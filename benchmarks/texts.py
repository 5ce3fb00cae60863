"""Edits and queries that are asked: the project's own, or generated from its own tables."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from serac_retriever.edit import Edit
from serac_retriever.suites import read_suite
from serac_retriever.training.relations import relations

EVERYDAY = Path(__file__).parents[1] / "data" / "everyday"
HELD_OUT = 3  # phrasings of each relation that no edit has: what is asked stands nowhere in memory


class Pool:
    """Texts that are each handed out once, so that no cache has seen them."""

    def __init__(self, texts: Iterable[str], seed: int = 0) -> None:
        self._rng = random.Random(seed)  # noqa: S311  (sampling)
        self._texts = [*dict.fromkeys(texts)]
        self._rng.shuffle(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def take(self, count: int) -> list[str]:
        """Return so many texts that nobody had.

        Raises:
            ValueError: Too few are left.
        """
        if count > len(self._texts):
            raise ValueError(f"Expected {count} texts never asked, {len(self._texts)} are left.")
        taken, self._texts = self._texts[:count], self._texts[count:]
        return taken

    def rounds(self, count: int, sides: int = 2) -> list[list[str]]:
        """Return, for so many rounds, one text for each side: other texts of like length."""
        texts = sorted(self.take(count * sides), key=len)
        found = [texts[at : at + sides] for at in range(0, len(texts), sides)]
        for texts in found:
            self._rng.shuffle(texts)
        self._rng.shuffle(found)
        return found


def everyday(split: str) -> list[Edit]:
    """Return the edits of a split of the Everyday set. ``test`` is for figures of quality only."""
    return read_suite(EVERYDAY / f"{split}.jsonl")


def queries_of(edits: Iterable[Edit]) -> list[str]:
    """Return what is asked of edits: in their scope, and nearly."""
    return [one.query for edit in edits for one in (*edit.in_scope, *edit.out_of_scope)]


def generated(count: int, seed: int = 0) -> tuple[list[Edit], list[list[str]]]:
    """Return so many edits about facts that do not exist, and for each fact what else asks it.

    The same fact may stand in several phrasings, as people write the same correction twice.

    Example:
        >>> edits, queries = generated(2)
        >>> len(edits), [len(of_one) for of_one in queries]
        (2, [3, 3])
    """
    rng = random.Random(seed)  # noqa: S311  (sampling)
    kinds, every = relations()
    edits, asked = [], {}
    places = []
    for number, relation in enumerate(every):
        forms = [*chain(relation["questions"], relation["stubs"], relation["indirect"])]
        rng.shuffle(forms)
        for subject in kinds[relation["type"]]:
            asked[number, subject] = [form.format(s=subject) for form in forms[:HELD_OUT]]
            places += [(number, subject, form) for form in forms[HELD_OUT:]]
    if count > len(places):
        raise ValueError(f"Expected at most {len(places)} generated edits, got {count}.")
    chosen = rng.sample(places, count)
    edits = [
        Edit(
            id=f"generated-{place}",
            prompt=form.format(s=subject),
            target=rng.choice(every[number]["objects"]),
        )
        for place, (number, subject, form) in enumerate(chosen)
    ]
    return edits, [asked[number, subject] for number, subject, _ in chosen]


def distinct(edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits whose prompt no earlier one has."""
    return [*{edit.prompt: edit for edit in reversed(edits)}.values()][::-1]
