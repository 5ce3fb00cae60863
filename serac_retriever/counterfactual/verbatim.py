"""Say the stored target, word for word."""

from __future__ import annotations

from serac_retriever.counterfactual.model import CounterfactualInput, CounterfactualModel


class Verbatim(CounterfactualModel):
    """Answers with the best edit's target: no model, no delay, nothing made up.

    Example:
        >>> from serac_retriever.edit import Edit
        >>> Verbatim().invoke({"edits": (Edit(prompt="Capital of X?", target="Y"),)})
        'Y'
    """

    def answer(self, given: CounterfactualInput) -> str:
        """Return the target."""
        return given["edits"][0].target
