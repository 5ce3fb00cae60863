"""Late interaction: a small ONNX head reads the token states of a query and an edit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from serac_retriever.models import weights
from serac_retriever.models.encoder import PackagedEncoder, packaged_encoder
from serac_retriever.models.token_states import Floats


class InteractionHead:
    """A head over the packaged encoder's token states.

    The encoder has read both texts already (for a query, that is a by-product of embedding it);
    the head's layers read them together.

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

    def read(self, queries: Sequence[str], edits: Sequence[str]) -> Iterator[list[Floats]]:
        """Yield the head's outputs for each (query, edit) pair: see :meth:`run`."""
        asked, told = self.encoder.token_states(queries), self.encoder.token_states(edits)
        for query, edit in zip(asked, told, strict=True):
            yield self.run(query.floats(), edit.floats())

    def run(self, query: Floats, edit: Floats) -> list[Floats]:
        """Return the head's outputs for one pair's states, each (tokens, width).

        Of a whole head its logits, and where it has them the span scores of the edit's tokens,
        (tokens, 2). One pair at a time: a batch is hardly faster, and a pair's score must not hang
        on the others. The scope head rounds a tensor's numbers by the tensor's own range.
        """
        inputs = {}
        for side, states in (("query", query), ("edit", edit)):
            inputs[side] = states[None]
            inputs[f"{side}_mask"] = np.ones((1, len(states)), dtype=np.float32)
        return [output[0] for output in self._session.run(None, inputs)]
