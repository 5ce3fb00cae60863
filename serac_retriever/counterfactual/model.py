"""What every counterfactual model is given, and a base class with one method to override."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from serac_retriever.edit import Edit


class CounterfactualInput(TypedDict):
    """What the gate gives to a counterfactual model (the paper's section 3: edit, then input).

    Attributes:
        query: What the user asks.
        edits: The edits in scope, best first; at least one.
        prompt: The best edit's prompt.
        target: The best edit's target.
        corrections: All edits as text, one a line: for prompts.
        history: The conversation before the query.
        input: The chain's input, unchanged.
    """

    query: str
    edits: tuple[Edit, ...]
    prompt: str
    target: str
    corrections: str
    history: list[BaseMessage]
    input: Any


class CounterfactualModel(Runnable[CounterfactualInput, Any]):
    """A counterfactual model with one method to override.

    A plain Runnable serves just as well: a prompt template that uses ``{prompt}``, ``{target}``
    and ``{query}``, piped into a model, is one.

    Example:
        >>> class Polite(CounterfactualModel):
        ...     def answer(self, given):
        ...         return f"I am glad you ask: {given['target']}"
    """

    @abstractmethod
    def answer(self, given: CounterfactualInput) -> str:
        """Return the answer to ``given["query"]`` under ``given["edits"]``."""

    def invoke(
        self, input: CounterfactualInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> str:
        """Answer as a LangChain run."""
        return self._call_with_config(self.answer, input, config, **kwargs)
