"""Sets of facts about a subject as suites: what a row gives, and what it must never give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serac_retriever import Edit
from serac_retriever.errors import SuiteError
from serac_retriever.suites import read_suite
from serac_retriever.suites.facts import counterfact, knowedit, pokemqa, zsre


def row(subject: str, asked: str, again: str, **fields: Any) -> dict[str, Any]:
    """A made-up row in the layout of MEND's zsRE files."""
    return {
        "subject": subject,
        "src": asked.format(subject),
        "rephrase": again.format(subject),
        "alt": f"new for {subject}",
        "answers": [f"old for {subject}"],
        "loc": f"nq question: how far is planet {subject}",
        "loc_ans": "far",
    } | fields


BORN = ("In which year was {} born?", "What is the birth year of {}?")
RIVER = ("Which river flows through {}?", "What river crosses {}?")


def rows() -> list[dict[str, Any]]:
    people = [row(f"Person {letter}", *BORN) for letter in "ABCDEFGHIJ"]
    towns = [row(f"Town {letter}", *RIVER) for letter in "ABCDEFGHIJ"]
    return [*people, *towns]


def tagged(edit: Edit, tag: str) -> list[str]:
    return [example.query for example in edit.out_of_scope if example.tag == tag]


# -- zsRE ----------------------------------------------------------------------------------


def test_a_zsre_row_becomes_an_edit_with_its_paraphrase_and_an_unrelated_question() -> None:
    edit = zsre(rows())[0]
    assert edit.prompt == "In which year was Person A born?"
    assert edit.target == "new for Person A"
    assert edit.metadata == {"subject": "Person A"}
    [paraphrase] = edit.in_scope
    assert paraphrase.query == "What is the birth year of Person A?"
    assert paraphrase.answers == ("new for Person A",)
    [unrelated] = [example for example in edit.out_of_scope if example.tag == "unrelated"]
    assert unrelated.query == "how far is planet Person A"  # without MEND's mark
    assert unrelated.answer == "far"


def test_a_subject_has_one_edit_the_first_of_its_rows() -> None:
    again = row("Person A", *RIVER)
    edits = [edit for edit in zsre([*rows(), again]) if edit.metadata["subject"] == "Person A"]
    assert [edit.prompt for edit in edits] == ["In which year was Person A born?"]


def test_another_subject_is_one_that_is_asked_the_same_and_is_no_edits() -> None:
    edits = zsre(rows())
    subjects = {str(edit.metadata["subject"]) for edit in edits}
    kept_back = {entry["subject"] for entry in rows()} - subjects
    assert kept_back
    for edit in edits:
        [near_miss] = tagged(edit, "other_subject")
        [donor] = [subject for subject in kept_back if subject in near_miss]
        assert near_miss == edit.prompt.replace(str(edit.metadata["subject"]), donor)


def test_another_relation_asks_the_edits_own_subject_something_else() -> None:
    for edit in zsre(rows()):
        subject = str(edit.metadata["subject"])
        [near_miss] = tagged(edit, "other_relation")
        template = RIVER[0] if subject.startswith("Person") else BORN[0]
        assert near_miss == template.format(subject)


def test_another_relation_is_dropped_where_every_other_row_asks_the_same() -> None:
    for edit in zsre([row(f"Person {letter}", *BORN) for letter in "ABCDEF"]):
        assert tagged(edit, "other_relation") == []


@pytest.mark.parametrize(
    "bridge",
    [
        row("Z", "When did {} see the light of day?", BORN[0]),  # one row's paraphrase of the other
        row(
            "Person B",
            "When did {} see the light of day?",
            "When did {} see the light of day first?",
            answers=["old for Person B"],  # the same question, since it has the same true answer
        ),
    ],
)
def test_two_wordings_of_one_question_are_no_near_misses_of_each_other(
    bridge: dict[str, Any],
) -> None:
    born = [row(f"Person {letter}", *BORN) for letter in "ABC"]
    light = [
        row(f"Child {letter}", "When did {} see the light of day?", "Day {} came to light?")
        for letter in "ABC"
    ]
    assert any(tagged(edit, "other_relation") for edit in zsre([*born, *light]))
    assert not any(tagged(edit, "other_relation") for edit in zsre([*born, bridge, *light]))


