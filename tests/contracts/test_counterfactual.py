"""Every counterfactual model that ships, a user's own, and a plain chain keep to the contract."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from serac_retriever import CounterfactualModel, Prompted, Reader, Seq2Seq, Verbatim
from tests.contracts.counterfactual import CounterfactualModelContract
from tests.counterfactual.models import random_t5
from tests.gate.parts import CountingChat


class TestVerbatim(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        return Verbatim()


class TestReader(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        return Reader()


class TestPromptedChatModel(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        return Prompted(CountingChat("It is Keir Starmer."))


class TestPromptedLLM(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        return Prompted(FakeListLLM(responses=["It is Keir Starmer."]))


class TestSeq2Seq(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        return Seq2Seq(*random_t5(), max_new_tokens=4)


class Polite(CounterfactualModel):
    """A user's own: one method."""

    def answer(self, given: Any) -> str:
        return f"I am glad you ask: {given['target']}"


class TestAUsersOwn(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        return Polite()


class TestAPlainChain(CounterfactualModelContract):
    @pytest.fixture
    def model(self) -> Any:
        prompt = PromptTemplate.from_template("{prompt} {target}\n{query}")
        return prompt | FakeListChatModel(responses=["Keir Starmer"]) | StrOutputParser()
