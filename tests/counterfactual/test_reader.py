"""Reader: in the edit's own words, or whether it is so."""

from __future__ import annotations

import pytest

from serac_retriever import Edit, Reader
from tests.contracts.counterfactual import given

PM = Edit(prompt="Who is the UK prime minister?", target="Keir Starmer")
NOTICE = Edit(prompt="What is the notice period?", target="Three months, to the end of a quarter.")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def asked(edit: Edit, query: str) -> dict[str, object]:
    return {**given(edit), "query": query}


@pytest.mark.parametrize(
    "query",
    ["Who's the current British PM?", "Which politician leads the British government?", "uk pm"],
)
def test_a_question_gets_the_target_in_its_own_letters(reader: Reader, query: str) -> None:
    assert reader.invoke(asked(PM, query)) == "Keir Starmer"


def test_a_long_target_is_said_whole(reader: Reader) -> None:
    assert reader.invoke(asked(NOTICE, "How much notice do I give?")) == NOTICE.target


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ("Is Keir Starmer the UK prime minister?", "Yes"),
        ("Is it true that Rishi Sunak is the UK prime minister?", "No"),
        ("True or False: the UK prime minister is Keir Starmer", "True"),
        ("The UK prime minister is Boris Johnson.", "False"),
    ],
)
def test_a_check_gets_a_verdict_and_a_claim_true_or_false(
    reader: Reader, query: str, verdict: str
) -> None:
    assert reader.invoke(asked(PM, query)) == verdict


def test_of_a_statement_the_part_that_answers_is_said(reader: Reader) -> None:
    statement = "Carl Sagan is employed by British Broadcasting Corporation."
    fact = Edit(prompt=statement, target=statement, kind="fact")
    assert (
        reader.invoke(asked(fact, "Who is the employer of Carl Sagan?"))
        == "British Broadcasting Corporation"
    )


def test_a_stance_is_said_as_it_stands(reader: Reader) -> None:
    stance = Edit(prompt="Topic: tea; Sentiment: Positive", target="Positive", kind="stance")
    assert reader.invoke(asked(stance, "What do you think of tea?")) == "Positive"


def test_blanks_in_a_long_text_move_no_answer(reader: Reader) -> None:
    told = (
        "The first line of the report.\n\n\n          Its author is     Jane Doe of Leeds.      "
        "The budget is 40 pounds.   " + "filler words go here " * 250
    )
    said = [
        reader.invoke(asked(Edit(prompt="The report", target=t, kind="fact"), "Who is its author?"))
        for t in (told, " ".join(told.split()))
    ]
    assert said[0] == said[1]
    assert said[0].startswith("Jane")
