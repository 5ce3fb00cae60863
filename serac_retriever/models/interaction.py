"""Late interaction: a small ONNX head reads the token states of a query and an edit together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serac_retriever.models import weights
from serac_retriever.models.encoder import BATCH, PackagedEncoder, TokenStates, packaged_encoder

Floats = npt.NDArray[np.float32]


class InteractionHead:
    """A head over the packaged encoder's token states.

    The encoder's lower half has read both texts already (for a query, that is a by-product of
    embedding it); the head's layers read them together.

    Args:
        path: The ONNX file that ``serac train`` wrote.
        encoder: Whose token states it was trained on: the packaged encoder.
        threads: onnxruntime threads.
    """

    def __init__(
        self, path: Path, encoder: PackagedEncoder | None = None, threads: int = 1
    ) -> None:
        self.path = path
        self.threads = threads
        self.encoder = encoder or packaged_encoder()

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        path = weights(self.path.parent, self.path.name)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def read(self, queries: Sequence[str], edits: Sequence[str]) -> list[list[Floats]]:
        """Return the head's outputs for each (query, edit) pair.

        Returns:
            For each pair its logits, and where the head has them the span scores of the edit's
            tokens, (tokens, 2).
        """
        asked, told = self.encoder.token_states(queries), self.encoder.token_states(edits)
        found: list[list[Floats]] = [[] for _ in queries]
        # pairs of like length together: little padding
        order = sorted(range(len(asked)), key=lambda i: (len(told[i]), len(asked[i])))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            query, query_mask = _padded([asked[row] for row in rows])
            edit, edit_mask = _padded([told[row] for row in rows])
            inputs = {"query": query, "query_mask": query_mask}
            inputs |= {"edit": edit, "edit_mask": edit_mask}
            outputs = self._session.run(None, inputs)
            for place, row in enumerate(rows):
                found[row] = [outputs[0][place]]
                found[row] += [output[place, : len(told[row])] for output in outputs[1:]]
        return found


def resemblance(query: TokenStates, edit: TokenStates) -> Floats:
    """Return how alike the tokens of two texts are, as ColBERT would see it: nine numbers.

    The cosine of the two texts; then, for the middle layer and the top one, how well a token of
    the query is matched by its best counterpart in the edit, on average and for the best three
    tokens, and the same from the edit's side.

    Args:
        query: Token states, (tokens, 768).
        edit: As ``query``.

    Example:
        >>> from serac_retriever.models.encoder import packaged_encoder
        >>> one, other = packaged_encoder().token_states(["Who wrote Emma?", "Emma's author"])
        >>> resemblance(one, other).shape
        (9,)
    """
    sides = [one.astype(np.float32) for one in (query, edit)]
    width = sides[0].shape[1] // 2
    found = [float(np.dot(*(_unit(one[:, width:].mean(axis=0)) for one in sides)))]
    # without the marks at both ends, which every text has
    words = [one[1:-1] if len(one) > 2 else one for one in sides]
    for half in (slice(0, width), slice(width, None)):
        similar = _unit(words[0][:, half]) @ _unit(words[1][:, half]).T
        for best in (similar.max(axis=1), similar.max(axis=0)):
            found += [best.mean(), np.sort(best)[-3:].mean()]
    return np.array(found, dtype=np.float32)


def resemblances(texts: Sequence[tuple[str, str]]) -> Floats:
    """Return :func:`resemblance` of pairs of texts, (pairs, 9), by the packaged encoder."""
    states = packaged_encoder().token_states([text for pair in texts for text in pair])
    return np.stack([resemblance(*pair) for pair in zip(states[::2], states[1::2], strict=True)])


def _unit(states: Floats) -> Floats:
    unit: Floats = states / np.linalg.norm(states, axis=-1, keepdims=True)
    return unit


def _padded(states: Sequence[TokenStates]) -> tuple[Floats, Floats]:
    longest = max(len(one) for one in states)
    padded = np.zeros((len(states), longest, states[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(states), longest), dtype=np.float32)
    for row, one in enumerate(states):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return padded, mask
