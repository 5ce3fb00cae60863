"""The demo's chatbot is an ordinary chain over a handbook that the project wrote."""

from __future__ import annotations

import json

import chromadb
import pytest
from langchain_core.language_models import FakeListChatModel

from serac_retriever.demo import chatbot, corrections, handbook
from serac_retriever.demo.chatbot import FOLDER


def test_the_handbook_has_some_forty_passages_and_nine_corrections() -> None:
    passages = {document.metadata["passage"] for document in handbook()}
    assert 40 <= len(passages) <= 50
    assert len(corrections()) == 9


def test_every_line_of_the_demos_files_is_json_with_an_id_of_its_own() -> None:
    for name in ("handbook.jsonl", "edits.jsonl"):
        rows = [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]
        assert len({row["id"] for row in rows}) == len(rows)


@pytest.fixture
def client() -> object:
    return chromadb.EphemeralClient()


def test_it_answers_from_the_nearest_sentence_without_a_model(client: chromadb.ClientAPI) -> None:
    assert "Priya Lanning" in chatbot(client).invoke("Who runs the Raincup Trust?")


def test_a_second_start_finds_the_handbook_there(client: chromadb.ClientAPI) -> None:
    chatbot(client)
    count = client.get_collection("handbook").count()
    chatbot(client)
    assert client.get_collection("handbook").count() == count == len(handbook())


def test_a_model_may_phrase_the_answer(client: chromadb.ClientAPI) -> None:
    model = FakeListChatModel(responses=["Two years, I believe."])
    assert chatbot(client, model).invoke("How long is the warranty?") == "Two years, I believe."
