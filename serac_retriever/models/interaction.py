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


def _padded(states: Sequence[TokenStates]) -> tuple[Floats, Floats]:
    longest = max(len(one) for one in states)
    padded = np.zeros((len(states), longest, states[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(states), longest), dtype=np.float32)
    for row, one in enumerate(states):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return padded, mask
