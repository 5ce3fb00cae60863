"""What an agent shows while it answers."""

from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator
from serac_langchain_agent import SeracMiddleware

from serac_retriever import Prompted

IN_SCOPE = "Who's the current British PM?"
OUT_OF_SCOPE = "Who wrote Emma?"


async def test_a_stored_answer_is_shown_once(says, memory, chunks):
    agent = create_agent(says(), middleware=[SeracMiddleware(memory=memory)])
    assert await chunks(agent, IN_SCOPE) == ["Keir Starmer"]


async def test_chunks_of_text_from_any_runnable_are_shown_as_they_come(says, memory, chunks):
    def words(given):
        for one in given:
            yield from one["target"].split()

    async def awords(given):
        async for one in given:
            for word in one["target"].split():
                yield word

    middleware = SeracMiddleware(memory=memory, answer_with=RunnableGenerator(words, awords))
    agent = create_agent(says(), middleware=[middleware])
    assert await chunks(agent, IN_SCOPE) == ["Keir", "Starmer"]


async def test_the_chunks_of_a_prompted_model_are_shown_once_each(says, memory, chunks):
    for end in (lambda chain: chain, lambda chain: chain | StrOutputParser()):
        prompted = end(Prompted(says("It is Starmer.")))
        middleware = SeracMiddleware(memory=memory, answer_with=prompted)
        agent = create_agent(says(), middleware=[middleware])
        assert await chunks(agent, IN_SCOPE) == ["It", " ", "is", " ", "Starmer."]


async def test_the_chunks_of_the_own_model_are_shown_in_scope_and_out_of_it(says, memory, chunks):
    middleware = SeracMiddleware(memory=memory, answer_with="model")
    agent = create_agent(says("Sir Keir.", "Jane Austen."), middleware=[middleware])
    assert await chunks(agent, IN_SCOPE) == ["Sir", " ", "Keir."]
    assert await chunks(agent, OUT_OF_SCOPE) == ["Jane", " ", "Austen."]


async def test_what_rewrites_a_follow_up_is_not_shown(says, memory, chunks):
    rewriter = says("Who is the UK prime minister?") | StrOutputParser()
    middleware = SeracMiddleware(memory=memory, contextualize=rewriter)
    talk = [("user", "Hello"), ("ai", "Hi"), ("user", "And who leads it now?")]
    assert await chunks(create_agent(says(), middleware=[middleware]), talk) == ["Keir Starmer"]


async def test_a_stored_answer_is_among_the_events_of_a_chat_model(says, memory):
    agent = create_agent(says(), middleware=[SeracMiddleware(memory=memory)])
    events = [e async for e in agent.astream_events({"messages": IN_SCOPE}, version="v2")]
    said = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert "".join(said) == "Keir Starmer"
    names = {e["name"] for e in events if e["event"].startswith("on_chat_model")}
    assert names == {"serac:counterfactual"}


async def test_the_streamed_message_and_the_one_in_the_state_are_the_same(says, memory):
    agent = create_agent(says(), middleware=[SeracMiddleware(memory=memory)])
    ids, state = set(), {}
    modes = ["messages", "values"]
    async for mode, shown in agent.astream({"messages": IN_SCOPE}, stream_mode=modes):
        if mode == "messages":
            ids.add(shown[0].id)
        else:
            state = shown
    assert ids == {state["messages"][-1].id}


def test_the_tokens_of_a_counterfactual_model_are_counted_once(says, memory):
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    paid = AIMessage("Sir Keir.", usage_metadata=usage, response_metadata={"model_name": "paid"})
    middleware = SeracMiddleware(memory=memory, answer_with=Prompted(says(paid)))
    with get_usage_metadata_callback() as counted:
        create_agent(says(), middleware=[middleware]).invoke({"messages": IN_SCOPE})
    assert counted.usage_metadata["paid"]["total_tokens"] == 5
