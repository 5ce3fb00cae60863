"""Pairs by exchange: another subject, another relation, another wording."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Edit, Example
from serac_retriever.training.examples import Pair, crossed, restated
from serac_retriever.training.near_misses import negations, neighbours, other_numbers
from serac_retriever.training.swaps import relation_swaps, reworded, subject_swaps
from tests.encoders import WordEncoder
from tests.training.drawn import FORMS, NAMES, about, chances


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


# -- other wordings --------------------------------------------------------------------------


def worded(pairs: Iterable[Pair]) -> set[tuple[str, str]]:
    return {(pair.prompt, pair.query) for pair in pairs}


def test_a_wording_that_one_edit_shows_to_ask_the_same_serves_the_others() -> None:
    suite = [
        about("Ada", "{} works as a", "cook", "The job of Ada is"),
        about("Bob", "{} works as a", "cook"),
        about("Cid", "The job of {} is", "cook"),
    ]
    pairs = [*reworded(suite, random.Random(0))]
    assert all((pair.in_scope, pair.tag) == (True, "reworded") for pair in pairs)
    assert worded(pairs) == {
        ("Ada works as a", "The job of Ada is"),
        ("Bob works as a", "The job of Bob is"),
        ("The job of Cid is", "Cid works as a"),  # it holds both ways
    }


def test_a_wording_shown_by_asking_it_of_another_subject_serves_too() -> None:
    shown = about("Ada", "{} works as a", "cook").model_copy(
        update={"out_of_scope": [Example(query="The job of Bob is", tag="other_subject")]}
    )
    suite = [shown, about("Cid", "The job of {} is", "cook")]
    assert ("Ada works as a", "The job of Ada is") in worded(reworded(suite, random.Random(0)))


def test_a_vague_wording_serves_only_where_it_was_answered_the_same() -> None:
    suite = [
        about("Ada", "The instrument of {} is", "harp", "Ada plays"),
        about("Bob", "{} plays", "chess"),  # "plays" asks for a game as well
    ]
    assert worded(reworded(suite, random.Random(0))) == set()


def test_wordings_that_ask_the_same_are_never_other_relations() -> None:
    people = [f"Ada {letter}" for letter in "ABCDEFGHIJKLMNOP"]
    suite = [
        *(about(p, "{} works as", f"trade {n}") for n, p in enumerate(people)),
        *(about(p, "The job of {} is", f"post {n}", f"{p} works as") for n, p in enumerate(people)),
    ]
    assert [*relation_swaps(suite, random.Random(0))] == []


# -- chance ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_pairs() -> None:
    suite = [about(name, form, "x", f"teacher of {name} in May 2019") for name in NAMES
             for form in FORMS]  # fmt: skip

    def drawn(seed: int) -> list[object]:
        rng = random.Random(seed)
        makers = (crossed, restated, subject_swaps, relation_swaps, reworded, negations,
                  other_numbers)  # fmt: skip
        return [pair for make in makers for pair in make(suite, rng)] + [
            *neighbours(suite, WordEncoder(), rng)
        ]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
