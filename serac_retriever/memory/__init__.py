"""Edit memory over a Chroma collection, and its doors to LangChain."""

from serac_retriever.memory.edit_memory import EditMemory
from serac_retriever.memory.loading import Failure, LoadReport
from serac_retriever.memory.record import Malformed
from serac_retriever.memory.retriever import EditRetriever

__all__ = ["EditMemory", "EditRetriever", "Failure", "LoadReport", "Malformed"]
