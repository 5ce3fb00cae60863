"""Labelled pairs from suites: what is in an edit's scope, and what only looks as if it were.

The paper takes near misses from nearest neighbours in a sentence-embedding space. Those are one
kind of several here, since the kinds that a classifier never saw are those it gets wrong.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
from langchain_core.embeddings import Embeddings

from serac_retriever.edit import Edit

ASKS_BACK = {"verify", "claim"}  # queries that name the answer themselves: no edit's prompt
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# "May" that opens a sentence is rather the verb
FIGURE = re.compile(
    rf"[0-9]+|(?<=\w[ -])May\b|\b(?:{'|'.join(w for w in (*MONTHS, *DAYS) if w != 'May')})\b"
)


class Pair(NamedTuple):
    """An edit's prompt, a query, and whether the query is in the edit's scope.

    Attributes:
        prompt: The edit's side.
        query: The user's side.
        in_scope: The label.
        tag: What kind of query it is.
    """

    prompt: str
    query: str
    in_scope: bool
    tag: str


def given(suite: Iterable[Edit]) -> Iterator[Pair]:
    """Yield the pairs that a suite holds.

    Example:
        >>> from serac_retriever.edit import Example
        >>> edit = Edit(prompt="Capital of X?", target="Y", in_scope=[Example(query="X's capital")])
        >>> [*given([edit])]
        [Pair(prompt='Capital of X?', query="X's capital", in_scope=True, tag='in_scope')]
    """
    for edit in suite:
        for example in edit.in_scope:
            yield Pair(edit.prompt, example.query, True, example.tag or "in_scope")
        for example in edit.out_of_scope:
            yield Pair(edit.prompt, example.query, False, example.tag or "out_of_scope")


def crossed(suite: Iterable[Edit], rng: random.Random, each: int = 6) -> Iterator[Pair]:
    """Yield an edit's queries against each other, so that form is no clue.

    Whoever writes near misses keeps the prompt's words and whoever writes paraphrases avoids
    them; a classifier would learn that. With a paraphrase as the prompt, or a near miss, the words
    shared say nothing. Two queries in scope of one edit are in each other's scope (but for those
    that name the answer), a near miss is in no other's.
    """
    for edit in suite:
        asking = [e for e in edit.in_scope if e.tag not in ASKS_BACK]
        found = [
            Pair(one.query, other.query, True, other.tag or "in_scope")
            for one in asking
            for other in edit.in_scope
            if one is not other
        ]
        found += [Pair(one.query, edit.prompt, True, "prompt") for one in asking]
        misses = [
            Pair(one.query, other.query, False, other.tag or "out_of_scope")
            for one in asking
            for other in edit.out_of_scope
        ]
        misses += [Pair(e.query, edit.prompt, False, e.tag or "out_of_scope")
                   for e in edit.out_of_scope if e.tag not in ASKS_BACK]  # fmt: skip
        rng.shuffle(found)
        rng.shuffle(misses)
        yield from found[: each // 2]
        yield from misses[: each - each // 2]


def restated(suite: Iterable[Edit], rng: random.Random) -> Iterator[Pair]:
    """Yield an edit's prompt, and one of its near misses, against themselves lightly restated."""
    for edit in suite:
        texts = [edit.prompt]
        if edit.out_of_scope:
            texts.append(rng.choice(edit.out_of_scope).query)
        for text in texts:
            yield Pair(text, lightly_restated(text, rng), True, "restated")


def lightly_restated(text: str, rng: random.Random) -> str:
    """Return a text with changes that leave what is asked alone: case, stops, manners, a slip.

    Example:
        >>> lightly_restated("Who is the UK prime minister?", random.Random(1))
        'please tell me, who is the UK prime minister?'
    """
    changes: list[Callable[[str], str]] = [
        lambda t: _slip(t, rng),  # first: while capitals tell names, which must keep their letters
        lambda t: t.lower(),
        lambda t: t.rstrip("?.") or t,
        lambda t: re.sub(r"\b([Ww]ho|[Ww]hat|[Ww]here|[Ww]hen|[Hh]ow) is\b", r"\1's", t),
        lambda t: rng.choice(BEFORE) + t[:1].lower() + t[1:],
        lambda t: t + rng.choice(AFTER),
    ]
    for place in sorted(rng.sample(range(len(changes)), rng.randint(1, 3))):
        text = changes[place](text)
    return text


BEFORE = (
    "could you tell me: ", "please tell me, ", "hi, ", "do you know, ", "just to be sure, ",
    "quick one: ", "asking for a friend: ", "sorry to bother you, but ", "one more thing: ",
)  # fmt: skip
AFTER = (" thanks", " please", " Thank you!", " (asap)", " ...", " Any idea?", " cheers")


def _slip(text: str, rng: random.Random) -> str:
    """Swap two neighbouring letters inside one longer word, as fingers do."""
    words = [*re.finditer(r"\b[a-z]{5,}\b", text)]
    if not words:
        return text
    at = (word := rng.choice(words)).start() + rng.randint(1, len(word.group()) - 3)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def neighbours(
    suite: Sequence[Edit], embeddings: Embeddings, rng: random.Random, each: int = 2, pool: int = 8
) -> Iterator[Pair]:
    """Yield, for each edit, queries in scope of other edits that lie nearest to its prompt.

    The paper's own near misses (its section 4). Edits that share a query or a prompt ask the same
    and are no near misses of each other.
    """
    owner = _same_facts(suite)
    queries = [(place, example.query) for place, edit in enumerate(suite)
               for example in edit.in_scope]  # fmt: skip
    if not queries:
        return
    vectors = np.asarray(embeddings.embed_documents([query for _, query in queries]), np.float32)
    prompts = np.asarray(embeddings.embed_documents([edit.prompt for edit in suite]), np.float32)
    owners = np.array([owner[place] for place, _ in queries])
    for start in range(0, len(suite), 512):
        similar = prompts[start : start + 512] @ vectors.T
        for row, edit in enumerate(suite[start : start + 512]):
            similar[row, owners == owner[start + row]] = -1
            nearest = np.argpartition(-similar[row], min(pool, len(queries) - 1))[:pool]
            for place in rng.sample(nearest.tolist(), min(each, len(nearest))):
                if similar[row, place] > -1:
                    yield Pair(edit.prompt, queries[place][1], False, "neighbour")


