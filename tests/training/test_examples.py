"""Labelled pairs from suites: what is labelled how, for any suite."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Edit, Example
from serac_retriever.training import examples
from serac_retriever.training.examples import (
    AFTER,
    BEFORE,
    DAYS,
    FIGURE,
    MONTHS,
    crossed,
    lightly_restated,
    negated,
    negations,
    neighbours,
    other_number,
    other_numbers,
    relation_swaps,
    restated,
    subject_swaps,
    subjectless,
)
from tests.encoders import WordEncoder

chances = st.integers(0, 2**16).map(random.Random)
WORDS = re.findall(r"\w+", "who is the harp teacher of Ada Quill in Arlen since May 2019 not 12")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join)


@st.composite
def suites(draw: st.DrawFn) -> list[Edit]:
    """Edits whose texts are all different, with every tag that there is."""
    tags = st.sampled_from(["paraphrase", "keyword", "verify", "claim", None])
    edits = []
    for number in range(draw(st.integers(1, 4))):
        inside = draw(st.lists(tags, max_size=4))
        outside = draw(st.lists(tags, max_size=4))
        edits.append(
            Edit(
                id=f"edit-{number}",
                prompt=f"prompt of {number}",
                target="x",
                in_scope=[Example(query=f"in {number} {n}", tag=t) for n, t in enumerate(inside)],
                out_of_scope=[
                    Example(query=f"out {number} {n}", tag=t) for n, t in enumerate(outside)
                ],
            )
        )
    return edits


def about(subject: str, form: str = "Who taught {}?", target: str = "x", *asked: str) -> Edit:
    return Edit(
        id=f"{form}-{subject}-{target}",
        prompt=form.format(subject),
        target=target,
        in_scope=[Example(query=query, tag="paraphrase") for query in asked],
        metadata={"subject": subject},
    )


# -- given, crossed, restated ----------------------------------------------------------------


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


# -- swaps -----------------------------------------------------------------------------------

NAMES = ["Ada Quill", "Ada Quilt", "Bob Ink", "Room 12", "Room 21", "A. Quill", "ada quill"]
FORMS = ["Who taught {}?", "{} is found in", "When did {} open?"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(FORMS)), min_size=1, max_size=6),
    st.lists(st.sampled_from(NAMES), max_size=3),
    chances,
)
def test_a_swap_never_gives_back_the_own_subject_nor_another_of_its_names(
    drawn: list[tuple[str, str]], aliases: list[str], rng: random.Random
) -> None:
    suite = [about(name, form, "x", *(form.format(a) for a in aliases)) for name, form in drawn]
    own: dict[str, set[str]] = {}
    for edit in suite:
        texts = {edit.prompt, *(example.query for example in edit.in_scope)}
        own[edit.prompt] = {text.lower() for text in texts}
    for pair in subject_swaps(suite, rng):
        assert not pair.in_scope
        assert pair.tag == "other_subject"
        assert pair.query.lower() not in own[pair.prompt]


def test_a_swap_takes_a_subject_that_is_asked_the_same_and_one_that_looks_alike() -> None:
    suite = [about("Ada Quill"), about("Bob Ink"), about("Ada Quilt", "{} is found in")]
    found = {p.query for p in subject_swaps(suite, random.Random(0)) if "Who" in p.prompt}
    assert "Who taught Bob Ink?" in found  # for Ada Quill: the only other that is taught
    assert "Who taught Ada Quilt?" in found


def test_a_number_in_a_subject_is_changed() -> None:
    [pair] = subject_swaps([about("Room 12")], random.Random(0))
    assert re.fullmatch(r"Who taught Room (?!12\b)\d\d\?", pair.query)


def test_edits_that_do_not_name_their_subject_are_left_out() -> None:
    nameless = [Edit(prompt="Who?", target="x"), Edit(prompt="Who?", target="x", id="y",
                                                      metadata={"subject": "Ada"})]  # fmt: skip
    assert [*subject_swaps(nameless, random.Random(0))] == []
    assert [*relation_swaps(nameless, random.Random(0))] == []


def test_another_relation_is_one_with_no_answer_in_common() -> None:
    people = [f"Ada {letter}" for letter in "ABCDEFGHIJKLMNOP"]
    suite = [
        *(about(p, "{} works as", f"trade {n % 3}") for n, p in enumerate(people)),
        *(about(p, "The job of {} is", f"trade {n % 4}") for n, p in enumerate(people)),
        *(about(p, "{} was born in", f"town {n}") for n, p in enumerate(people)),
        about("Ada A", "{} is seldom asked", "z"),
    ]
    pairs = [*relation_swaps(suite, random.Random(0))]
    forms = {
        (re.sub(r"Ada \w", "{}", pair.prompt), re.sub(r"Ada \w", "{}", pair.query))
        for pair in pairs
    }
    born = "{} was born in"
    assert forms == {
        ("{} works as", born),
        ("The job of {} is", born),
        (born, "{} works as"),
        (born, "The job of {} is"),
    }
    for pair in pairs:
        assert not pair.in_scope
        assert re.findall(r"Ada \w", pair.prompt) == re.findall(r"Ada \w", pair.query)


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


# -- chance ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_pairs() -> None:
    suite = [about(name, form, "x", f"teacher of {name} in May 2019") for name in NAMES
             for form in FORMS]  # fmt: skip

    def drawn(seed: int) -> list[object]:
        rng = random.Random(seed)
        makers = (crossed, restated, subject_swaps, relation_swaps, negations, other_numbers)
        return [pair for make in makers for pair in make(suite, rng)] + [
            *neighbours(suite, WordEncoder(), rng)
        ]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_query_that_names_nothing_is_in_nobodys_scope() -> None:
    suite = [Edit(prompt=f"Who runs branch {number}?", target="Ann") for number in range(40)]
    pairs = [*subjectless(suite, random.Random(0))]
    assert 10 < len(pairs) < 30
    assert not any(pair.in_scope for pair in pairs)
    assert not any("branch" in pair.query for pair in pairs)
    assert len({pair.query for pair in pairs}) > 8
