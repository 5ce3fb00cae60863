"""A real memory with real edits, and a chat model that stands for a paid one."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import chromadb
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from pydantic import Field

from serac_retriever import EditMemory


class PaidModel(GenericFakeChatModel):
    """Says what it is given to say, and remembers what it was asked, and with which tools."""

    asked: list[Any] = Field(default_factory=list)
    tools: list[list[str]] = Field(default_factory=list)

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages)
        self.tools.append([tool["name"] for tool in kwargs.get("tools", [])])
        return super()._generate(messages, *args, **kwargs)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return self.bind(tools=[{"name": tool.name} for tool in tools], **kwargs)

    @property
    def system(self) -> str:
        """The system message of the last call; empty where there was none."""
        first = self.asked[-1][0]
        return first.text if first.type == "system" else ""


@pytest.fixture
def says() -> Callable[..., PaidModel]:
    def model(*answers: str | AIMessage) -> PaidModel:
        return PaidModel(messages=iter(answers))

    return model


@pytest.fixture
def memory() -> EditMemory:
    memory = EditMemory(client=chromadb.EphemeralClient(), collection=f"edits-{uuid4().hex}")
    memory.add("Who is the UK prime minister?", "Keir Starmer", author="ann")
    memory.add("What is the capital of Kazakhstan?", "Astana", mode="verbatim")
    return memory


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Ask an agent, through either door, and return its state."""

    async def asked(agent: Any, message: Any, config: Any = None, **given: Any) -> dict[str, Any]:
        state = None if message is None else {"messages": message, **given}
        if request.param == "sync":
            return agent.invoke(state, config)
        return await agent.ainvoke(state, config)

    return asked


@pytest.fixture(params=["sync", "async"])
def chunks(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return what an agent shows in ``stream_mode="messages"``, through either door."""

    async def streamed(agent: Any, message: Any) -> list[str]:
        state = {"messages": message}
        if request.param == "sync":
            shown = [*agent.stream(state, stream_mode="messages")]
        else:
            shown = [one async for one in agent.astream(state, stream_mode="messages")]
        return [message.text for message, _ in shown if message.text]  # an empty one ends a stream

    return streamed


@pytest.fixture
def thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": uuid4().hex}}
