"""What every counterfactual model is given, and a base class with one method to override."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, TypedDict

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from serac_retriever.edit import Edit
from serac_retriever.shapes import messages_of


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


def given_to(input: Any, query: str, edits: tuple[Edit, ...]) -> CounterfactualInput:
    """Return what a counterfactual model is given, for a chain's input and the edits in scope.

    Example:
        >>> edit = Edit(prompt="Capital of X?", target="Y")
        >>> given_to({"input": "X's capital?"}, "X's capital?", (edit,))["corrections"]
        'Capital of X? Y'
    """
    corrections = "\n".join(f"{edit.prompt} {edit.target}" for edit in edits)
    return CounterfactualInput(
        query=query,
        edits=edits,
        prompt=edits[0].prompt,
        target=edits[0].target,
        # an edit's text must not end the block that prompts put it into
        corrections=re.sub(r"<(?=\s*/?\s*corrections)", "&lt;", corrections, flags=re.IGNORECASE),
        history=(messages_of(input) or [])[:-1],
        input=input,
    )


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
        answer: str = self._call_with_config(self.answer, input, config, **kwargs)
        return answer