def test_no_out_of_scope_query_is_the_edits_own_prompt_or_paraphrase() -> None:
    for edit in zsre(rows()):
        own = {edit.prompt, *(example.query for example in edit.in_scope)}
        assert own.isdisjoint(example.query for example in edit.out_of_scope)


def test_rows_without_a_new_answer_or_without_their_subject_are_left_out() -> None:
    odd = [row("Q", *BORN, alt=" "), row("R", *BORN, src="In which year was she born?")]
    assert {edit.metadata["subject"] for edit in zsre([*rows(), *odd])}.isdisjoint({"Q", "R"})


def test_the_converter_is_deterministic_and_its_ids_are_unique() -> None:
    first, second = zsre(rows()), zsre(rows())
    assert all(one.same_as(other) for one, other in zip(first, second, strict=True))
    assert len({edit.id for edit in first}) == len(first)


# -- CounterFact ---------------------------------------------------------------------------


def stub(rephrase: str, **fields: Any) -> dict[str, Any]:
    """A made-up row in EasyEdit's layout of CounterFact."""
    return {
        "case_id": 7,
        "subject": "Ada Quill",
        "prompt": "Ada Quill, who plays the",
        "target_new": "harp",
        "ground_truth": "drum",
        "rephrase_prompt": rephrase,
        "locality_prompt": "Bob Inkwell plays the",
        "locality_ground_truth": "flute",
        **fields,
    }


def test_a_counterfact_row_becomes_an_edit_with_another_subjects_stub_out_of_scope() -> None:
    [edit] = counterfact([stub("She practised daily. Ada Quill performs on the")])
    assert (edit.id, edit.prompt, edit.target) == (
        "counterfact-7",
        "Ada Quill, who plays the",
        "harp",
    )
    assert edit.metadata == {"subject": "Ada Quill"}
    [locality] = edit.out_of_scope
    assert (locality.query, locality.tag) == ("Bob Inkwell plays the", "other_subject")
    assert locality.answer == "flute"


@pytest.mark.parametrize(
    "rephrase",
    [
        "She practised daily. Ada Quill performs on the",
        "Is it late? It is. Ada Quill performs on the",
        "The town fair was loud!\nAda Quill performs on the",
        'He called it "the best." Ada Quill performs on the',
        "A list of mayors\n\nAda Quill performs on the ",
    ],
)
def test_a_rephrasing_is_kept_where_unrelated_text_precedes_it_without_that_text(
    rephrase: str,
) -> None:
    [edit] = counterfact([stub(rephrase)])
    [paraphrase] = edit.in_scope
    assert paraphrase.query == "Ada Quill performs on the"
    assert paraphrase.answers == ("harp",)


@pytest.mark.parametrize(
    "rephrase",
    [
        "Ada Quill is known for mastering the",
        "The instrument of Ada Quill is the",
        "Somebody else. She is a master of the",
    ],
)
def test_a_rephrasing_that_merely_hints_at_the_relation_is_left_out(rephrase: str) -> None:
    [edit] = counterfact([stub(rephrase)])
    assert edit.in_scope == ()


# -- KnowEdit ------------------------------------------------------------------------------


def fact(**fields: Any) -> dict[str, Any]:
    """A made-up row in KnowEdit's layout."""
    return {
        "subject": "Ada Quill",
        "prompt": "The harp teacher of Ada Quill is",
        "target_new": "Bob Inkwell",
        "portability": {
            "Subject_Aliasing": [
                {"prompt": "The harp teacher of A. Quill is", "ground_truth": "Bob Inkwell"}
            ],
            "Reasoning": [{"prompt": "The town of Ada Quill's harp teacher is"}],
        },
        "locality": {
            "Relation_Specificity": [
                {"prompt": "The birthplace of Ada Quill is", "ground_truth": "Arlen"}
            ]
        },
        **fields,
    }


