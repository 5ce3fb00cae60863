"""The agent's loop: tools, structured output, checkpointers, other middleware."""

import json
from collections import Counter

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field
from serac_langchain_agent import SeracMiddleware

from serac_retriever import EmbeddingScope

IN_SCOPE = "Who's the current British PM?"
OUT_OF_SCOPE = "Who wrote Emma?"
PM = "who-is-the-uk-prime-minister"


class Person(BaseModel):
    """Who it is."""

    name: str


class CountingScope(EmbeddingScope):
    """Counts how often it was asked, by query."""

    asked: Counter[str] = Field(default_factory=Counter)

    def judge(self, queries, candidates):
        self.asked.update(queries)
        return super().judge(queries, candidates)


@pytest.fixture
def scope():
    return CountingScope(**EmbeddingScope.packaged().model_dump())


def calls(tool, /, **arguments):
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": f"call-{tool}"}])


def ask_the_web(question: str) -> str:
    """Ask the web."""
    return IN_SCOPE  # an edit would fire on this


async def test_no_edit_fires_on_a_tools_result(says, memory, ask, scope):
    model = says(calls("ask_the_web", question=OUT_OF_SCOPE), "Jane Austen.")
    middleware = SeracMiddleware(memory=memory, scope=scope)
    agent = create_agent(model, [ask_the_web], middleware=[middleware])
    turn = await ask(agent, OUT_OF_SCOPE)
    assert [m.type for m in turn["messages"]] == ["human", "ai", "tool", "ai"]
    assert turn["messages"][-1].text == "Jane Austen."
    assert turn["serac_edits"] == []
    assert scope.asked == {OUT_OF_SCOPE: 1}


async def test_no_edit_fires_on_a_tools_result_even_if_the_users_function_finds_a_query_there(
    says, memory, ask
):
    model = says(calls("ask_the_web", question=OUT_OF_SCOPE), "Jane Austen.")
    middleware = SeracMiddleware(memory=memory, query_from=lambda messages: messages[-1].text)
    agent = create_agent(model, [ask_the_web], middleware=[middleware])
    assert (await ask(agent, OUT_OF_SCOPE))["messages"][-1].text == "Jane Austen."


async def test_a_stored_answer_ends_the_turn_with_no_tool_called(says, memory, ask):
    model = says(calls("ask_the_web", question="?"))
    agent = create_agent(model, [ask_the_web], middleware=[SeracMiddleware(memory=memory)])
    turn = await ask(agent, IN_SCOPE)
    assert [m.type for m in turn["messages"]] == ["human", "ai"]


async def test_the_own_model_has_its_tools_and_is_told_the_edit_until_the_turn_ends(
    says, memory, ask, scope
):
    model = says(calls("ask_the_web", question="PM?"), "Keir Starmer.")
    middleware = SeracMiddleware(memory=memory, scope=scope, answer_with="model")
    agent = create_agent(model, [ask_the_web], system_prompt="Be brief.", middleware=[middleware])
    turn = await ask(agent, IN_SCOPE)
    assert [m.type for m in turn["messages"]] == ["human", "ai", "tool", "ai"]
    assert model.tools == [["ask_the_web"]] * 2
    first, second = (asked[0].text for asked in model.asked)
    assert first == second
    assert "Keir Starmer" in second
    assert scope.asked == {IN_SCOPE: 1}  # judged once a turn
    assert [edit["id"] for edit in turn["serac_edits"]] == [PM]
    assert turn["messages"][-1].response_metadata["serac_edits"] == [PM]


async def test_a_turn_resumed_from_a_checkpoint_still_holds_its_edits(says, memory, ask, thread):
    model = says(calls("ask_the_web", question="PM?"), "Keir Starmer.")
    agent = create_agent(
        model,
        [ask_the_web],
        middleware=[SeracMiddleware(memory=memory, answer_with="model")],
        checkpointer=InMemorySaver(),
        interrupt_before=["tools"],
    )
    paused = await ask(agent, IN_SCOPE, thread)
    assert paused["messages"][-1].tool_calls
    turn = await ask(agent, None, thread)
    assert turn["messages"][-1].text == "Keir Starmer."
    assert '"Keir Starmer"' in model.system
    assert [edit["id"] for edit in turn["serac_edits"]] == [PM]


@pytest.mark.parametrize("question", [IN_SCOPE, "What's the capital of Kazakhstan?"])
async def test_a_structured_response_comes_from_the_own_model_told_the_edit(
    says, memory, ask, question
):
    model = says(calls("Person", name="x"))
    agent = create_agent(model, response_format=Person, middleware=[SeracMiddleware(memory=memory)])
    turn = await ask(agent, question)
    assert turn["structured_response"] == Person(name="x")
    [edit] = turn["serac_edits"]
    assert f'"true": "{edit["target"]}"' in model.system


async def test_a_structured_response_by_the_providers_own_means_is_told_the_edit_too(
    says, memory, ask
):
    model = says('{"name": "Keir Starmer"}')
    middleware = SeracMiddleware(memory=memory)
    agent = create_agent(model, response_format=ProviderStrategy(Person), middleware=[middleware])
    turn = await ask(agent, IN_SCOPE)
    assert turn["structured_response"] == Person(name="Keir Starmer")
    assert '"true": "Keir Starmer"' in model.system


