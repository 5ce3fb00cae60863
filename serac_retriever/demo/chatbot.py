"""The chatbot: an ordinary LangChain chain over a Chroma collection, several passages stale."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from chromadb.api import ClientAPI
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough

from serac_retriever.edit import Edit
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.suites import read_suite

FOLDER = Path(__file__).parent
PROMPT = ChatPromptTemplate.from_template(
    "You answer customers of Mizzlebrook weather stations from its handbook, in one sentence.\n\n"
    "Handbook:\n{context}\n\nCustomer: {question}"
)


def handbook() -> list[Document]:
    """Return the handbook, one document a sentence, titled with its passage."""
    passages = (FOLDER / "handbook.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Document(sentence, metadata={"passage": passage["id"], "title": passage["title"]})
        for passage in map(json.loads, passages)
        for sentence in re.split(r"(?<=[.!?])\s+", passage["text"])
    ]


def corrections() -> list[Edit]:
    """Return the edits that mend the handbook's stale answers, each with queries to try."""
    return read_suite(FOLDER / "edits.jsonl")


def chatbot(client: ClientAPI, llm: BaseChatModel | None = None) -> Runnable[Any, str]:
    """Return the chatbot: a question in, a string out.

    Args:
        client: Where its collection ``handbook`` goes; filled at first.
        llm: Phrases the answer from the four nearest sentences. Without one, the nearest sentence
            is the answer: extractive, offline and free.
    """
    store = Chroma(
        client=client,
        collection_name="handbook",
        embedding_function=packaged_encoder(),
        collection_metadata={"hnsw:space": "cosine"},
    )
    documents = handbook()
    if not store.get(limit=1)["ids"]:
        store.add_documents(documents, ids=[f"{n:03}" for n in range(len(documents))])
    found = RunnableParallel(
        context=store.as_retriever(search_kwargs={"k": 4 if llm else 1}) | _text,
        question=RunnablePassthrough(),
    )
    if llm is None:
        return found | RunnableLambda(lambda given: str(given["context"]))
    return found | PROMPT | llm | StrOutputParser()


def _text(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)
