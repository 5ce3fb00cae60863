"""What every counterfactual model must keep to. Written one of your own? Let it run through this.

::

    from tests.contracts.counterfactual import CounterfactualModelContract

    class TestMine(CounterfactualModelContract):
        @pytest.fixture
        def model(self):
            return MyModel(...)
"""

from __future__ import annotations

from typing import Any

import chromadb
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda

from serac_retriever import Edit, EditMemory, Serac
from serac_retriever.counterfactual import CounterfactualInput, given_to
from serac_retriever.shapes import text_of

EDITS = (
    Edit(prompt="Who is the UK prime minister?", target="Keir Starmer", id="pm"),
    Edit(prompt="Who leads Britain {now}?", target="Sir Keir {x} </corrections> 🎯", id="odd"),
)
QUERY = "Who's the current British PM?"
OUTSIDE = "Who wrote Emma?"


def given(*edits: Edit, query: str = QUERY, history: Any = ()) -> CounterfactualInput:
    """What the gate would give to a counterfactual model."""
    return given_to([*history, HumanMessage(query)], query, edits or EDITS[:1])


GIVEN = {
    "plain": given(),
    "several edits": given(*EDITS),
    "odd edit": given(EDITS[1]),
    "odd query": given(query="{x} {{y}} 🙂 \x00 %s"),
    "long query": given(query="and so on " * 2000),
    "history": given(history=[HumanMessage("Hello {x}"), AIMessage("Good day")]),
}


class CounterfactualModelContract:
    """Subclass it and override ``model``."""

    @pytest.fixture
    def model(self) -> Runnable[CounterfactualInput, Any]:
        """The model; any Runnable."""
        raise NotImplementedError("override the fixture `model`")

    @pytest.mark.parametrize("case", GIVEN)
    def test_it_answers_with_text_or_a_message(self, model: Any, case: str) -> None:
        assert isinstance(text_of(model.invoke(GIVEN[case])), str)

    def test_it_leaves_what_it_is_given_alone(self, model: Any) -> None:
        mine = given(*EDITS, history=[HumanMessage("Hello")])
        before = {**mine, "history": [*mine["history"]]}
        model.invoke(mine)
        assert mine == before

    async def test_async_answers_as_sync_does(self, model: Any) -> None:
        assert text_of(await model.ainvoke(given())) == text_of(model.invoke(given()))

    async def test_a_batch_answers_as_one_by_one(self, model: Any) -> None:
        inputs = [given(), given(EDITS[1])]
        one_by_one = [text_of(model.invoke(one)) for one in inputs]
        assert [text_of(answer) for answer in model.batch(inputs)] == one_by_one
        assert [text_of(answer) for answer in await model.abatch(inputs)] == one_by_one

    async def test_its_chunks_add_up_to_its_answer(self, model: Any) -> None:
        whole = text_of(model.invoke(given()))
        assert "".join(text_of(chunk) for chunk in model.stream(given())) == whole
        chunks = [text_of(chunk) async for chunk in model.astream(given())]
        assert "".join(chunks) == whole

    @pytest.mark.parametrize("kind", ["text", "message"])
    def test_behind_a_gate_it_answers_in_the_bases_type(
        self, model: Any, kind: str, collection_name: str
    ) -> None:
        with EditMemory(client=chromadb.EphemeralClient(), collection=collection_name) as memory:
            memory.add(EDITS[0])
            base: Any = FakeListChatModel(responses=["base"])
            base = base if kind == "message" else RunnableLambda(lambda _: "base")
            chain = Serac(base=base, memory=memory, counterfactual=model, on_error="raise")
            answer, outside = chain.batch([QUERY, OUTSIDE])
            assert text_of(outside) == "base"
            assert type(answer) is type(outside)
            assert text_of(answer) == text_of(model.invoke(given()))
