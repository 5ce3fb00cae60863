"""A small RAG chatbot over a fictional product's handbook, and the edits that mend it."""

from serac_retriever.demo.chatbot import chatbot, corrections, handbook
from serac_retriever.demo.run import Outcome, run

__all__ = ["Outcome", "chatbot", "corrections", "handbook", "run"]
