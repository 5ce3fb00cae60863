"""Pairs from edits that name their subject: another subject, another relation, another wording.

The subject is what an edit's metadata calls ``subject``; edits without one, or whose prompt does
not have it word for word, give none.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from serac_retriever.edit import Edit
from serac_retriever.training.examples import Pair
from serac_retriever.training.near_misses import other_number


def subject_swaps(suite: Sequence[Edit], rng: random.Random) -> Iterator[Pair]:
    """Yield, for edits that name their subject, queries about a look-alike or another of its kind.

    The edit's own subject is what its metadata calls ``subject``. Others of its kind are those
    that some edit asks the same of; a look-alike differs in few letters or in a number.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for edit in suite:
        if (subject := _subject(edit)) is not None:
            alike[edit.prompt.replace(subject, "{}")].append(subject)
    everyone = sorted({subject for subjects in alike.values() for subject in subjects})
    for edit in suite:
        subject = _subject(edit)
        if subject is None:
            continue
        texts = [e.query for e in edit.in_scope if subject in e.query] or [edit.prompt]
        kind = [s for s in alike[edit.prompt.replace(subject, "{}")] if s != subject]
        own = {text.lower() for text in (edit.prompt, *(e.query for e in edit.in_scope))}
        others = rng.sample(kind or everyone, 1)
        close = get_close_matches(subject, rng.sample(everyone, min(80, len(everyone))), 3, 0.5)
        others += [other for other in close if other != subject][:1]
        if (changed := other_number(subject, rng)) != subject:
            others.append(changed)
        for other in others:
            swapped = rng.choice([edit.prompt, *texts]).replace(subject, other)
            if swapped.lower() not in own:  # another name of the subject may be in scope, too
                yield Pair(edit.prompt, swapped, False, "other_subject", edit.target)


def reworded(suite: Sequence[Edit], rng: random.Random, each: int = 3) -> Iterator[Pair]:
    """Yield, for edits that name their subject, other wordings that the suite has for its prompt.

    Bulk for suites of few paraphrases. Two wordings ask the same where one edit has both, the
    second as its paraphrase or asked of another subject; since many are vague ("X plays"), the
    second must have been answered elsewhere as this edit is.
    """
    wordings, answers = _wordings(suite)
    for edit in suite:
        if (form := _form(edit)) is None or not wordings[form]:
            continue
        answer = edit.target.lower()
        drawn = dict.fromkeys(rng.choices(wordings[form], k=each))  # the usual ones more often
        for other in drawn:
            if answer in answers[other]:
                query = other.replace("{}", _subject(edit) or "")
                yield Pair(edit.prompt, query, True, "reworded", edit.target)


def relation_swaps(suite: Sequence[Edit], rng: random.Random, each: int = 2) -> Iterator[Pair]:
    """Yield, for edits that name their subject, other edits' questions asked of that subject.

    Two questions count as other relations when no answer of the suite answers both, and no edit
    has both: whether "X works as" and "the profession of X is" differ cannot be told from their
    words.
    """
    wordings, answers = _wordings(suite)
    often = Counter(_form(edit) for edit in suite)
    forms = sorted(form for form in answers if often[form] >= 15)
    for edit in suite:
        form, subject = _form(edit), _subject(edit)
        if form is None or subject is None or often[form] < 15:
            continue
        same = {form, *wordings[form]}
        others = [
            other
            for other in rng.sample(forms, min(12, len(forms)))
            if answers[other].isdisjoint(answers[form]) and other not in same
        ]
        for other in others[:each]:
            query = other.replace("{}", subject)
            yield Pair(edit.prompt, query, False, "other_relation", edit.target)


def _wordings(suite: Sequence[Edit]) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    """Return, for each form of prompt, the forms that ask the same, and what answers it."""
    answers: dict[str, set[str]] = defaultdict(set)
    for edit in suite:
        if (form := _form(edit)) is not None:
            answers[form].add(edit.target.lower())
    ends = sorted((tuple(form.split("{}")) for form in answers if form.count("{}") == 1),
                  key=lambda parts: -sum(map(len, parts)))  # fmt: skip
    wordings: dict[str, list[str]] = defaultdict(list)
    for edit in suite:
        form, subject = _form(edit), _subject(edit)
        if form is None or subject is None:
            continue
        same = [e.query.replace(subject, "{}") for e in edit.in_scope if subject in e.query]
        for example in edit.out_of_scope:
            if example.tag == "other_subject":
                asked = example.query
                like = next(
                    (p for p in ends if asked.startswith(p[0]) and asked.endswith(p[1])), ()
                )
                same += ["{}".join(like)] if like else []
        for other in same:
            if other != form:
                wordings[form].append(other)
                wordings[other].append(form)
    return wordings, answers


def _form(edit: Edit) -> str | None:
    """Return an edit's prompt with its subject left out: "The mother tongue of {} is"."""
    subject = _subject(edit)
    return None if subject is None else edit.prompt.replace(subject, "{}")


def _subject(edit: Edit) -> str | None:
    subject = str(edit.metadata.get("subject") or "")
    return subject if subject and subject in edit.prompt else None