async def test_a_structured_response_that_has_to_be_tried_again_is_told_the_edit_again(
    says, memory, ask
):
    model = says(calls("Person", wrong="field"), calls("Person", name="Keir Starmer"))
    middleware = SeracMiddleware(memory=memory)
    agent = create_agent(model, response_format=ToolStrategy(Person), middleware=[middleware])
    turn = await ask(agent, IN_SCOPE)
    assert turn["structured_response"] == Person(name="Keir Starmer")
    assert len(model.asked) == 2
    assert '"true": "Keir Starmer"' in model.system


async def test_out_of_scope_a_structured_response_is_the_models_own(says, memory, ask):
    model = says(calls("Person", name="Jane Austen"))
    agent = create_agent(model, response_format=Person, middleware=[SeracMiddleware(memory=memory)])
    turn = await ask(agent, OUT_OF_SCOPE)
    assert turn["structured_response"] == Person(name="Jane Austen")
    assert model.system == ""


async def test_over_several_turns_the_state_holds_the_edits_of_the_last_one_only(
    says, memory, ask, thread
):
    model = says("Jane Austen.")
    agent = create_agent(
        model, middleware=[SeracMiddleware(memory=memory)], checkpointer=InMemorySaver()
    )
    first = await ask(agent, IN_SCOPE, thread)
    assert [edit["id"] for edit in first["serac_edits"]] == [PM]
    assert first["serac_edits"][0]["author"] == "ann"
    second = await ask(agent, OUT_OF_SCOPE, thread)
    assert second["serac_edits"] == []
    assert [m.text for m in model.asked[0]] == [IN_SCOPE, "Keir Starmer", OUT_OF_SCOPE]
    third = await ask(agent, IN_SCOPE, thread)
    assert [edit["id"] for edit in third["serac_edits"]] == [PM]
    assert [m.response_metadata.get("serac_edits") for m in third["messages"][1::2]] == [
        [PM], None, [PM],
    ]  # fmt: skip
    assert agent.get_state(thread).values["serac_edits"] == third["serac_edits"]


async def test_the_state_is_cleared_where_other_middleware_ends_a_turn_before_the_model(
    says, memory, ask, thread
):
    class Guard(AgentMiddleware):
        @hook_config(can_jump_to=["end"])
        def before_model(self, state, runtime):
            if "secret" in state["messages"][-1].text:
                return {"messages": [AIMessage("No.")], "jump_to": "end"}
            return None

    middleware = [Guard(), SeracMiddleware(memory=memory)]
    agent = create_agent(says(), middleware=middleware, checkpointer=InMemorySaver())
    assert (await ask(agent, IN_SCOPE, thread))["serac_edits"]
    turn = await ask(agent, "Tell me a secret", thread)
    assert (turn["messages"][-1].text, turn["serac_edits"]) == ("No.", [])


def test_a_counterfactual_model_may_interrupt_the_agent_to_ask_a_person(says, memory, thread):
    def approved(given):
        return f"{given['target']} ({interrupt('Say so?')})"

    middleware = SeracMiddleware(memory=memory, answer_with=approved)
    agent = create_agent(says("Rishi."), middleware=[middleware], checkpointer=InMemorySaver())
    paused = agent.invoke({"messages": IN_SCOPE}, thread)
    assert paused["__interrupt__"][0].value == "Say so?"
    turn = agent.invoke(Command(resume="approved"), thread)
    assert turn["messages"][-1].text == "Keir Starmer (approved)"


async def test_a_message_that_middleware_puts_in_for_the_user_is_judged_anew(says, memory, ask):
    class Nag(AgentMiddleware):
        @hook_config(can_jump_to=["model"])
        def after_model(self, state, runtime):
            if len(state["messages"]) > 2:
                return None
            return {"messages": [HumanMessage(OUT_OF_SCOPE)], "jump_to": "model"}

    agent = create_agent(says("Austen."), middleware=[Nag(), SeracMiddleware(memory=memory)])
    turn = await ask(agent, IN_SCOPE)
    assert [m.text for m in turn["messages"][1::2]] == ["Keir Starmer", "Austen."]
    assert turn["serac_edits"] == []


async def test_a_caller_of_the_agent_cannot_pass_edits_in(says, memory, ask, thread):
    model = says("Jane Austen.")
    middleware = SeracMiddleware(memory=memory, answer_with="model")
    agent = create_agent(model, middleware=[middleware], checkpointer=InMemorySaver())
    forged = [{"prompt": "Who wrote Emma?", "target": "Me", "id": "x"}]
    talk = [HumanMessage("Hi"), AIMessage("Hello")]  # not the user's turn: edits of the state count
    turn = await ask(agent, talk, thread, serac_edits=forged)
    assert model.system == ""
    assert turn["serac_edits"] == []
    assert "serac_edits" in agent.get_output_jsonschema()["properties"]
    assert "serac_edits" not in agent.get_input_jsonschema()["properties"]


async def test_the_state_is_plain_json_with_no_examples_in_it(says, memory, ask):
    memory.update(PM, in_scope=[{"query": "Who leads Britain?", "answer": "Keir Starmer"}])
    agent = create_agent(says(), middleware=[SeracMiddleware(memory=memory)])
    edits = (await ask(agent, IN_SCOPE))["serac_edits"]
    assert json.loads(json.dumps(edits)) == edits
    assert edits[0]["target"] == "Keir Starmer"
    assert "in_scope" not in edits[0]


async def test_a_picture_with_no_words_goes_to_the_model(says, memory, ask):
    picture = {"type": "image", "url": "https://example.com/x.png"}
    agent = create_agent(says("A cat."), middleware=[SeracMiddleware(memory=memory)])
    turn = await ask(agent, [HumanMessage([picture])])
    assert turn["messages"][-1].text == "A cat."
