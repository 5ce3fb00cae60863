"""Near misses by rule: what is changed, what is left alone, and what is none."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Edit, Example
from serac_retriever.training.near_misses import (
    DAYS,
    FIGURE,
    MONTHS,
    negated,
    negations,
    neighbours,
    other_number,
    other_numbers,
    subjectless,
)
from tests.encoders import WordEncoder
from tests.training.drawn import about, chances, texts

# -- neighbours ------------------------------------------------------------------------------


def test_near_misses_are_queries_of_the_nearest_edits() -> None:
    harp = Edit(prompt="Who teaches the harp?", target="x", in_scope=[Example(query="harp who")])
    drum = Edit(prompt="Who teaches the drum?", target="y",
                in_scope=[Example(query="Who teaches the drum here?")])  # fmt: skip
    far = [
        Edit(prompt=f"{w} {w}x", target="z", in_scope=[Example(query=f"{w} {w}y")])
        for w in ("alpha", "beta", "gamma", "delta")
    ]
    pairs = neighbours([harp, drum, *far], WordEncoder(), random.Random(0), each=1, pool=1)
    [found] = [pair for pair in pairs if pair.prompt == harp.prompt]
    assert (found.query, found.in_scope, found.tag) == (
        "Who teaches the drum here?",
        False,
        "neighbour",
    )


@given(
    st.lists(st.tuples(texts, st.lists(texts, max_size=3)), min_size=1, max_size=5),
    chances,
    st.integers(1, 3),
)
def test_edits_that_share_a_text_are_no_near_misses_of_each_other(
    drawn: list[tuple[str, list[str]]], rng: random.Random, each: int
) -> None:
    suite = [
        Edit(id=str(n), prompt=p, target="x", in_scope=[Example(query=q) for q in queries])
        for n, (p, queries) in enumerate(drawn)
    ]
    said = {
        edit.id: {edit.prompt.lower(), *(e.query.lower() for e in edit.in_scope)} for edit in suite
    }
    pairs = [*neighbours(suite, WordEncoder(), rng, each)]
    for pair in pairs:
        assert not pair.in_scope
        askers = [edit.id for edit in suite if edit.prompt == pair.prompt]
        for asker in askers:
            for edit in suite:
                if said[edit.id] & said[asker]:
                    assert pair.query.lower() not in said[edit.id]
    assert len(pairs) <= each * len(suite)


def test_a_suite_without_queries_has_no_neighbours() -> None:
    assert [*neighbours([about("Ada")], WordEncoder(), random.Random(0))] == []


# -- negation, numbers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who is the UK prime minister?", "Who is not the UK prime minister?"),
        ("Which team does Ann Lee play for?", "Which team does Ann Lee not play for?"),
        ("Which of the rooms are free?", "Which of the rooms are not free?"),
        ("The taxon rank of moss is", "The taxon rank of moss is not"),
        ("Which stunts did Ann Lee's double do?", None),  # the subject is not at its end yet
        ("Under whom did Ann Lee, a harpist, train?", None),
        ("Who does A&R for folk at Tidewrack?", "Who does A&R not for folk at Tidewrack?"),
        ("Who is not the prime minister?", None),
        ("Who isn't here?", None),
        ("Who isn’t here?", None),
        ("No one is where?", None),
        ("harp teacher arlen", None),
    ],
)
def test_a_question_is_negated_where_a_rule_can(question: str, expected: str | None) -> None:
    assert negated(question) == expected


@given(st.sampled_from(["Who is", "Which room was", "What does Ada Quill teach"]), texts)
def test_a_negation_adds_one_word_and_is_not_negated_again(opening: str, rest: str) -> None:
    text = f"{opening} {rest}"
    changed = negated(text)
    if "not" in rest.split():
        assert changed is None
    else:
        assert changed is not None
        assert Counter(changed.split()) - Counter(text.split()) == Counter(["not"])
        assert negated(changed) is None


def test_about_the_share_asked_for_is_negated_and_out_of_scope() -> None:
    suite = [about(f"Ada {n}", "Who is {}?") for n in range(200)]
    pairs = [*negations(suite, random.Random(0), share=0.3)]
    assert 40 < len(pairs) < 80
    assert {(pair.in_scope, pair.tag) for pair in pairs} == {(False, "negation")}


@given(st.text() | texts, chances)
def test_exactly_one_figure_changes_and_nothing_else(text: str, rng: random.Random) -> None:
    changed = other_number(text, rng)
    before, after = FIGURE.findall(text), FIGURE.findall(changed)
    assert FIGURE.split(text) == FIGURE.split(changed)
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == bool(before)


@pytest.mark.parametrize("names", [MONTHS, DAYS])
def test_a_month_becomes_a_month_and_a_weekday_a_weekday(names: list[str]) -> None:
    for name in names:
        changed = other_number(f"by {name} at last", random.Random(0))
        assert changed.split()[1] in set(names) - {name}


def test_may_that_opens_a_sentence_is_a_verb() -> None:
    asked = "May I bring guests? May we park?"
    assert other_number(asked, random.Random(0)) == asked
    assert other_number("Open in mid-May?", random.Random(0)) != "Open in mid-May?"


def test_a_figure_of_the_queries_own_decides_nothing() -> None:
    edit = Edit(
        prompt="Who teaches in room 12?",
        target="x",
        in_scope=[
            Example(query="We are 4 people; who teaches?", tag="chatty"),
            Example(query="Teacher in 12", tag="keyword"),
            Example(query="Does Bob teach in 12?", tag="verify"),
        ],
    )
    pairs = [*other_numbers([edit], random.Random(0))]
    assert [FIGURE.sub("#", pair.query) for pair in pairs] == [
        "Who teaches in room #?",
        "Teacher in #",
    ]
    assert all(pair.tag == "other_time" and not pair.in_scope for pair in pairs)


# -- no subject


def test_a_query_that_names_nothing_is_in_nobodys_scope() -> None:
    suite = [Edit(prompt=f"Who runs branch {number}?", target="Ann") for number in range(40)]
    pairs = [*subjectless(suite, random.Random(0))]
    assert 10 < len(pairs) < 30
    assert not any(pair.in_scope for pair in pairs)
    assert not any("branch" in pair.query for pair in pairs)
    assert len({pair.query for pair in pairs}) > 8
