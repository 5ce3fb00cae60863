"""Paraphrase sets as suites: one text is the edit, the other is in its scope or a near miss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serac_retriever.errors import SuiteError
from serac_retriever.suites import read_suite
from serac_retriever.suites.paraphrases import mrpc, paws, squad

HEADER = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]


def article(*paragraphs: dict[str, str | None]) -> dict[str, Any]:
    """A SQuAD document: each paragraph a mapping of questions to answers."""
    return {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "…",
                        "qas": [
                            {"question": question, "answers": [{"text": a}] if a else []}
                            for question, a in paragraph.items()
                        ],
                    }
                    for paragraph in paragraphs
                ]
            }
        ]
    }


def test_questions_on_a_paragraph_are_out_of_each_others_scope_unless_they_share_an_answer() -> (
    None
):
    who, player, when, elsewhere = squad(
        article(
            {"Who plays?": "Ada", "Which player is it?": "Ada", "When? ": "at noon"},
            {"Where?": "in Arlen"},
        )
    )
    assert [e.query for e in who.out_of_scope] == ["When?"]
    assert [e.query for e in player.out_of_scope] == ["When?"]
    assert [e.query for e in when.out_of_scope] == ["Who plays?", "Which player is it?"]
    assert elsewhere.out_of_scope == ()
    assert {e.tag for e in when.out_of_scope} == {"other_relation"}
    assert (when.prompt, when.target) == ("When?", "at noon")
    assert who.in_scope == ()


def test_a_question_without_an_answer_is_left_out() -> None:
    assert squad(article({"Who rests?": None})) == []


def test_sentence_pairs_are_in_scope_or_near_misses_as_they_are_labelled() -> None:
    same, differs = paws([["1", "Ada saw Bob .", "Bob was seen by Ada .", "1"],
                          ["2", "Ada saw Bob .", "Bob saw Ada .", "0"]])  # fmt: skip
    assert [(e.query, e.tag) for e in same.in_scope] == [("Bob was seen by Ada .", "paraphrase")]
    assert same.out_of_scope == ()
    assert [(e.query, e.tag) for e in differs.out_of_scope] == [("Bob saw Ada .", "word_order")]
    assert differs.in_scope == ()
    assert same.kind == differs.kind == "fact"
    assert same.prompt == same.target == "Ada saw Bob ."


def test_news_pairs_come_under_a_header() -> None:
    rows = [HEADER, ["1", "7", "8", "Ada left.", "Ada is gone."], ["0", "7", "8", "A left.", "B."]]
    same, differs = mrpc(rows)
    assert [e.query for e in same.in_scope] == ["Ada is gone."]
    assert [(e.query, e.tag) for e in differs.out_of_scope] == [("B.", "other_relation")]


def test_quotes_in_a_table_are_letters_and_its_byte_order_mark_is_none(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    lines = ["\t".join(HEADER), '1\t7\t8\t"No, Ada left.\tAda "left".', ""]
    path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    [edit] = read_suite(path, "mrpc")
    assert (edit.prompt, edit.in_scope[0].query) == ('"No, Ada left.', 'Ada "left".')


def test_a_label_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("id\tsentence1\tsentence2\tlabel\n1\ta\tb\t1\n")
    with pytest.raises(SuiteError, match=r"pair 0: expected label 0 or 1, got 'label'"):
        read_suite(path, "paws")


@pytest.mark.parametrize("missing", ["question", "answers"])
def test_a_question_without_a_field_is_an_error_that_names_it(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "squad.json"
    document = article({"Who plays?": "Ada"})
    del document["data"][0]["paragraphs"][0]["qas"][0][missing]
    path.write_text(json.dumps(document))
    with pytest.raises(SuiteError, match=f"'{missing}'"):
        read_suite(path, "squad")
