"""ConvSent as a suite: which sentiment to hold on which topic, and on no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever.errors import SuiteError
from serac_retriever.suites import read_suite
from serac_retriever.suites.stances import QUESTIONS, convsent

topics = st.lists(st.text("aB c", min_size=1).filter(str.strip), max_size=9)


def test_a_topic_is_to_be_liked_or_disliked_by_turns() -> None:
    edits = convsent([{"ent": "harps"}, {"ent": " tubas "}])
    assert [edit.prompt for edit in edits] == [
        "Topic: harps; Sentiment: Positive",
        "Topic: tubas; Sentiment: Negative",
    ]
    assert [(edit.target, edit.kind) for edit in edits] == [
        ("Positive", "stance"),
        ("Negative", "stance"),
    ]


@given(topics)
def test_opinions_of_the_topic_are_in_scope_those_of_others_and_facts_are_not(
    names: list[str],
) -> None:
    edits = convsent([{"ent": name} for name in names])
    assert len(edits) == len(names)
    for edit in edits:
        topic = str(edit.metadata["subject"])
        asked = {question.format(topic).lower() for question in QUESTIONS}
        opinions = {example.query.lower() for example in edit.in_scope}
        assert len(opinions) == 3
        assert opinions <= asked
        assert not asked & {example.query.lower() for example in edit.out_of_scope}
        alone = len({name.strip().lower() for name in names}) == 1
        tags = [example.tag for example in edit.out_of_scope]
        assert tags == ["other_relation"] if alone else ["other_subject", "other_relation"]


def test_the_questions_of_one_topic_are_worded_differently_from_the_nexts() -> None:
    first, second = convsent([{"ent": "harps"}, {"ent": "tubas"}])
    frames = [{e.query.replace(t, "") for e in edit.in_scope}
              for edit, t in ((first, "harps"), (second, "tubas"))]  # fmt: skip
    assert frames[0] != frames[1]


def test_a_row_without_a_topic_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"pos": [], "neg": []}]))
    with pytest.raises(SuiteError, match="'ent'"):
        read_suite(path, "convsent")
