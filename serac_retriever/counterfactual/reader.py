"""The packaged counterfactual model: reads the answer off the edit, in one pass, without an LLM."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import numpy as np

from serac_retriever.counterfactual.model import CounterfactualInput, CounterfactualModel
from serac_retriever.edit import Edit
from serac_retriever.models import FOLDER
from serac_retriever.models.encoder import beginning
from serac_retriever.models.interaction import InteractionHead

HEAD = "reader.onnx"
LONGEST = 40  # tokens of an answer
SHOWN = 60  # characters that a target is found by where the rest of it was cut off
ASKING = re.compile(
    r"^\W*(?:is|are|was|were|am|do|does|did|has|have|had|can|could|may|might|will|would|shall|"
    r"should|must|isn't|aren't|wasn't|don't|doesn't|didn't|hasn't|haven't|can't|won't)\b"
    r"|\?\s*$",
    re.IGNORECASE,
)


class Reader(CounterfactualModel):
    """Answers a query from the best edit: in its words, or whether it is so.

    A query that asks for something gets the edit's target (of a statement, the part of it that
    answers). One that checks something is told "Yes" or "No", a claim "True" or "False". The
    paper's counterfactual model (its section 3) is a sequence model; this one only points and
    nods, so it makes nothing up. For free text there are ``Prompted`` and ``Seq2Seq``.

    Args:
        folder: Where ``reader.onnx`` lies; the packaged one unless given.

    Example:
        >>> edit = Edit(prompt="Who is the UK prime minister?", target="Keir Starmer")
        >>> reader = Reader()
        >>> reader.invoke({"query": "Which politician leads Britain?", "edits": (edit,)})
        'Keir Starmer'
        >>> reader.invoke({"query": "Is Rishi Sunak the British PM?", "edits": (edit,)})
        'No'
    """

    def __init__(self, folder: str | Path = FOLDER / "reader") -> None:
        self.folder = Path(folder)

    @cached_property
    def _head(self) -> InteractionHead:
        return InteractionHead(self.folder / HEAD)

    def answer(self, given: CounterfactualInput) -> str:
        """Return the target, the part of it that answers, or a verdict."""
        query, edit = given["query"], given["edits"][0]
        if edit.kind == "stance":
            return edit.target
        text = edit.statement
        [(verdict, spans)] = self._head.read([query], [text])
        found = int(np.argmax(verdict))
        if found == 0:
            return edit.target if edit.kind == "answer" else self._span(text, spans, edit)
        asked = ASKING.search(query) and not re.match(r"\W*true or false", query, re.IGNORECASE)
        return (("Yes", "No") if asked else ("True", "False"))[found - 1]

    def _span(self, text: str, spans: np.ndarray, edit: Edit) -> str:
        """Return the likeliest run of tokens within the target, in the target's own letters."""
        text = beginning(text)  # what was read, and what offsets are in
        target = edit.target if edit.target in text else beginning(edit.target)[:SHOWN]
        offsets, begins = self._head.encoder.offsets(text), text.rfind(target)
        inside = [i for i, (a, b) in enumerate(offsets) if a < b and a >= begins]
        if begins < 0 or not inside:
            return edit.target
        first = inside[0]
        scores = spans[first:, 0][:, None] + spans[first:, 1][None, :]
        width = np.arange(len(scores))
        length = width[None, :] - width[:, None]
        scores = np.where((length >= 0) & (length < LONGEST), scores, -np.inf)
        start, end = np.unravel_index(int(np.argmax(scores)), scores.shape)
        last = min(first + int(end), inside[-1])
        return text[offsets[first + int(start)][0] : offsets[last][1]] or edit.target
