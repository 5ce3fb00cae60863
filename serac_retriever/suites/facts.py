"""Public sets of facts about a subject, read as suites: zsRE, CounterFact, KnowEdit, PokeMQA."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from serac_retriever.edit import Edit, Example

Rows = list[dict[str, Any]]
DONORS = 8  # one in so many subjects that are asked the same is kept back, to be swapped in


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


def knowedit(rows: Rows) -> list[Edit]:
    """Read KnowEdit (WikiData counterfact, recent): one edit a row; stubs ("The father of X is").

    In scope: the same stub with an alias of the subject. Out of scope: other relations of the same
    subject (``other_relation``). Questions that need a second fact are left out of both.
    """
    edits = []
    for number, row in enumerate(rows):
        if not row["target_new"].strip():
            continue
        aliases = (row.get("portability") or {}).get("Subject_Aliasing") or []
        others = (row.get("locality") or {}).get("Relation_Specificity") or []
        prompt = row["prompt"].strip()
        edits.append(
            Edit(
                id=f"knowedit-{number}",
                prompt=prompt,
                target=row["target_new"],
                in_scope=tuple(
                    _example(alias["prompt"], "alias", row["target_new"])
                    for alias in aliases
                    if alias["prompt"].strip() != prompt
                ),
                out_of_scope=tuple(
                    _example(other["prompt"], "other_relation")
                    for other in others
                    if other["prompt"].strip() != prompt
                ),
                metadata={"subject": row["subject"]},
            )
        )
    return edits


def pokemqa(rows: Rows) -> list[Edit]:
    """Read PokeMQA: the edit is a statement, in scope are four questions that it answers.

    Its subject is the longest run of words, from a capital on, that the statement shares with every
    question.
    """
    edits = []
    for number, row in enumerate(rows):
        subject = _shared_words([row["edit"], *row["questions"]])
        questions = dict.fromkeys(question.strip() for question in row["questions"])
        edits.append(
            Edit(
                id=f"pokemqa-{number}",
                prompt=row["edit"],
                target=row["edit"],
                kind="fact",
                in_scope=tuple(_example(question, "paraphrase") for question in questions),
                metadata={"subject": subject} if subject else {},
            )
        )
    return edits


def _shared_words(texts: list[str]) -> str | None:
    words = texts[0].split()
    runs = (
        " ".join(words[start : start + length])
        for length in range(len(words) - 1, 0, -1)
        for start in range(len(words) - length + 1)
    )
    found = (run for run in runs if run[0].isupper() and all(_says(t, run) for t in texts[1:]))
    return next(found, None)


def _says(text: str, run: str) -> bool:
    """Say whether whole words of a text are those of the run: "The" is not in "Theaetetus"."""
    return run in text and re.search(rf"(?<!\w){re.escape(run)}(?!\w)", text) is not None


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
