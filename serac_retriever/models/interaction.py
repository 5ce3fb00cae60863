"""Late interaction: a small ONNX head reads the token states of a query and an edit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serac_retriever.models import weights
from serac_retriever.models.encoder import PackagedEncoder, TokenStates, packaged_encoder

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

    def read(self, queries: Sequence[str], edits: Sequence[str]) -> Iterator[list[Floats]]:
        """Yield the head's outputs for each (query, edit) pair: see :meth:`run`."""
        asked, told = self.encoder.token_states(queries), self.encoder.token_states(edits)
        return map(self.run, asked, told)

    def run(self, query: Floats | TokenStates, edit: Floats | TokenStates) -> list[Floats]:
        """Return the head's outputs for one pair's states, each (tokens, width).

        Of a whole head its logits, and where it has them the span scores of the edit's tokens,
        (tokens, 2). One pair at a time: a batch is hardly faster, and a pair's score must not hang
        on the others. The scope head rounds a tensor's numbers by the tensor's own range.
        """
        inputs = {}
        for side, states in (("query", query), ("edit", edit)):
            inputs[side] = states[None].astype(np.float32)
            inputs[f"{side}_mask"] = np.ones((1, len(states)), dtype=np.float32)
        return [output[0] for output in self._session.run(None, inputs)]


class EarlyExit:
    """Tells a head when it need not read on: what it has compared so far is plainly no match.

    One hidden layer over a pair in short, as in DeeBERT (Xin et al., 2020).

    Args:
        hidden: Weights of the hidden layer, (numbers, units).
        hidden_bias: Added to them, (units,).
        out: Weights of the hidden units, (units,).
        constant: Added at last, ().
    """

    def __init__(self, hidden: Floats, hidden_bias: Floats, out: Floats, constant: Floats) -> None:
        self.hidden, self.hidden_bias = hidden, hidden_bias
        self.out, self.constant = out, constant

    def __call__(self, pooled: Floats) -> Floats:
        """Return what it makes of a pair in short, (numbers,), or of many, (pairs, numbers).

        Below 0 the head may stop.
        """
        units = (pooled @ self.hidden + self.hidden_bias).clip(min=0)
        found: Floats = units @ self.out + self.constant
        return found

    def __eq__(self, other: object) -> bool:
        """Say whether two have the same weights: so have classifiers loaded twice."""
        mine, others = vars(self), vars(other) if isinstance(other, EarlyExit) else {}
        return mine.keys() == others.keys() and all(
            np.array_equal(mine[name], others[name]) for name in mine
        )

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: Path) -> None:
        """Write it, in float16."""
        from safetensors.numpy import save_file

        save_file({name: value.astype(np.float16) for name, value in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> EarlyExit:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        return cls(**{name: value.astype(np.float32) for name, value in load_file(path).items()})
