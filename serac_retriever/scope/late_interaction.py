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

from serac_retriever.edit import Edit, stated
from serac_retriever.errors import ScopeError
from serac_retriever.models import FOLDER
from serac_retriever.models.interaction import InteractionHead
from serac_retriever.models.perceptron import Perceptron
from serac_retriever.models.token_states import Floats
from serac_retriever.models.words import packaged_words
from serac_retriever.scope.calibration import Pair
from serac_retriever.scope.classifier import ScopeClassifier

COMPARE, HEAD = "compare.onnx", "scope.onnx"
TRAINABLE = "scope.safetensors"  # what training goes on from
LONGEST = 200  # characters of a target: more says hardly more about what was asked
ASKED_FIRST = {"glance": 7, "exit": 1920}  # fields and files, and how many numbers each looks at


class LateInteractionScope(ScopeClassifier):
    """Judges by the encoder's own upper layers, trained to read query and prompt together.

    The paper's cross-attention classifier (section 3) without its price: the frozen encoder reads
    a query once, for its embedding and for all candidates alike, and an edit's prompt once for as
    long as it stays in the cache.

    Attributes:
        folder: Where ``compare.onnx`` and ``scope.onnx`` lie: what sets two texts beside each
            other, token by token, and the layers that then read them together.
        temperature: Divides the head's logit, so that scores are probabilities.
        bias: Added to it afterwards.
        second_look: Where the head's logit lies between these two it is not sure, and reads the
            pair again, the edit with its target; the mean of both counts. The target tells what
            was asked ("6 weeks": how long). None never looks again.
        glance: Looks at the seven numbers of ``Words.resemblance`` (``models/words.py``). Below 0 a
            pair is out of scope and neither text is read: most of what production hears. None
            reads every pair.
        exit: Looks at what the first file makes of a pair. Below 0 it is out of scope and the
            second is not asked: most of the strangers that the glance let pass, and many near
            misses (an early exit, as in DeeBERT, Xin et al., 2020). None never stops.

    Together they are a cascade (Viola and Jones, 2001); what either stops scores 0.

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
    second_look: tuple[float, float] | None = None
    glance: Perceptron | None = Field(default=None, exclude=True, repr=False)
    exit: Perceptron | None = Field(default=None, exclude=True, repr=False)

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
            near = np.flatnonzero(self.glance(self.resemblance(pairs)) >= 0).tolist()
        logits = self.judged([pairs[place] for place in near], self.exit)
        scores[near] = np.exp(-np.logaddexp(0, -(logits / self.temperature + self.bias)))
        found: list[float] = scores.tolist()
        return found

    def resemblance(self, pairs: Sequence[Pair]) -> Floats:
        """Return how alike the words of each (query, candidate) are: what :attr:`glance` sees."""
        found = [np.zeros((0, 7), dtype=np.float32)]
        for query, row in groupby(pairs, key=itemgetter(0)):
            candidates = [candidate for _, candidate in row]
            prompts = [candidate.edit.prompt for candidate in candidates]
            similar = [candidate.similarity for candidate in candidates]
            found.append(packaged_words().resemblance(query, prompts, similar))
        return np.concatenate(found)

    def compared(self, texts: Sequence[tuple[str, str]]) -> Iterator[list[Floats]]:
        """Yield what the first stage makes of each (query, prompt) pair.

        The query's tokens and the prompt's, (tokens, 384), and both in short, (1920,): what
        :attr:`exit` looks at.
        """
        return self._stages[0].read([query for query, _ in texts], [prompt for _, prompt in texts])

    def judged(
        self, pairs: Sequence[Pair], exit: Perceptron | None = None
    ) -> npt.NDArray[np.float64]:
        """Return what the head says of pairs in the end, uncalibrated.

        Those that an exit stops have minus infinity.
        """
        logits = self._read([(query, near.edit.prompt) for query, near in pairs], exit)
        if self.second_look is not None:
            low, high = self.second_look
            unsure = np.flatnonzero((low < logits) & (logits < high)).tolist()
            whole = {place: _with_target(pairs[place][1].edit) for place in unsure}
            again = {
                place: (pairs[place][0], text)
                for place, text in whole.items()
                if text != pairs[place][1].edit.prompt
            }
            logits[[*again]] = (logits[[*again]] + self._read([*again.values()], None)) / 2
        return logits

    def logits(self, texts: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Return what the head says of (query, prompt) pairs, read to the end, uncalibrated."""
        return self._read(texts, None)

    def _read(
        self, texts: Sequence[tuple[str, str]], exit: Perceptron | None
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
            if (trainable := self.folder / TRAINABLE).is_file():
                shutil.copy(trainable, folder / TRAINABLE)
        for name in ASKED_FIRST:
            (folder / f"{name}.safetensors").unlink(missing_ok=True)  # another head's are not its
            if (perceptron := getattr(self, name)) is not None:
                perceptron.save(folder / f"{name}.safetensors")
        return folder

    @classmethod
    def _restored(cls, folder: Path, settings: dict[str, Any]) -> Self:
        return cls(
            folder=folder, **{name: _stored(folder, name) for name in ASKED_FIRST}, **settings
        )


def _with_target(edit: Edit) -> str:
    return stated(edit.prompt, edit.target[:LONGEST])


def _stored(folder: Path, name: str) -> Perceptron | None:
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        return None
    try:
        found = Perceptron.load(path)
        found(np.zeros(ASKED_FIRST[name]))
    except Exception as error:  # safetensors' own, a name, a shape: whatever ails the file
        raise ScopeError(
            f"Expected the weights of a classifier's {name} in {path}, got: {error}. Save the "
            "classifier again, or remove the file: it only saves time."
        ) from error
    return found
