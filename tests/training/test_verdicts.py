"""What a reader is taught: spans that cover the answer, and verdicts that are right."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever import Edit, Example
from serac_retriever.training import verdicts
from serac_retriever.training.relations import relations
from serac_retriever.training.verdicts import (
    ANSWER,
    FALSE,
    TRUE,
    Reading,
    checked,
    contrasted,
    negated_claim,
    stated,
)

chances = st.integers(0, 2**16).map(random.Random)
words = st.text("abcAB 129.,'é", min_size=1, max_size=20).filter(str.strip)


def asked(*queries: tuple[str, str | None, str | None]) -> list[Example]:
    return [Example(query=query, tag=tag, answer=answer) for query, tag, answer in queries]


# -- what a suite says itself ------------------------------------------------------------------


def test_recorded_verdicts_are_taught_and_checks_without_one_are_not() -> None:
    edit = Edit(
        prompt="Who teaches the harp?",
        target="Ada Quill",
        in_scope=asked(
            ("Is it Ada?", "verify", "Yes"),
            ("Is it Bob?", "verify", "no"),
            ("It is Ada.", "claim", "True"),
            ("It is Bob.", "claim", "False"),
            ("Is it the tall one?", "verify", None),
        ),
    )
    assert [(found.query, found.verdict, found.start) for found in verdicts.given([edit])] == [
        ("Is it Ada?", TRUE, -1),
        ("Is it Bob?", FALSE, -1),
        ("It is Ada.", TRUE, -1),
        ("It is Bob.", FALSE, -1),
    ]


def test_a_query_whose_answer_is_yes_but_that_checks_nothing_gets_the_edits_words() -> None:
    edit = Edit(prompt="Parking?", target="Yes", in_scope=asked(("parking?", "keyword", "Yes")))
    [found] = verdicts.given([edit])
    assert (found.verdict, found.edit[found.start : found.end]) == (ANSWER, "Yes")


@given(words, words)
def test_a_span_covers_the_target(prompt: str, target: str) -> None:
    edit = Edit(prompt=prompt, target=target, in_scope=asked(("q", "paraphrase", None)))
    [found] = verdicts.given([edit])
    assert found.edit == edit.statement
    assert found.edit[found.start : found.end] == target


def test_a_span_is_a_whole_word_where_there_is_one() -> None:
    edit = Edit(
        prompt="In room 12 since 2012.", target="12", in_scope=asked(("where?", "keyword", None))
    )
    [found] = verdicts.given([edit])
    assert (found.start, found.end) == (8, 10)


def test_a_statement_without_an_answer_of_its_own_teaches_no_span() -> None:
    edit = Edit(
        prompt="Ada won.", target="Ada won.", kind="fact", in_scope=asked(("w", None, None))
    )
    assert [*verdicts.given([edit])] == [Reading("w", "Ada won.", ANSWER)]


# -- checks made from answers ------------------------------------------------------------------

TARGETS = ["Ada Quill", "Bob Ink", "12 rooms", "on Sunday", "red"]
DENIED = re.compile(r"\bnot\b|\bwrong to\b|isn't", re.IGNORECASE)


def quiz(prompts: list[str]) -> list[Edit]:
    return [
        Edit(id=t, prompt=prompt, target=t, in_scope=asked(("Say?", "paraphrase", None)))
        for prompt, t in zip(prompts, TARGETS, strict=True)
    ]  # fmt: skip


@given(
    st.lists(st.sampled_from(["Who is it?", "The place is", "Tell me."]), min_size=5, max_size=5),
    chances,
)
def test_a_check_of_the_right_answer_is_true_of_another_false_and_denials_turn_it(
    prompts: list[str], rng: random.Random
) -> None:
    suite = quiz(prompts)
    right = {edit.statement: edit.target for edit in suite}
    found = [*checked(suite, rng)]
    assert len(found) >= 2 * len(suite)
    for reading in found:
        [named] = [target for target in TARGETS if target in reading.query]
        true = (named == right[reading.edit]) != bool(DENIED.search(reading.query))
        assert reading.verdict == (TRUE if true else FALSE)


@given(chances)
def test_a_stub_takes_the_answer_as_its_end(rng: random.Random) -> None:
    for reading in checked(quiz(["The place is"] * 5), rng):
        if "The place is" in reading.query:
            assert re.search(r"The place is (not )?(" + "|".join(TARGETS) + ")", reading.query)


def test_an_answer_that_differs_in_case_or_a_stop_is_no_wrong_one() -> None:
    suite = [Edit(id=t, prompt=f"Is {t} so?", target=t) for t in ("Yes", "yes.", "YES")]
    assert [*checked(suite, random.Random(0))] == []


def test_a_statement_that_holds_its_answer_is_not_put_before_one() -> None:
    told = Edit(
        prompt="It is Ada.", target="Ada", in_scope=asked(("Who is it?", "paraphrase", None))
    )
    bare = Edit(prompt="It is Bob.", target="Bob")
    found = [*checked([told, bare], random.Random(0))]
    assert {reading.edit for reading in found} == {"It is Ada."}
    assert all("Who is it?" in reading.query for reading in found)


def test_long_answers_and_what_is_no_answer_are_not_checked() -> None:
    suite = quiz(["Who is it?"] * 5)
    others = [
        Edit(prompt="Why?", target="because " * 10),
        Edit(prompt="Ada won.", target="Ada won.", kind="fact"),
    ]
    rest = {edit.statement for edit in others}
    assert not rest & {reading.edit for reading in checked([*suite, *others], random.Random(0))}


# -- statements of the relations file ----------------------------------------------------------


def test_statements_come_with_a_question_the_span_that_answers_it_and_right_verdicts() -> None:
    types, every = relations()
    about = {
        phrasing.format(s=subject): (subject, relation["objects"])
        for relation in every
        for phrasing in (*relation["questions"], *relation["indirect"])
        for subject in types[relation["type"]]
    }
    right, said = "", {TRUE: 0, FALSE: 0}
    for reading in stated(500, random.Random(0)):
        if reading.verdict == ANSWER:
            subject, objects = about[reading.query]
            right = reading.edit[reading.start : reading.end]
            assert right in objects
            rest = reading.edit[: reading.start] + reading.edit[reading.end :]
            assert subject in rest  # the span lies outside the name, even where that holds it
        else:
            claim = reading.query.replace(subject, "")
            named = max((o for o in objects if verdicts._whole(o).search(claim)), key=len)
            denied = re.search(r"\bnot\b", claim) and not re.search(r"\bnot\b", named)
            assert reading.verdict == (TRUE if (named == right) != bool(denied) else FALSE), reading
            said[reading.verdict] += 1
    assert min(said.values()) > 400


@pytest.mark.parametrize(
    ("claim", "denied"),
    [
        ("Ada was born in Ghent.", "Ada was not born in Ghent."),
        ("The harps are red.", "The harps are not red."),
        ("Ada has been in Ghent since 1901.", "Ada has not been in Ghent since 1901."),
        ("The year when Ada was born is 1901.", "The year when Ada was born is not 1901."),
        ("The band that Ada plays in is Red.", "The band that Ada plays in is not Red."),
        ("Ada has a sister.", None),  # "has not a sister" is no English of today
        ("Ada was never in Ghent.", None),
        ("Nobody has scored more than Ada.", None),
        ("Ada isn’t in Ghent and was ill.", None),
        ("Ada plays.", None),
    ],
)
def test_a_statement_is_denied_where_its_verb_stands_plainly(
    claim: str, denied: str | None
) -> None:
    assert negated_claim(claim) == denied


# -- claims with something exchanged -----------------------------------------------------------

EVIDENCE = "In 1997 a film was shot in Arlen by Ada Quill."
ELSEWHERE = "The harp came to Corby in 2003 with Bob Ink."


def fact_check(claim: str, verdict: str, evidence: str = EVIDENCE) -> list[Edit]:
    given = asked((claim, "claim", verdict))
    return [
        Edit(id="a", prompt=evidence, target=evidence, kind="fact", in_scope=given),
        Edit(id="b", prompt=ELSEWHERE, target=ELSEWHERE, kind="fact"),
    ]


@given(chances)
def test_exchanged_in_both_a_verdict_stays_and_in_a_true_claim_alone_it_turns(
    rng: random.Random,
) -> None:
    for claim in ("It was shot in Arlen.", "The film is of 1997.", "It is by Ada Quill."):
        both, alone = contrasted(fact_check(claim, "True"), rng)
        assert (both.verdict, alone.verdict) == (TRUE, FALSE)
        assert both.query == alone.query != claim
        assert alone.edit == EVIDENCE != both.edit
        [old] = set(re.findall(r"\w+", claim)) - set(re.findall(r"\w+", both.query)) - {"Ada"}
        [new] = set(re.findall(r"\w+", both.query)) - set(re.findall(r"\w+", claim)) - {"Bob"}
        assert new in both.edit
        assert new not in EVIDENCE
        assert old not in both.edit.split()


@given(chances)
def test_a_false_claim_stays_false_and_is_never_turned(rng: random.Random) -> None:
    for reading in contrasted(fact_check("It was drawn in Arlen.", "False"), rng):
        assert reading.verdict == FALSE
        assert reading.edit != EVIDENCE


@pytest.mark.parametrize(
    "claim",
    [
        "It was never shown in Arlen.",  # nor in another town
        "Nobody saw it in Arlen.",
        "It wasn’t drawn in Arlen.",
    ],
)
def test_a_true_denial_is_not_turned(claim: str) -> None:
    assert {r.verdict for r in contrasted(fact_check(claim, "True"), random.Random(0))} == {TRUE}


def test_a_figure_within_another_is_not_shared() -> None:
    assert [*contrasted(fact_check("It cost 19 and 97.", "True"), random.Random(0))] == []


def test_nothing_is_made_of_claims_without_a_verdict_or_a_shared_name() -> None:
    unsure = fact_check("It was shot in Arlen.", "True")
    unsure[0] = unsure[0].revised(in_scope=asked(("It was shot in Arlen.", "claim", None)))
    assert [*contrasted(unsure, random.Random(0))] == []
    assert [*contrasted(fact_check("It was shot in Corby.", "False"), random.Random(0))] == []


def test_the_same_seed_gives_the_same_readings() -> None:
    suite = quiz(["Who is it?"] * 5)
    for make in (lambda rng: checked(suite, rng), lambda rng: stated(9, rng)):
        assert [*make(random.Random(1))] == [*make(random.Random(1))]
        assert [*make(random.Random(1))] != [*make(random.Random(2))]
