"""The packaged scope classifier: cross-attention of query and edit at a fraction of its cost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from serac_retriever.errors import ScopeError
from serac_retriever.models import FOLDER
from serac_retriever.models.interaction import EarlyExit, Floats, InteractionHead
from serac_retriever.models.words import packaged_words
from serac_retriever.scope.calibration import Pair
from serac_retriever.scope.classifier import ScopeClassifier

COMPARE, HEAD = "compare.onnx", "scope.onnx"
EXIT = "exit.safetensors"


class LateInteractionScope(ScopeClassifier):
    """Judges by the encoder's own upper layers, trained to read query and prompt together.

    The paper's cross-attention classifier (section 3) without its price: the lower half of the
    encoder reads a query once, for its embedding and for all candidates alike, and an edit's
    prompt once for as long as it stays in the cache.

    Attributes:
        folder: Where ``compare.onnx`` and ``scope.onnx`` lie: what sets two texts beside each
            other, token by token, and the layers that then read them together.
        temperature: Divides the head's logit, so that scores are probabilities.
        bias: Added to it afterwards.
        glance: Weights of the five numbers of ``Words.resemblance`` (``models/words.py``), and a
            constant. A pair whose weighted sum is below 0 is out of scope, and neither text is
            read: most of what production hears. Without weights every pair is.
        exit: Stops between the two files where a pair is plainly out of scope by then: most of the
            strangers that a glance let pass, and many near misses. They score 0. None never stops.

    Example:
        >>> scope = LateInteractionScope.packaged()
        >>> near, far = scope.score([
        ...     ("Who's the current British PM?", "Who is the UK prime minister?"),
        ...     ("Who is the UK foreign minister?", "Who is the UK prime minister?"),
        ... ])
        >>> near > scope.threshold > far
        True
    """

    folder: Path = Field(exclude=True)
    temperature: float = Field(default=1.0, gt=0)
    bias: float = 0.0
    glance: tuple[float, ...] = ()
    exit: EarlyExit | None = Field(default=None, exclude=True, repr=False)

    @classmethod
    def packaged(cls) -> Self:
        """Return the classifier that ships."""
        return cls.load(FOLDER / "late-interaction-scope")

    @cached_property
    def _stages(self) -> tuple[InteractionHead, InteractionHead]:
        return InteractionHead(self.folder / COMPARE), InteractionHead(self.folder / HEAD)

    def score_pairs(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the probability that each query is in its candidate's scope."""
        scores = np.zeros(len(pairs))
        near = [*range(len(pairs))]
        if self.glance:
            near = np.flatnonzero(self.glances(pairs) >= 0).tolist()
        texts = [(pairs[place][0], pairs[place][1].edit.prompt) for place in near]
        logits = self._read(texts, self.exit) / self.temperature + self.bias
        scores[near] = np.exp(-np.logaddexp(0, -logits))
        found: list[float] = scores.tolist()
        return found

    def glances(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Return what a glance makes of each (query, candidate): below 0, it is not read."""
        *factors, constant = self.glance
        found: list[float] = []
        for query, row in groupby(pairs, key=itemgetter(0)):
            candidates = [candidate for _, candidate in row]
            prompts = [candidate.edit.prompt for candidate in candidates]
            similar = [candidate.similarity for candidate in candidates]
            found += (
                packaged_words().resemblance(query, prompts, similar) @ factors + constant
            ).tolist()
        return np.array(found)

    def compared(self, texts: Sequence[tuple[str, str]]) -> Iterator[list[Floats]]:
        """Yield what the first stage makes of each (query, prompt) pair.

        The query's tokens and the prompt's, (tokens, 384), and both in short, (1920,): what
        :attr:`exit` looks at.
        """
        return self._stages[0].read([query for query, _ in texts], [prompt for _, prompt in texts])

    def logits(self, texts: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Return what the head says of (query, prompt) pairs, read to the end, uncalibrated."""
        return self._read(texts, None)

    def _read(
        self, texts: Sequence[tuple[str, str]], exit: EarlyExit | None
    ) -> npt.NDArray[np.float64]:
        """Return the logits of pairs; of those that an exit stops, minus infinity."""
        logits = np.full(len(texts), -np.inf)
        if texts:  # or no weights need be there
            for place, (asked, told, pooled) in enumerate(self.compared(texts)):
                if exit is None or exit(pooled) >= 0:
                    logits[place] = self._stages[1].run(asked, told)[0][0]
        return logits

    def save(self, folder: str | Path) -> Path:
        """Write the weights beside the settings."""
        folder = super().save(folder)
        if folder.resolve() != self.folder.resolve():
            for stage in (COMPARE, HEAD):
                shutil.copy(self.folder / stage, folder / stage)
        (folder / EXIT).unlink(missing_ok=True)  # another head's must not stop this one
        if self.exit:
            self.exit.save(folder / EXIT)
        return folder

    @classmethod
    def _restored(cls, folder: Path, settings: dict[str, Any]) -> Self:
        path = folder / EXIT
        try:
            exit = EarlyExit.load(path) if path.is_file() else None
        except Exception as error:  # safetensors' own, a name, a shape: whatever ails the file
            raise ScopeError(
                f"Expected the weights of an early exit in {path}, got: {error}. Save the "
                "classifier again, or remove the file: it only saves time."
            ) from error
        return cls(folder=folder, **{"exit": exit, **settings})
