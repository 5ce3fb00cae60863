"""The edit memory as a LangChain retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from serac_retriever.memory.edit_memory import EditMemory
from serac_retriever.shapes import document_of


class EditRetriever(BaseRetriever):
    """Returns the edits nearest to a query as documents, for a chain that reads corrections.

    A document's text is prompt and target; its metadata are the edit's fields, and ``similarity``
    (cosine, in [-1, 1]).

    Attributes:
        memory: Where the edits are.
        k: How many at most.
        min_similarity: Leave out less similar ones.

    Example:
        >>> import chromadb
        >>> memory = EditMemory(client=chromadb.EphemeralClient(), collection="doc-retriever")
        >>> _ = memory.add("Who is the UK prime minister?", "Keir Starmer")
        >>> EditRetriever(memory=memory).invoke("British PM?")[0].metadata["target"]
        'Keir Starmer'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    memory: EditMemory
    k: int = Field(default=4, ge=1)
    min_similarity: float = Field(default=-1.0, ge=-1, le=1)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        **_: Any,
    ) -> list[Document]:
        return [
            document_of(candidate.edit, similarity=candidate.similarity)
            for candidate in self.memory.search(query, self.k if k is None else k)
            if candidate.similarity >= self.min_similarity
        ]
