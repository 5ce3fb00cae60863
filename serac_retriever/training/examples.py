"""Labelled pairs from suites: what is in an edit's scope, and what only looks as if it were.

The paper takes near misses from nearest neighbours in a sentence-embedding space. Those are one
kind of several here, since the kinds that a classifier never saw are those it gets wrong.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from serac_retriever.edit import Edit

ASKS_BACK = {"verify", "claim"}  # queries that name the answer themselves: no edit's prompt


class Pair(NamedTuple):
    """An edit's prompt, a query, and whether the query is in the edit's scope.

    Attributes:
        prompt: The edit's side.
        query: The user's side.
        in_scope: The label.
        tag: What kind of query it is.
        target: What answers the edit's side, where it is known.
    """

    prompt: str
    query: str
    in_scope: bool
    tag: str
    target: str = ""


def given(suite: Iterable[Edit]) -> Iterator[Pair]:
    """Yield the pairs that a suite holds.

    Example:
        >>> from serac_retriever.edit import Example
        >>> edit = Edit(prompt="Capital of X?", target="Y", in_scope=[Example(query="X's capital")])
        >>> [(pair.prompt, pair.query, pair.in_scope, pair.target) for pair in given([edit])]
        [('Capital of X?', "X's capital", True, 'Y')]
    """
    for edit in suite:
        for example in edit.in_scope:
            tag = example.tag or "in_scope"
            yield Pair(edit.prompt, example.query, True, tag, edit.target)
        for example in edit.out_of_scope:
            yield Pair(
                edit.prompt, example.query, False, example.tag or "out_of_scope", edit.target
            )


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
            Pair(one.query, other.query, True, other.tag or "in_scope", edit.target)
            for one in asking
            for other in edit.in_scope
            if one is not other
        ]
        found += [Pair(one.query, edit.prompt, True, "prompt", edit.target) for one in asking]
        misses = [
            Pair(one.query, other.query, False, other.tag or "out_of_scope", edit.target)
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
        texts = [(edit.prompt, edit.target)]
        if edit.out_of_scope:
            texts.append((rng.choice(edit.out_of_scope).query, ""))
        for text, target in texts:
            yield Pair(text, lightly_restated(text, rng), True, "restated", target)


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
