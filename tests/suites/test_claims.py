"""Fact-checking sets as suites: the evidence is the edit, its claims are the queries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever.errors import SuiteError
from serac_retriever.suites import read_suite
from serac_retriever.suites.claims import detokenized, fever, fool_me_twice


def pair(evidence: str, claim: str, label: str = "SUPPORTS", **fields: Any) -> dict[str, Any]:
    return {"evidence": evidence, "claim": claim, "label": label, **fields}


def trick(page: str, evidence: list[str], claim: str, label: str = "SUPPORTS") -> dict[str, Any]:
    pieces = [{"text": piece, "section_header": ""} for piece in evidence]
    return {"wikipedia_page": page, "gold_evidence": pieces, "text": claim, "label": label}


def test_a_piece_of_evidence_is_one_edit_with_all_its_claims_and_their_verdicts() -> None:
    [edit] = fever(
        [
            pair("Ada plays the harp .", "Ada is a harpist."),
            pair("Ada plays the harp .", "Ada plays the drums.", "REFUTES"),
            pair("Ada plays the harp .", "Ada is a harpist."),
        ]
    )
    assert edit.kind == "fact"
    assert edit.prompt == edit.target == "Ada plays the harp."
    assert [(claim.query, claim.answer, claim.tag) for claim in edit.in_scope] == [
        ("Ada is a harpist.", "True", "claim"),
        ("Ada plays the drums.", "False", "claim"),
    ]


def test_the_layout_of_fever_symmetric_is_read_alike() -> None:
    row = pair("Ada plays the harp .", "Ada is a harpist .")
    del row["label"]
    assert fever([row | {"gold_label": "SUPPORTS"}])[0].in_scope[0].answer == "True"


def test_claims_that_the_evidence_does_not_decide_are_left_out() -> None:
    assert fever([pair("Ada plays the harp.", "Ada is tall.", "NOT ENOUGH INFO")]) == []
    assert fool_me_twice([trick("Ada", ["Harps."], "Ada is tall.", "NEI")]) == []


@pytest.mark.parametrize(
    ("treebank", "plain"),
    [
        ("Soul Food -LRB- 1997 -RRB- is a film .", "Soul Food (1997) is a film."),
        ("Kenneth `` Babyface '' Edmonds , 60 .", 'Kenneth "Babyface" Edmonds, 60.'),
        ("It 's theirs , is n't it ?", "It's theirs, isn't it?"),
        ("-LSB- sic -RSB- and -LCB- x -RCB-", "[sic] and {x}"),
        ("from 1990 -- 1995", "from 1990–1995"),
        ("It is so, and stays so.", "It is so, and stays so."),
    ],
)
def test_treebank_tokenisation_is_undone(treebank: str, plain: str) -> None:
    assert detokenized(treebank) == plain


@given(st.text())
def test_undoing_it_twice_changes_nothing_more_of_plain_text(text: str) -> None:
    plain = text.replace("-", "").replace("`", "").replace("'", "")
    once = detokenized(plain)
    assert detokenized(once) == once
    assert "".join(once.split()) == "".join(plain.split())  # only blanks go


def test_a_fool_me_twice_row_is_an_edit_with_its_claim() -> None:
    [edit] = fool_me_twice([trick("Ada", ["Ada plays. ", " She tours."], " Ada rests.", "REFUTES")])
    assert edit.prompt == edit.target == "Ada plays. She tours."
    assert [(claim.query, claim.answer) for claim in edit.in_scope] == [("Ada rests.", "False")]
    assert edit.metadata == {"page": "Ada"}


def test_other_claims_of_the_page_are_out_of_scope_unless_they_rest_on_the_same_evidence() -> None:
    first, same, wider, other, elsewhere = fool_me_twice(
        [
            trick("Ada", ["Ada plays."], "Ada is a player."),
            trick("Ada", ["Ada plays."], "Ada never plays.", "REFUTES"),
            trick("Ada", ["Ada plays.", "She tours."], "Ada plays on tours."),
            trick("Ada", ["Ada was born in Arlen."], "Ada hails from Arlen."),
            trick("Bob", ["Bob sings."], "Bob is a singer."),
        ]
    )
    assert [e.query for e in first.out_of_scope] == ["Ada hails from Arlen."]
    assert [e.query for e in same.out_of_scope] == ["Ada hails from Arlen."]
    assert [e.query for e in wider.out_of_scope] == ["Ada hails from Arlen."]
    assert {e.query for e in other.out_of_scope} == {
        "Ada is a player.",
        "Ada never plays.",
        "Ada plays on tours.",
    }
    assert {e.tag for e in other.out_of_scope} == {"other_claim"}
    assert elsewhere.out_of_scope == ()


@pytest.mark.parametrize("missing", ["evidence", "claim"])
def test_a_row_without_a_field_is_an_error_that_names_it(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "rows.jsonl"
    row = pair("E.", "C.")
    del row[missing]
    path.write_text(json.dumps(row))
    with pytest.raises(SuiteError, match=f"'{missing}'"):
        read_suite(path, "fever")


@pytest.mark.parametrize("missing", ["text", "label", "gold_evidence", "wikipedia_page"])
def test_a_trick_without_a_field_is_an_error_that_names_it(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "rows.jsonl"
    row = trick("Ada", ["E."], "C.")
    del row[missing]
    path.write_text(json.dumps(row))
    with pytest.raises(SuiteError, match=f"'{missing}'"):
        read_suite(path, "fool_me_twice")