def _same_facts(suite: Sequence[Edit]) -> list[int]:
    """Return for each edit the number of a group: edits that share a text are of one group."""
    parent = list(range(len(suite)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    first: dict[str, int] = {}
    for place, edit in enumerate(suite):
        for text in (edit.prompt, *(example.query for example in edit.in_scope)):
            parent[root(place)] = root(first.setdefault(text.lower().strip(), place))
    return [root(place) for place in range(len(suite))]


def subjectless(suite: Sequence[Edit], rng: random.Random, share: float = 0.5) -> Iterator[Pair]:
    """Yield, for some edits, a query that names no subject: what it is about, nobody can tell."""
    for edit in suite:
        if rng.random() < share:
            yield Pair(edit.prompt, rng.choice(SUBJECTLESS), False, "subjectless")


SUBJECTLESS = (
    "So who is it?", "And who is it now?", "Who was that again?", "what about the other one",
    "And in 2019?", "when is that", "So when does it start?", "And on Sundays?", "how much is it",
    "How much would that be then?", "where is it", "Where exactly?", "which one is it",
    "Is that right?", "Are you sure?", "is it true", "really?", "why", "Why is that?", "how come",
    "Can you say that again?", "Tell me more.", "go on", "And what does that mean?", "And then?",
    "What is the name?", "whats the number", "What's the address?", "who do I ask", "Who said so?",
    "What changed?", "since when", "Has it changed?", "Is it still the same?", "yes or no?",
    "Could you look it up for me?", "can you help me", "I have a question.", "hello", "Thanks!",
    "no, the other one", "That is not what I asked.", "give me an example", "in short please",
    "What is the capital?", "Who wrote it?", "who plays him", "Where was she born?",
    "When did he die?",
    "What's the deadline?", "how long does it take", "Do I need a form for that?", "is it free",
    "What language do they speak there?", "Who owns it?", "which team does he play for",
)  # fmt: skip


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
                yield Pair(edit.prompt, swapped, False, "other_subject")


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
                yield Pair(edit.prompt, other.replace("{}", _subject(edit) or ""), True, "reworded")


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
            yield Pair(edit.prompt, other.replace("{}", subject), False, "other_relation")


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


def negations(suite: Iterable[Edit], rng: random.Random, share: float = 0.3) -> Iterator[Pair]:
    """Yield the prompts of some edits negated, where that can be done by a rule."""
    for edit in suite:
        if rng.random() < share and (changed := negated(edit.prompt)) is not None:
            yield Pair(edit.prompt, changed, False, "negation")


def negated(question: str) -> str | None:
    """Return a question or stub with a "not" after its first auxiliary; None where there is none.

    Example:
        >>> negated("Who is the UK prime minister?")
        'Who is not the UK prime minister?'
        >>> negated("Which team does Ann Lee play for?")
        'Which team does Ann Lee not play for?'
    """
    if re.search(r"\b(not|never|no)\b|n['’]t\b", question, re.IGNORECASE):
        return None
    # a name that ends in 's or a comma is no subject yet
    if found := re.search(r"\b(?:does|did|do) (?:[A-Z]\S*(?<!['’]s)(?<!,)\s)+(?=[a-z])", question):
        return f"{question[: found.end()]}not {question[found.end() :]}"
    if found := re.search(r"^(?:Who|What|Which\b.*?|Where|When)\s(?:is|was|are|were|can|will) ",
                          question):  # fmt: skip
        return f"{question[: found.end()]}not {question[found.end() :]}"
    if found := re.search(r"\s(?:is|was)$", question):
        return f"{question} not"
    return None


def other_numbers(suite: Iterable[Edit], rng: random.Random) -> Iterator[Pair]:
    """Yield prompts and paraphrases with a number, month or weekday changed (``other_time``)."""
    for edit in suite:
        for text in (edit.prompt, *(e.query for e in edit.in_scope if e.tag not in ASKS_BACK)):
            changed = other_number(text, rng)
            # only what the prompt says too decides; a detail of the query's own may be harmless
            if changed != text and _figures(text) <= _figures(edit.prompt):
                yield Pair(edit.prompt, changed, False, "other_time")


def other_number(text: str, rng: random.Random) -> str:
    """Return a text with one figure, month or weekday changed, or as it is.

    Example:
        >>> other_number("Bus 12", random.Random(0))
        'Bus 11'
    """
    found = [*FIGURE.finditer(text)]
    if not found:
        return text
    word = (place := rng.choice(found)).group()
    if word.isdigit():
        at = rng.randrange(len(word))
        digits = [d for d in "123456789" if d != word[at]]
        changed = word[:at] + rng.choice(digits) + word[at + 1 :]
    else:
        changed = rng.choice([w for w in (MONTHS if word in MONTHS else DAYS) if w != word])
    return text[: place.start()] + changed + text[place.end() :]


def _figures(text: str) -> set[str]:
    return set(FIGURE.findall(text))


def _subject(edit: Edit) -> str | None:
    subject = str(edit.metadata.get("subject") or "")
    return subject if subject and subject in edit.prompt else None
