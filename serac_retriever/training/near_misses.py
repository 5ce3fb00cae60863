"""Near misses by rule, for any suite: the paper's neighbours, no subject, a "not", other numbers.

What needs to know an edit's subject is in ``swaps.py``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from langchain_core.embeddings import Embeddings

from serac_retriever.edit import Edit
from serac_retriever.training.examples import ASKS_BACK, Pair

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
                    yield Pair(edit.prompt, queries[place][1], False, "neighbour", edit.target)


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
            yield Pair(edit.prompt, rng.choice(SUBJECTLESS), False, "subjectless", edit.target)


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


def negations(suite: Iterable[Edit], rng: random.Random, share: float = 0.3) -> Iterator[Pair]:
    """Yield the prompts of some edits negated, where that can be done by a rule."""
    for edit in suite:
        if rng.random() < share and (changed := negated(edit.prompt)) is not None:
            yield Pair(edit.prompt, changed, False, "negation", edit.target)


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
                yield Pair(edit.prompt, changed, False, "other_time", edit.target)


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
