"""Evaluation runs the real gate and counts what it does."""

from __future__ import annotations

import pytest
from langchain_core.runnables import RunnableLambda

from serac_retriever.counterfactual import Verbatim
from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError
from serac_retriever.evaluation import evaluate
from serac_retriever.scope import EmbeddingScope, LateInteractionScope
from tests.encoders import WordEncoder


def edit(country: str, leader: str, **fields: object) -> Edit:
    return Edit.model_validate(
        {
            "prompt": f"Who is the prime minister of {country}?",
            "target": leader,
            "in_scope": [{"query": f"Who is {country}'s prime minister?", "answer": leader}],
            "out_of_scope": [
                {"query": "Who wrote Emma?", "answer": "Jane Austen", "tag": "unrelated"},
                {"query": f"Who was {country}'s first prime minister?", "tag": "other_relation"},
            ],
            **fields,
        }
    )


SUITE = [edit("Norway", "Støre"), edit("Spain", "Sánchez"), edit("Japan", "Ishiba")]


def test_edit_success_drawdown_and_recall_are_shares_of_what_the_gate_answered() -> None:
    report = evaluate(SUITE, threshold=0.0, scope=EmbeddingScope.packaged())  # everything fires
    assert report.edit_success == 1.0
    assert report.drawdown == {"all": 1.0, "unrelated": 1.0, "other_relation": 1.0}
    assert report.recall_at_k == 1.0
    assert report.queries == {"in_scope": 3, "all": 6, "unrelated": 3, "other_relation": 3}


def test_a_gate_that_never_fires_has_no_success_and_no_drawdown() -> None:
    report = evaluate(SUITE, threshold=1.0)
    assert report.edit_success == 0.0
    assert report.drawdown["all"] == 0.0
    assert report.recall_at_k == 1.0  # they were retrieved all the same


def test_the_packaged_classifier_hears_paraphrases_and_leaves_the_unrelated_alone() -> None:
    report = evaluate(SUITE)
    assert report.edit_success == 1.0
    assert report.drawdown["unrelated"] == 0.0
    assert report.threshold == LateInteractionScope.packaged().threshold


def test_groups_of_edits_are_loaded_in_turn() -> None:
    report = evaluate(SUITE, 1, threshold=0.0)
    assert (report.edits, report.groups, report.queries["in_scope"]) == (1, 3, 3)


def test_an_out_of_scope_query_answered_with_the_bases_own_answer_has_not_changed() -> None:
    same = edit("Norway", "Jane Austen")
    assert evaluate([same], threshold=0.0).drawdown["unrelated"] == 0.0


def test_an_in_scope_answer_that_is_not_the_target_is_a_miss_of_verbatim() -> None:
    example = Example(query="Is Støre Norway's prime minister?", answer="Yes")
    suite = [edit("Norway", "Støre", in_scope=[example])]
    assert evaluate(suite, threshold=0.0, counterfactual=Verbatim()).edit_success == 0.0
    assert evaluate(suite, threshold=0.0).edit_success == 1.0  # the packaged reader's verdict


def test_a_verdict_counts_in_either_pair_of_words_and_any_runnable_answers() -> None:
    example = Example(query="Is Støre Norway's prime minister?", answer="Yes")
    suite = [edit("Norway", "Støre", in_scope=[example])]
    for said, success in (("Yes.", 1.0), ("True", 1.0), ("No", 0.0), ("Støre", 0.0)):
        answers = RunnableLambda(lambda given, said=said: said)
        assert evaluate(suite, threshold=0.0, counterfactual=answers).edit_success == success


def test_of_several_recorded_answers_any_counts() -> None:
    example = Example(query="Norway's PM?", answer=("Jonas Gahr Støre", "Støre"))
    assert evaluate([edit("Norway", "Støre", in_scope=[example])]).edit_success == 1.0


def test_each_query_is_asked_once() -> None:
    class Counting(WordEncoder):
        calls = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            type(self).calls += 1
            return super().embed_documents(texts)

    report = evaluate(SUITE, threshold=0.0, embeddings=Counting())
    queries = report.queries["in_scope"] + report.queries["all"]
    assert Counting.calls == 1 + queries  # the edits in one call, then one a query
    assert report.embedding_ms["p50"] < report.latency_ms["p50"]


def test_dates_and_status_of_a_suites_edits_do_not_keep_them_from_firing() -> None:
    old = edit("Norway", "Støre", valid_until="2001-01-01", status="retired")
    assert evaluate([old]).edit_success == 1.0


@pytest.mark.parametrize("size", [0, 4, -1])
def test_more_edits_than_there_are_is_an_error(size: int) -> None:
    with pytest.raises(ConfigError, match="1 to 3"):
        evaluate(SUITE, size)


def test_a_suite_without_queries_is_an_error() -> None:
    with pytest.raises(ConfigError, match="in_scope"):
        evaluate([Edit(prompt="a?", target="b")])
