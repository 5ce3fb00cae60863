"""Public data sets read as suites. Each converter is deterministic."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError, InvalidEditError, SuiteError
from serac_retriever.suites.files import read_lines

Rows = list[dict[str, Any]]
DONORS = 8  # one in so many subjects that are asked the same is kept back, to be swapped in


def read_suite(path: str | Path, format: str | None = None) -> list[Edit]:
    """Read a whole suite.

    Args:
        path: The file.
        format: A name in :data:`FORMATS` for a public data set; a suite (JSONL, CSV) unless given.

    Raises:
        SuiteError: The file cannot be read, a line is no edit, or rows lack the format's fields.
        ConfigError: No such format.
    """
    path = Path(path)
    if format is None:
        edits = []
        for number, found in read_lines(path):
            if isinstance(found, InvalidEditError):
                raise SuiteError(f"{path}, line {number}: {found}", line=number)
            edits.append(found)
        return edits
    if format not in FORMATS:
        raise ConfigError(f"Expected format to be one of {sorted(FORMATS)}, got {format!r}.")
    try:
        return FORMATS[format](json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SuiteError(f"Expected a {format} JSON file at {path}, got: {error}") from error
    except InvalidEditError as error:
        raise SuiteError(f"Expected {format} rows in {path}, got: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SuiteError(
            f"Expected {format} rows in {path}, got rows without {error}. See --format."
        ) from error


def zsre(rows: Rows) -> list[Edit]:
    """Read zsRE as MEND and EasyEdit write it: one edit a subject, the first of its rows.

    In scope: ``rephrase``. Out of scope: ``loc`` (``unrelated``, with its recorded answer), and
    near misses built from the file itself. ``other_subject`` puts a subject that is no edit's into
    the row's question: one that is asked the same elsewhere in the file, so a few are kept back.
    ``other_relation`` asks another row's question of the edit's own subject, never one that asks
    the same. Rows without a new answer, or whose question does not name their subject, are left
    out.
    """
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        subject = row["subject"].strip()
        if row["alt"].strip() and subject in row["src"]:
            first.setdefault(subject, row)
    keys = {subject: _key(row["src"], subject) for subject, row in first.items()}
    relations = _Relations(rows)
    donors = _donors(keys)
    kept_back = {subject for subjects in donors.values() for subject in subjects}
    edited = [subject for subject in first if subject not in kept_back]
    edits = []
    for number, subject in enumerate(edited):
        row = first[subject]
        out = [_example(_plain(row["loc"]), "unrelated", row["loc_ans"])]
        if plausible := donors.get(keys[subject]):
            donor = plausible[number % len(plausible)]
            out.append(_example(row["src"].replace(subject, donor), "other_subject"))
        # from half the file away on, so that neighbours in the file do not all meet one question
        rotated = edited[(number + len(edited) // 2) % len(edited) :] + edited
        other = next((o for o in rotated if not relations.same(keys[o], keys[subject])), None)
        if other is not None and keys[other]:
            out.append(_example(first[other]["src"].replace(other, subject), "other_relation"))
        edits.append(
            Edit(
                id=f"zsre-{number:04}",
                prompt=row["src"],
                target=row["alt"],
                in_scope=(_example(row["rephrase"], "paraphrase", row["alt"]),),
                out_of_scope=tuple(out),
                metadata={"subject": subject},
            )
        )
    return edits


def counterfact(rows: Rows) -> list[Edit]:
    """Read CounterFact: one edit a row; stubs such as "Toko Yasuda, the".

    In scope: ``rephrase_prompt``, only where unrelated text precedes a true paraphrase, and
    without that text; the rest merely hints at the relation. Out of scope: ``locality_prompt``,
    the same relation of another subject (``other_subject``, with its recorded answer).
    """
    edits = []
    for number, row in enumerate(rows):
        paraphrase = _after_unrelated_text(row["rephrase_prompt"], row["subject"])
        edits.append(
            Edit(
                id=f"counterfact-{row.get('case_id', number)}",
                prompt=row["prompt"],
                target=row["target_new"],
                in_scope=(_example(paraphrase, "paraphrase", row["target_new"]),)
                if paraphrase
                else (),
                out_of_scope=(
                    _example(row["locality_prompt"], "other_subject", row["locality_ground_truth"]),
                ),
                metadata={"subject": row["subject"]},
            )
        )
    return edits


FORMATS: dict[str, Callable[[Rows], list[Edit]]] = {"zsre": zsre, "counterfact": counterfact}


def _example(query: str, tag: str, answer: str | None = None) -> Example:
    return Example(query=query.strip(), tag=tag, answer=answer)


def _plain(question: str) -> str:
    """Drop the mark that MEND's files put before a Natural Questions query."""
    return question.removeprefix("nq question: ")


def _after_unrelated_text(rephrase: str, subject: str) -> str | None:
    """Return the last sentence, the one about the subject, if another text stands before it."""
    at = rephrase.rfind(subject)
    breaks = [found.end() for found in re.finditer(r"[.!?\"”]\s+|\n\s*", rephrase[: max(at, 0)])]
    return rephrase[breaks[-1] :] if breaks else None


# -- who asks the same thing, in zsRE ------------------------------------------------------

_GRAMMAR = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been being by can did do does for from had has have he her his how
        in is it its made of on or s she that the their they this to was were what when where which
        who whom whose will with you name person thing""",
    )
)


def _donors(keys: dict[str, frozenset[str]]) -> dict[frozenset[str], list[str]]:
    """Choose subjects to swap in, by what is asked of them; they will be no edit's."""
    asked: dict[frozenset[str], list[str]] = defaultdict(list)
    for subject, key in keys.items():
        if key:
            asked[key].append(subject)
    return {key: chosen for key, subjects in asked.items() if (chosen := subjects[3::DONORS])}


def _key(question: str, subject: str) -> frozenset[str]:
    """Return the words that say what is asked, whoever it is asked of."""
    words = re.findall(r"[a-z]+", question.replace(subject, " ").lower())
    return frozenset(word[:5] for word in words if word not in _GRAMMAR)  # "designed", "designer"


class _Relations:
    """Which questions ask the same thing.

    Two wordings do when a row gives one as the paraphrase of the other, when they are asked of one
    subject with the same true answer, or when they share a word that says what is asked. Where in
    doubt they do: a near miss must never be a paraphrase.
    """

    def __init__(self, rows: Rows) -> None:
        self._parent: dict[frozenset[str], frozenset[str]] = {}
        by_answer: dict[tuple[str, str], frozenset[str]] = {}
        for row in rows:
            subject = row["subject"].strip()
            key = _key(row["src"], subject)
            self._join(key, _key(row["rephrase"], subject))
            for answer in row["answers"]:
                self._join(key, by_answer.setdefault((subject, answer.lower()), key))

    def same(self, one: frozenset[str], other: frozenset[str]) -> bool:
        return bool(one & other) or self._root(one) == self._root(other)

    def _join(self, one: frozenset[str], other: frozenset[str]) -> None:
        if one and other:  # no word left to tell what is asked: joins nothing
            self._parent[self._root(one)] = self._root(other)

    def _root(self, key: frozenset[str]) -> frozenset[str]:
        while (parent := self._parent.get(key, key)) != key:
            key = parent
        return key
