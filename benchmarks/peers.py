"""What the gate is compared with: the paper's scan, stock LangChain, semantic-router."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from logging import ERROR, getLogger
from typing import Any

from serac_retriever.edit import Edit
from serac_retriever.memory import EditMemory
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.training.export_encoder import source


def cross_encoder() -> Any:
    """Return a 6-layer MiniLM cross-encoder with an untrained head: what it costs, not its worth.

    The paper's is DistilBERT: as many layers, twice as wide, so dearer than this.
    """
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    quiet: Any = logging  # its functions are not typed
    quiet.set_verbosity_error()  # that the head is new is known
    quiet.disable_progress_bar()
    getLogger("sentence_transformers").setLevel(ERROR)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return CrossEncoder(str(source()), num_labels=1, device="cpu")


def full_scan(model: Any, edits: Sequence[Edit]) -> Callable[[str], int]:
    """Return the paper's classifier as published: the query is read with every stored edit.

    Section 3 of the paper; pairs sorted by length and in batches, which its code does not do.
    """
    prompts = [edit.prompt for edit in edits]

    def best(query: str) -> int:
        pairs = [(query, prompt) for prompt in prompts]
        scores = model.predict(pairs, batch_size=64, show_progress_bar=False)
        return int(scores.argmax())

    return best


def stock_langchain(model: Any, memory: EditMemory, k: int = 8) -> Callable[[str], Any]:
    """Return LangChain's own retrieve and re-rank over the same collection and encoder."""
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_core.cross_encoders import BaseCrossEncoder

    class Stock(BaseCrossEncoder):  # as langchain-community's HuggingFaceCrossEncoder
        def score(self, text_pairs: list[tuple[str, str]]) -> Any:
            return model.predict(text_pairs)

    return ContextualCompressionRetriever(
        base_compressor=CrossEncoderReranker(model=Stock(), top_n=1),
        base_retriever=memory.as_vectorstore().as_retriever(search_kwargs={"k": k}),
    ).invoke


def semantic_router(edits: Sequence[Edit]) -> Callable[[str], Any] | None:
    """Return semantic-router with a route an edit, on the same encoder; None if not installed."""
    try:
        from semantic_router import IndexedRouter, Route
        from semantic_router.encoders import DenseEncoder
    except ImportError:
        return None

    class Packaged(DenseEncoder):  # type: ignore[misc]
        name: str = "packaged"

        def __call__(self, docs: list[Any]) -> list[list[float]]:
            return packaged_encoder().embed_documents(docs)

    routes = [Route(name=edit.id, utterances=[edit.prompt]) for edit in edits]
    router: Callable[[str], Any] = IndexedRouter(encoder=Packaged(), routes=routes)
    return router
