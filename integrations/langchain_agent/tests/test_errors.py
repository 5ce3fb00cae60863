"""What happens where something fails."""

import socket

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from serac_langchain_agent import SeracMiddleware

from serac_retriever import EditMemory, ScopeClassifier, SeracError

IN_SCOPE = "Who's the current British PM?"


class BrokenScope(ScopeClassifier):
    def score_pairs(self, pairs):
        return [2.0] * len(pairs)


@pytest.fixture
def unreachable():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return EditMemory(host="127.0.0.1", port=port, timeout=1)


def fails(given):
    raise RuntimeError("out of credit")


async def test_while_the_memory_cannot_be_reached_the_agents_model_answers(
    says, unreachable, ask, caplog
):
    agent = create_agent(says("Rishi."), middleware=[SeracMiddleware(memory=unreachable)])
    turn = await ask(agent, IN_SCOPE)
    assert turn["messages"][-1].text == "Rishi."
    assert turn["serac_edits"] == []
    assert "MemoryUnavailableError" in caplog.text


async def test_a_memory_that_cannot_be_reached_is_raised_where_that_was_asked_for(
    says, unreachable, ask
):
    middleware = SeracMiddleware(memory=unreachable, on_error="raise")
    agent = create_agent(says("Rishi."), middleware=[middleware])
    with pytest.raises(SeracError, match=r"127\.0\.0\.1"):
        await ask(agent, IN_SCOPE)


async def test_a_scope_classifier_that_breaks_its_contract_lets_the_agents_model_answer(
    says, memory, ask
):
    agent = create_agent(
        says("Rishi.", "Rishi."), middleware=[SeracMiddleware(memory=memory, scope=BrokenScope())]
    )
    assert (await ask(agent, IN_SCOPE))["messages"][-1].text == "Rishi."
    loud = SeracMiddleware(memory=memory, scope=BrokenScope(), on_error="raise")
    with pytest.raises(SeracError, match="probabilities"):
        await ask(create_agent(says("Rishi."), middleware=[loud]), IN_SCOPE)


async def test_where_the_counterfactual_model_fails_the_agents_model_answers_with_its_tools(
    says, memory, ask, caplog
):
    def look_up(title: str) -> str:
        """Look a book up."""
        return title

    model = says("Rishi.")
    middleware = SeracMiddleware(memory=memory, answer_with=fails)
    turn = await ask(create_agent(model, [look_up], middleware=[middleware]), IN_SCOPE)
    answer = turn["messages"][-1]
    assert answer.text == "Rishi."
    assert model.tools == [["look_up"]]
    assert turn["serac_edits"] == []
    assert "serac_edits" not in answer.response_metadata
    assert "RuntimeError: out of credit" in caplog.text


async def test_a_counterfactual_models_error_is_raised_where_that_was_asked_for(says, memory, ask):
    middleware = SeracMiddleware(memory=memory, answer_with=fails, on_error="raise")
    with pytest.raises(RuntimeError, match="out of credit"):
        await ask(create_agent(says("Rishi."), middleware=[middleware]), IN_SCOPE)


async def test_an_answer_that_is_neither_text_nor_a_message_counts_as_a_failure(says, memory, ask):
    middleware = SeracMiddleware(memory=memory, answer_with=RunnableLambda(lambda given: 42))
    turn = await ask(create_agent(says("Rishi."), middleware=[middleware]), IN_SCOPE)
    assert turn["messages"][-1].text == "Rishi."


async def test_what_the_agents_own_model_raises_is_raised_and_it_is_asked_once(says, memory, ask):
    for options in ({}, {"answer_with": "model"}):
        model = says()  # has nothing to say: StopIteration, which asyncio turns into another
        middleware = SeracMiddleware(memory=memory, **options)
        message = IN_SCOPE if options else "Who wrote Emma?"
        with pytest.raises((RuntimeError, StopIteration)):
            await ask(create_agent(model, middleware=[middleware]), message)
        assert len(model.asked) == 1
