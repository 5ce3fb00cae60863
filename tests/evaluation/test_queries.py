"""Near misses and harder queries of the public sets, by rule."""

from __future__ import annotations

import random

from serac_retriever.evaluation.queries import ZsreQueries, embedded, keywords, subject_of
from serac_retriever.models.encoder import packaged_encoder
from tests.public_sets import ROWS, TRAIN


def test_near_misses_never_ask_what_some_edit_answers() -> None:
    source = ZsreQueries(ROWS, TRAIN)
    answered = {text for e in source.edits for text in (e.prompt, *(x.query for x in e.in_scope))}
    kinds = set()
    for edit in source.near_misses(source.edits, packaged_encoder()):
        for example in edit.out_of_scope:
            kinds.add(example.tag)
            assert example.query not in answered
    assert kinds == {
        "random_subject",
        "confusable_subject",
        "relation_swap",
        "closest_relation",
        "negation",
    }


def test_the_closest_relation_is_asked_of_the_edits_own_subject() -> None:
    source = ZsreQueries(ROWS, TRAIN)
    [edit] = source.near_misses(source.edits[:1], packaged_encoder())
    (near,) = [e.query for e in edit.out_of_scope if e.tag == "closest_relation"]
    assert subject_of(edit) in near
    assert "mother" not in near


def test_a_question_no_rule_fits_is_not_restated() -> None:
    assert embedded("Which yard built HMS Quill?", "HMS Quill") is None
    assert keywords("Who is Ann?", "Ann") is None
    assert keywords("Who designed the Dome?", "Dome") == "Dome Who designed"


def test_a_denial_of_the_right_answer_is_false() -> None:
    source = ZsreQueries(ROWS, TRAIN)
    edit = source.edits[0]
    for check in source.checks(edit, random.Random(0)):
        right = edit.target in check.query
        assert check.answers == (str(right != (check.tag == "negated")),)
