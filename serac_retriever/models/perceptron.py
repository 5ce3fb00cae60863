"""A perceptron of one hidden layer: what the scope classifier asks before it reads on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Perceptron:
    """One hidden layer of rectified units over some numbers, and one number out.

    Args:
        hidden: Weights of the hidden layer, (numbers, units).
        hidden_bias: Added to them, (units,).
        out: Weights of the hidden units, (units,).
        constant: Added at last, ().

    Example:
        >>> ones = np.ones((2, 1), dtype=np.float32)
        >>> total = Perceptron(ones, ones[0], ones[0], np.float32(-3))
        >>> total(np.array([[1.0, 2.0], [-4.0, 1.0]])).tolist()
        [1.0, -3.0]
    """

    def __init__(
        self,
        hidden: npt.ArrayLike,
        hidden_bias: npt.ArrayLike,
        out: npt.ArrayLike,
        constant: npt.ArrayLike,
    ) -> None:
        # contiguous: safetensors writes an array's memory, whatever order it is in
        self.hidden, self.hidden_bias, self.out, self.constant = (
            np.array(part, dtype=np.float32, order="C")
            for part in (hidden, hidden_bias, out, constant)
        )

    def __call__(self, numbers: npt.ArrayLike) -> Floats:
        """Return what it makes of one row, (numbers,), or of many, (rows, numbers)."""
        units = (np.asarray(numbers, dtype=np.float32) @ self.hidden + self.hidden_bias).clip(min=0)
        found: Floats = units @ self.out + self.constant
        return found

    def __eq__(self, other: object) -> bool:
        """Say whether two have the same weights: so have those loaded twice."""
        mine, others = vars(self), vars(other) if isinstance(other, Perceptron) else {}
        return mine.keys() == others.keys() and all(
            np.array_equal(mine[name], others[name]) for name in mine
        )

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        from safetensors.numpy import save_file

        save_file(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> Perceptron:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        return cls(**load_file(path))
