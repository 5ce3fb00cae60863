"""Labelled pairs from suites: what is labelled how, for any suite."""

from __future__ import annotations

import random
import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Edit
from serac_retriever.training import examples
from serac_retriever.training.examples import AFTER, BEFORE, crossed, lightly_restated, restated
from serac_retriever.training.near_misses import FIGURE
from tests.training.drawn import chances, suites, texts


@given(suites())
def test_what_a_suite_says_is_taken_as_it_stands(suite: list[Edit]) -> None:
    pairs = [*examples.given(suite)]
    assert len(pairs) == sum(len(e.in_scope) + len(e.out_of_scope) for e in suite)
    assert all(pair.in_scope == pair.query.startswith("in ") for pair in pairs)
    assert all(pair.prompt.startswith("prompt of") and pair.tag for pair in pairs)


@given(suites(), chances)
def test_queries_of_one_edit_are_in_each_others_scope_and_its_near_misses_in_none(
    suite: list[Edit], rng: random.Random
) -> None:
    inside = {q for e in suite for q in (e.prompt, *(x.query for x in e.in_scope))}
    for pair in crossed(suite, rng):
        assert pair.in_scope == ({pair.prompt, pair.query} <= inside)
        assert pair.prompt != pair.query
        own = [re.findall(r"\d", text)[0] for text in (pair.prompt, pair.query)]
        assert own[0] == own[1]  # one edit's business


@given(suites(), chances)
def test_queries_that_name_the_answer_are_never_prompts(
    suite: list[Edit], rng: random.Random
) -> None:
    checks = {x.query for e in suite for x in (*e.in_scope, *e.out_of_scope)
              if x.tag in ("verify", "claim")}  # fmt: skip
    assert not checks & {pair.prompt for pair in crossed(suite, rng)}


@given(suites(), chances, st.integers(0, 9))
def test_an_edit_gives_no_more_crossed_pairs_than_asked_for(
    suite: list[Edit], rng: random.Random, each: int
) -> None:
    assert len([*crossed(suite, rng, each)]) <= each * len(suite)


@given(suites(), chances)
def test_a_text_is_in_its_own_scope_restated_a_near_miss_too(
    suite: list[Edit], rng: random.Random
) -> None:
    pairs = [*restated(suite, rng)]
    assert all(pair.in_scope and pair.query.strip() for pair in pairs)
    assert len(pairs) == sum(1 + bool(edit.out_of_scope) for edit in suite)


POLITE = Counter(" ".join((*BEFORE, *AFTER)).lower().split())


def plain(text: str) -> str:
    return re.sub(r"'s\b", " is", text.lower())


@given(texts, chances)
def test_a_light_restatement_keeps_the_words_that_decide(text: str, rng: random.Random) -> None:
    restated = lightly_restated(text, rng)
    assert FIGURE.findall(text.lower()) == FIGURE.findall(restated.lower())
    kept = Counter(re.findall(r"\w+", plain(restated)))
    lost = Counter(re.findall(r"\w+", plain(text))) - kept
    assert lost.total() <= 1  # a slip of the finger, once
    for word in lost:
        assert word in text  # small letters: a name is never misspelt, it would be another's
        assert len(word) >= 5
        letters = [sorted(w) for w in kept if (w[0], w[-1]) == (word[0], word[-1])]
        assert sorted(word) in letters


@given(st.text(min_size=1).filter(str.strip), chances)
def test_a_light_restatement_is_never_blank(text: str, rng: random.Random) -> None:
    assert lightly_restated(text, rng).strip()
