"""Serac decides, and one branch answers: invoke, batch, and what a Decision tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from serac_retriever import Decision, EditMemory, Prompted, Serac
from serac_retriever.errors import ConfigError, QueryError
from tests.gate.parts import (
    BASE_SAYS,
    IN_SCOPE,
    IN_SCOPE_TOO,
    OUTSIDE,
    VERBATIM,
    CountingChat,
    CountingEncoder,
    CountingScope,
    Heard,
    echo,
    failing,
    spy_on_queries,
)

MIXED = [IN_SCOPE, OUTSIDE, IN_SCOPE_TOO, "", VERBATIM, "Tell me a joke."]
ANSWERS = [
    "Keir Starmer",
    f"base: {OUTSIDE}",
    "Astana",
    "base: ",
    "Three years, <b>see</b> {terms}.",
    "base: Tell me a joke.",
]


def test_in_scope_the_edit_answers_and_the_base_is_not_run(edits: EditMemory) -> None:
    heard = Heard()
    assert Serac(base=echo(heard), memory=edits).invoke(IN_SCOPE) == "Keir Starmer"
    assert not heard


def test_out_of_scope_the_base_answers_and_the_counterfactual_is_not_run(edits: EditMemory) -> None:
    model = CountingChat()
    chain = Serac(base=echo(), memory=edits, counterfactual=Prompted(model))
    assert chain.invoke(OUTSIDE) == f"base: {OUTSIDE}"
    assert model.told == []


async def test_ainvoke_answers_as_invoke_does(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits)
    assert [await chain.ainvoke(query) for query in MIXED] == ANSWERS
    assert [chain.invoke(query) for query in MIXED] == ANSWERS


def test_batch_keeps_the_order_of_its_inputs(edits: EditMemory) -> None:
    heard = Heard()
    assert Serac(base=echo(heard), memory=edits).batch(MIXED) == ANSWERS
    assert heard == {OUTSIDE: 1, "": 1, "Tell me a joke.": 1}


async def test_abatch_keeps_the_order_of_its_inputs(edits: EditMemory) -> None:
    heard = Heard()
    assert await Serac(base=echo(heard), memory=edits).abatch(MIXED) == ANSWERS
    assert heard == {OUTSIDE: 1, "": 1, "Tell me a joke.": 1}


async def test_an_empty_batch_answers_nothing(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits)
    assert chain.batch([]) == await chain.abatch([]) == []


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_a_batch_costs_one_embedding_one_chroma_query_and_one_scope_call(
    edits: EditMemory, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    scope = CountingScope(calls=[], threshold=0.9)
    chain = Serac(base=echo(), memory=edits, scope=scope)
    queries = spy_on_queries(monkeypatch)
    assert isinstance(edits.embeddings, CountingEncoder)
    before = edits.embeddings.calls
    answers = chain.batch(MIXED) if how == "batch" else asyncio.run(chain.abatch(MIXED))
    assert answers == ANSWERS
    assert edits.embeddings.calls - before == 1
    assert queries == [5]  # the blank input is asked nowhere
    assert scope.calls == [5 * 3]


def test_the_base_and_the_counterfactual_each_get_their_share_of_a_batch_at_once(
    edits: EditMemory,
) -> None:
    batches: list[tuple[str, int]] = []

    class Batching(RunnableLambda[Any, str]):
        def batch(self, inputs: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
            batches.append((self.get_name(), len(inputs)))
            return super().batch(inputs, *args, **kwargs)

    chain = Serac(
        base=Batching(lambda question: f"base: {question}", name="base"),
        counterfactual=Batching(lambda given: given["target"], name="model"),
        memory=edits,
    )
    assert chain.batch(MIXED) == ANSWERS
    assert sorted(batches) == [("base", 3), ("model", 2)]


def test_in_a_batch_one_failing_input_is_returned_as_its_exception_if_asked_for(
    edits: EditMemory,
) -> None:
    def base(question: str) -> str:
        if "joke" in question:
            raise ValueError("no jokes")
        return f"base: {question}"

    chain = Serac(base=RunnableLambda(base), memory=edits)
    *others, last = chain.batch(MIXED, return_exceptions=True)
    assert others == ANSWERS[:-1]
    assert isinstance(last, ValueError)
    with pytest.raises(ValueError, match="no jokes"):
        chain.batch(MIXED)


def test_an_input_without_a_query_spoils_no_other_input_of_its_batch(edits: EditMemory) -> None:
    inputs: list[Any] = [IN_SCOPE, 42, OUTSIDE]
    assert Serac(base=echo(), memory=edits).batch(inputs) == [
        "Keir Starmer",
        "base: 42",
        f"base: {OUTSIDE}",
    ]
    strict = Serac(base=echo(), memory=edits, on_error="raise")
    first, second, third = strict.batch(inputs, return_exceptions=True)
    assert (first, third) == ("Keir Starmer", f"base: {OUTSIDE}")
    assert isinstance(second, QueryError)


@pytest.mark.parametrize("on_error", ["base", "raise"])
async def test_the_bases_own_errors_are_raised_untouched(edits: EditMemory, on_error: Any) -> None:
    error = LookupError("the base's own")
    chain = Serac(base=failing(error), memory=edits, on_error=on_error)
    with pytest.raises(LookupError) as caught:
        chain.invoke(OUTSIDE)
    assert caught.value is error
    with pytest.raises(LookupError):
        await chain.ainvoke(OUTSIDE)
    with pytest.raises(LookupError):
        chain.batch([IN_SCOPE, OUTSIDE])
    with pytest.raises(LookupError):
        [*chain.stream(OUTSIDE)]
    with pytest.raises(LookupError):
        _ = [chunk async for chunk in chain.astream(OUTSIDE)]


def test_mode_verbatim_is_said_as_stored_whatever_the_model(edits: EditMemory) -> None:
    model = CountingChat("It might be two years.")
    chain = Serac(base=CountingChat(), memory=edits, counterfactual=Prompted(model))
    assert chain.invoke(VERBATIM).text == "Three years, <b>see</b> {terms}."
    assert chain.batch([VERBATIM, IN_SCOPE])[0].text == "Three years, <b>see</b> {terms}."
    assert len(model.told) == 1  # for the other one


# -- the decision --------------------------------------------------------------------------


def test_a_decision_tells_what_was_considered_and_why(edits: EditMemory) -> None:
    decision = Serac(base=echo(), memory=edits).decide({"question": IN_SCOPE})
    assert decision.query == IN_SCOPE
    assert decision.edit is not None
    assert decision.edit.id == "uk-pm"
    assert {candidate.edit.id for candidate in decision.candidates} == {
        "uk-pm",
        "capital",
        "warranty",
    }
    scores = [candidate.score for candidate in decision.candidates]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores if score is not None)
    assert "uk-pm" in decision.reason
    assert decision.timings_ms.keys() == {"query", "embed", "retrieve", "scope"}
    assert all(spent >= 0 for spent in decision.timings_ms.values())
    assert decision.error is None


def test_deciding_runs_neither_branch(edits: EditMemory) -> None:
    chain = Serac(
        base=failing(AssertionError()), counterfactual=failing(AssertionError()), memory=edits
    )
    assert chain.decide(IN_SCOPE).fired
    assert not chain.decide(OUTSIDE).fired


def test_an_edit_is_in_scope_only_strictly_above_the_threshold(edits: EditMemory) -> None:
    score = Serac(base=echo(), memory=edits).decide(IN_SCOPE).candidates[0].score
    assert score is not None
    at = Serac(base=echo(), memory=edits, threshold=score)
    below = Serac(base=echo(), memory=edits, threshold=score - 1e-3)
    assert not at.decide(IN_SCOPE).fired
    assert below.decide(IN_SCOPE).fired
    assert at.decide(IN_SCOPE).threshold == score


def test_the_classifiers_own_threshold_counts_unless_another_is_given(edits: EditMemory) -> None:
    never = CountingScope(calls=[], threshold=1.0)
    assert not Serac(base=echo(), memory=edits, scope=never).decide(IN_SCOPE).fired
    assert Serac(base=echo(), memory=edits, scope=never, threshold=0.5).decide(IN_SCOPE).fired


def test_k_edits_are_retrieved(edits: EditMemory) -> None:
    assert len(Serac(base=echo(), memory=edits, k=2).decide(OUTSIDE).candidates) == 2


def test_an_empty_memory_lets_the_base_answer(own_edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=own_edits)
    assert chain.invoke(IN_SCOPE) == f"base: {IN_SCOPE}"
    assert "no edit" in chain.decide(IN_SCOPE).reason


def test_an_edit_counts_from_the_next_query_on_and_no_longer_once_retired(
    own_edits: EditMemory,
) -> None:
    chain = Serac(base=echo(), memory=own_edits)
    edit = own_edits.add("Who is the UK prime minister?", "Keir Starmer")
    assert chain.invoke(IN_SCOPE) == "Keir Starmer"
    own_edits.update(edit.id, target="Somebody new")
    assert chain.invoke(IN_SCOPE) == "Somebody new"
    own_edits.retire(edit.id)
    assert chain.invoke(IN_SCOPE) == f"base: {IN_SCOPE}"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.one_of(st.sampled_from(MIXED), st.text(max_size=40)), min_size=1, max_size=6))
def test_sync_async_single_and_batch_give_the_same_decisions(
    edits: EditMemory, queries: list[str]
) -> None:
    chain = Serac(base=echo(), memory=edits)

    def told(decision: Decision) -> tuple[Any, ...]:
        return decision.query, decision.edits, decision.reason, decision.error

    async def decide_all() -> list[Decision]:
        return [await chain.adecide(query) for query in queries]

    one_by_one = [told(chain.decide(query)) for query in queries]
    assert [told(decision) for decision in asyncio.run(decide_all())] == one_by_one
    answers = [chain.invoke(query) for query in queries]
    assert chain.batch(queries) == answers
    assert asyncio.run(chain.abatch(queries)) == answers


# -- several edits, and follow-up turns ----------------------------------------------------


def test_up_to_max_edits_in_scope_reach_the_counterfactual_together(own_edits: EditMemory) -> None:
    own_edits.add("Who is the UK prime minister?", "Keir Starmer", id="pm")
    own_edits.add("What is the name of the UK prime minister?", "Sir Keir", id="pm-2")
    own_edits.add("What is the capital of Kazakhstan?", "Astana", id="capital")
    seen: list[Any] = []

    def answer(given: Any) -> str:
        seen.append(given)
        return "both"

    def ids(max_edits: int) -> list[str]:
        chain = Serac(
            base=echo(), memory=own_edits, counterfactual=answer, max_edits=max_edits
        )  # a plain function will do
        assert chain.invoke("Who is the prime minister of the UK?") == "both"
        return [edit.id for edit in seen[-1]["edits"]]

    assert len(ids(1)) == 1
    assert sorted(ids(5)) == ["pm", "pm-2"]
    assert seen[-1]["corrections"].splitlines() == [
        f"{edit.prompt} {edit.target}" for edit in seen[-1]["edits"]
    ]


def test_a_follow_up_turn_is_judged_by_what_contextualize_makes_of_it(edits: EditMemory) -> None:
    talks: list[Any] = []

    def contextualize(messages: list[Any]) -> str:
        talks.append(messages)
        return "Who is the UK prime minister?"

    chain = Serac(base=CountingChat(), memory=edits, contextualize=contextualize)
    talk = [("human", "Where is London?"), ("ai", "In the UK."), ("human", "And who leads it?")]
    assert not Serac(base=CountingChat(), memory=edits).decide(talk).fired
    decision = chain.decide(talk)
    assert decision.fired
    assert decision.query == "Who is the UK prime minister?"
    assert [message.text for message in talks[0]] == [text for _, text in talk]
    assert chain.invoke(talk).text == "Keir Starmer"


def test_contextualize_is_not_asked_about_first_turns(edits: EditMemory) -> None:
    chain = Serac(base=echo(), memory=edits, contextualize=failing(AssertionError()))
    assert chain.decide(IN_SCOPE).fired
    assert chain.decide([("human", IN_SCOPE)]).fired
    assert chain.decide({"input": IN_SCOPE, "chat_history": []}).fired


def test_contextualize_may_be_a_prompt_and_a_chat_model(edits: EditMemory) -> None:
    model = CountingChat("Who is the UK prime minister?")
    rewrite = ChatPromptTemplate.from_messages([("placeholder", "{talk}")])
    chain = Serac(
        base=CountingChat(),
        memory=edits,
        contextualize=RunnableLambda(lambda talk: {"talk": talk}) | rewrite | model,
    )
    talk = {"input": "And who leads it?", "chat_history": [("human", "London?"), ("ai", "UK.")]}
    assert chain.invoke(talk).text == "Keir Starmer"
    assert chain.batch([talk, talk])[1].text == "Keir Starmer"


def test_the_history_reaches_the_counterfactual_model(edits: EditMemory) -> None:
    model = CountingChat("Keir Starmer, still.")
    chain = Serac(base=CountingChat(), memory=edits, counterfactual=Prompted(model))
    talk = [("human", "Hello"), ("ai", "Good day"), ("human", IN_SCOPE)]
    assert isinstance(chain.invoke(talk), AIMessage)
    system, *rest = model.told[0]
    assert system.type == "system"
    assert [message.text for message in rest] == ["Hello", "Good day", IN_SCOPE]


# -- building one --------------------------------------------------------------------------


def test_fields_that_are_not_what_they_must_be_are_refused(edits: EditMemory) -> None:
    for wrong in ({"k": 0}, {"max_edits": 0}, {"threshold": 1.5}, {"on_error": "ignore"}, {"x": 1}):
        with pytest.raises(ValidationError):
            Serac(base=echo(), memory=edits, **wrong)


def test_a_dict_answer_whose_key_is_unknown_is_found_out_when_the_gate_is_built(
    edits: EditMemory,
) -> None:
    base = echo() | {"reply": RunnableLambda(str), "mood": RunnableLambda(str)}
    with pytest.raises(ConfigError, match="answer_key="):
        Serac(base=base, memory=edits)
    chain = Serac(base=base, memory=edits, answer_key="reply")
    assert chain.invoke(IN_SCOPE) == {"reply": "Keir Starmer"}
    assert chain.invoke(OUTSIDE)["reply"] == f"base: {OUTSIDE}"


def test_a_threshold_calibrated_for_another_encoder_is_warned_about(
    edits: EditMemory, local_memory: EditMemory, caplog: pytest.LogCaptureFixture
) -> None:
    Serac(base=echo(), memory=edits)
    assert not caplog.records
    Serac(base=echo(), memory=local_memory)
    assert "calibrate it anew" in caplog.text


def test_plain_functions_serve_as_base_and_as_counterfactual(edits: EditMemory) -> None:
    chain = Serac(
        base=lambda question: question.upper(),
        counterfactual=lambda given: f"{given['target']}!",
        memory=edits,
    )
    assert chain.invoke(IN_SCOPE) == "Keir Starmer!"
    assert chain.invoke(OUTSIDE) == OUTSIDE.upper()


def test_the_base_gets_its_input_unchanged(edits: EditMemory) -> None:
    seen: list[Any] = []
    base = RunnableLambda(lambda given: seen.append(given) or BASE_SAYS)
    given = {"input": OUTSIDE, "chat_history": [("human", "Hi")], "lang": "en"}
    Serac(base=base, memory=edits).invoke(given)
    assert seen == [given]
    assert seen[0] is given
