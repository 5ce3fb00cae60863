"""What the reader learns from: which part of an edit answers a query, or whether it is true."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from serac_retriever.edit import Edit
from serac_retriever.training.relations import relations

ANSWER, TRUE, FALSE = 0, 1, 2
CHECKS = (
    "True or False: {question} {answer}",
    "True or false? {question} {answer}",
    "{question} Is it {answer}?",
    "{question} {answer}, right?",
    "Is {answer} the answer to this: {question}",
    "Is it true that the answer to \"{question}\" is {answer}?",
    "Am I right that it's {answer}? I mean: {question}",
    "{question} I heard it was {answer}, can you confirm?",
)  # fmt: skip
DENIALS = (
    "True or False: {question} Not {answer}",
    "Is it wrong to answer \"{answer}\" to this: {question}",
    "{question} It isn't {answer}, correct?",
)  # fmt: skip
STUB = ("True or", "{question} {answer}, right?")  # frames that end a stub well
AUXILIARY = re.compile(r"\s(?:is|was|are|were|can|will|(?:has|had)(?=\s\w+ed\s|\sbeen\s))\s")
ASIDE = re.compile(r"\b(?:who|whom|whose|that|which|when|where)\b")
DENIAL = re.compile(r"\b(?:not|never|no|nobody|none|nothing|neither|nor|without)\b|n['’]t\b", re.I)
VERDICTS = {"true": TRUE, "yes": TRUE, "false": FALSE, "no": FALSE}


class Reading(NamedTuple):
    """A query, the edit's text, and what is to be answered.

    Attributes:
        query: The user's side.
        edit: The edit's text, as the reader is given it.
        verdict: 0 the edit's own words, 1 true, 2 false.
        start: Where the answer begins in ``edit``, in characters; -1 where no span is taught.
        end: Where it ends.
    """

    query: str
    edit: str
    verdict: int
    start: int = -1
    end: int = -1


def given(suite: Iterable[Edit]) -> Iterator[Reading]:
    """Yield what a suite says itself: recorded verdicts, and targets as spans of their edit."""
    for edit in suite:
        text = edit.statement
        span = _span(text, edit.target) if edit.kind == "answer" else (-1, -1)
        for example in edit.in_scope:
            verdict = VERDICTS.get((example.answers or ("",))[0].lower())
            if verdict is not None and example.tag in ("verify", "claim"):
                yield Reading(example.query, text, verdict)
            elif example.tag not in ("verify", "claim"):
                yield Reading(example.query, text, ANSWER, *span)


def checked(suite: Sequence[Edit], rng: random.Random) -> Iterator[Reading]:
    """Yield checks of an edit's own answer and of another edit's, plain and denied.

    A statement that holds its answer is no question to put before one; its paraphrases are.
    """
    answers = [edit.target for edit in suite if edit.kind == "answer"]
    for edit in suite:
        if edit.kind != "answer" or len(edit.target) > 60:
            continue
        wrong = min(
            rng.sample(answers, min(8, len(answers))), key=lambda a: _unlike(a, edit.target)
        )
        if _same(wrong, edit.target):
            continue
        asked = [e.query for e in edit.in_scope if e.tag in ("paraphrase", "prompt")]
        asked += [] if edit.target in edit.prompt else [edit.prompt]
        if not asked:
            continue
        text = edit.statement
        for answer, verdict in ((edit.target, TRUE), (wrong, FALSE)):
            yield Reading(_filled(CHECKS, rng.choice(asked), answer, rng), text, verdict)
            if rng.random() < 0.3:
                denied = _filled(DENIALS, rng.choice(asked), answer, rng)
                yield Reading(denied, text, FALSE if verdict == TRUE else TRUE)


def stated(count: int, rng: random.Random) -> Iterator[Reading]:
    """Yield statements of the relations file as edits, with questions, claims and denials."""
    types, every = relations()
    for _ in range(count):
        relation = rng.choice(every)
        subject = rng.choice(types[relation["type"]])
        right, wrong = rng.sample(relation["objects"], 2)
        told = rng.sample(relation["statements"], 2)
        question = rng.choice([*relation["questions"], *relation["indirect"]]).format(s=subject)
        if rng.random() < 0.5:
            before, after = told[0].format(s=subject, o="{o}").split("{o}")
        else:
            asked = rng.choice([*relation["questions"], *relation["stubs"]]).format(s=subject)
            before, after = f"{asked} ", ""
        text = f"{before}{right}{after}"
        yield Reading(question, text, ANSWER, len(before), len(before) + len(right))
        for answer, verdict in ((right, TRUE), (wrong, FALSE)):
            claim = told[1].format(s=subject, o=answer)
            yield Reading(_claim(claim, rng), text, verdict)
            if rng.random() < 0.3:
                denial = negated_claim(claim)
                if denial:
                    yield Reading(_claim(denial, rng), text, FALSE if verdict == TRUE else TRUE)


def negated_claim(claim: str) -> str | None:
    """Return a statement denied, where its auxiliary stands plainly; None where it does not.

    Example:
        >>> negated_claim("Ada was born in Ghent.")
        'Ada was not born in Ghent.'
        >>> negated_claim("The year when Ada was born is 1901.")
        'The year when Ada was born is not 1901.'
    """
    found = [*AUXILIARY.finditer(claim)]
    if not found or DENIAL.search(claim):
        return None
    # what stands after "that" or "which" is an aside: the statement's own verb comes last
    at = found[-1 if ASIDE.search(claim[: found[0].start()]) else 0].end()
    return f"{claim[:at]}not {claim[at:]}"


def contrasted(suite: Sequence[Edit], rng: random.Random) -> Iterator[Reading]:
    """Yield claims with a name or figure exchanged, in the claim alone or in the evidence too.

    Exchanged in both, the verdict stays; exchanged in a true claim alone, it turns. A claim by
    itself then tells nothing, which is what fact-checking sets are known to leak.
    """
    names = [name for edit in suite for name in _names(edit.prompt)]
    for edit in suite:
        for example in edit.in_scope:
            verdict = VERDICTS.get((example.answers or ("",))[0].lower())
            shared = [n for n in _names(example.query) if _whole(n).search(edit.prompt)]
            if verdict is None or not shared:
                continue
            old = rng.choice(shared)
            new = _like(old, names, rng)
            if new is None or new in edit.prompt or new in example.query:
                continue
            claim, evidence = (_whole(old).sub(new, text) for text in (example.query, edit.prompt))
            yield Reading(claim, evidence, verdict)
            # a denial stays true of another name, and a claim on another topic is not false
            opens = _whole(old).match(example.query)
            if verdict == TRUE and not opens and not DENIAL.search(example.query):
                yield Reading(claim, edit.prompt, FALSE)


def _whole(name: str) -> re.Pattern[str]:
    """Find a name or figure, not one that merely holds it: 19 is not in 1995, nor in 19.5."""
    return re.compile(rf"(?<![\w-])(?<!\d[.,]){re.escape(name)}(?![\w-]|[.,]\d)")


def _names(text: str) -> list[str]:
    found = re.findall(r"(?<=\s)(?:[A-Z][\w'’-]+(?:\s[A-Z][\w'’-]+)*|\d[\d,.]*\d|\d)", text)
    return [*dict.fromkeys(found)]


def _like(old: str, names: list[str], rng: random.Random) -> str | None:
    if old[0].isdigit():
        if re.fullmatch(r"[1-9][0-9]{3}", old):  # a year, rather
            return str(int(old) + rng.choice([-11, -3, -1, 1, 2, 7, 20]))
        return re.sub(r"\d", lambda d: str((int(d[0]) + rng.randint(0, 7)) % 9 + 1), old, count=1)
    like = [n for n in rng.sample(names, min(60, len(names)))
            if n != old and not n[0].isdigit() and n.count(" ") == old.count(" ")]  # fmt: skip
    return like[0] if like else None


def _claim(claim: str, rng: random.Random) -> str:
    frames = (
        "{}",
        "{}",
        "{}",
        "True or False: {}",
        "Is it true that {}",
        "So {}",
        "Is this correct: {}",
    )
    frame = rng.choice(frames)
    if frame == "{}":
        return claim
    inner = claim if frame.endswith(": {}") else claim[:1].lower() + claim[1:]
    if claim.split(" ", maxsplit=1)[0] not in ("The", "On", "In", "It", "At", "By", "From", "For"):
        inner = claim  # a name keeps its capital
    text = frame.format(inner.rstrip("."))
    return f"{text}?" if frame.startswith("Is") else f"{text}."


def _filled(frames: Sequence[str], question: str, answer: str, rng: random.Random) -> str:
    """Put a question and an answer into a frame; a stub takes the answer as its end."""
    question = question.strip()
    if question[-1] not in "?.!:":
        frames = [f.replace("Not", "not") for f in frames if f.startswith(STUB)]
    return rng.choice(frames).format(question=question, answer=answer)


def _same(one: str, other: str) -> bool:
    return one.strip(" .").lower() == other.strip(" .").lower()


def _unlike(one: str, other: str) -> float:
    """Prefer a wrong answer of the right one's look: about as long, with figures or without."""
    if _same(one, other):
        return float("inf")
    return abs(len(one) - len(other)) + 20.0 * (
        bool(re.search(r"\d", one)) != bool(re.search(r"\d", other))
    )


def _span(text: str, answer: str) -> tuple[int, int]:
    found = [*_whole(answer).finditer(text)]
    at = found[-1].start() if found else text.rfind(answer)
    return (at, at + len(answer)) if at >= 0 else (-1, -1)