def test_a_knowedit_row_has_its_aliases_in_scope_and_its_subjects_other_relations_out() -> None:
    [edit] = knowedit([fact()])
    assert (edit.prompt, edit.target) == ("The harp teacher of Ada Quill is", "Bob Inkwell")
    assert edit.metadata == {"subject": "Ada Quill"}
    [alias] = edit.in_scope
    assert (alias.query, alias.tag) == ("The harp teacher of A. Quill is", "alias")
    assert alias.answers == ("Bob Inkwell",)
    assert tagged(edit, "other_relation") == ["The birthplace of Ada Quill is"]


def test_a_question_that_needs_a_second_fact_is_neither_in_scope_nor_out() -> None:
    [edit] = knowedit([fact()])
    assert "town" not in " ".join(e.query for e in (*edit.in_scope, *edit.out_of_scope))


def test_a_prompt_is_no_alias_and_no_other_relation_of_itself() -> None:
    again = {"prompt": " The harp teacher of Ada Quill is "}
    [edit] = knowedit(
        [
            fact(
                portability={"Subject_Aliasing": [again]},
                locality={"Relation_Specificity": [again]},
            )
        ]
    )
    assert edit.in_scope == edit.out_of_scope == ()


def test_knowedit_rows_may_lack_either_part_and_those_without_a_new_answer_are_left_out() -> None:
    bare = fact(portability={}, locality=None)
    [edit] = knowedit([fact(target_new=" "), bare])
    assert edit.in_scope == edit.out_of_scope == ()


# -- PokeMQA -------------------------------------------------------------------------------


def statement(edit: str, *questions: str) -> dict[str, Any]:
    return {"edit": edit, "questions": [*questions]}


def test_a_pokemqa_row_is_a_statement_with_the_questions_that_it_answers() -> None:
    asked = ("Who taught Ada Quill?", "Ada Quill's teacher is who?", "Who taught Ada Quill? ")
    [edit] = pokemqa([statement("Ada Quill was taught by Bob", *asked)])
    assert edit.kind == "fact"
    assert edit.prompt == edit.target == "Ada Quill was taught by Bob"
    assert [example.query for example in edit.in_scope] == [*asked[:2]]  # the third is the first
    assert edit.out_of_scope == ()


@pytest.mark.parametrize(
    ("said", "asked", "subject"),
    [
        ("The author of Long Rain is Bo", "Who wrote Long Rain?", "Long Rain"),
        ("The author of Theaetetus is Bo", "Who wrote Theaetetus?", "Theaetetus"),  # not "The"
        ("Philip Ray is from the Philippines", "Who is from the Philippines?", "Philippines"),
        ("the author is Bo", "who is the author", None),
    ],
)
def test_the_subject_is_the_longest_name_in_the_statement_and_all_its_questions(
    said: str, asked: str, subject: str | None
) -> None:
    [edit] = pokemqa([statement(said, asked, f"Tell me: {asked}")])
    assert edit.metadata.get("subject") == subject


# -- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["subject", "prompt", "target_new"])
def test_a_knowedit_row_without_a_field_is_an_error_that_names_it(
    tmp_path: Path, missing: str
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{k: v for k, v in fact().items() if k != missing}]))
    with pytest.raises(SuiteError, match=f"'{missing}'"):
        read_suite(path, "knowedit")


@pytest.mark.parametrize("missing", ["edit", "questions"])
def test_a_pokemqa_row_without_a_field_is_an_error_that_names_it(
    tmp_path: Path, missing: str
) -> None:
    path = tmp_path / "rows.json"
    whole = statement("Ada was taught by Bob", "Who taught Ada?")
    path.write_text(json.dumps([{k: v for k, v in whole.items() if k != missing}]))
    with pytest.raises(SuiteError, match=f"'{missing}'"):
        read_suite(path, "pokemqa")
