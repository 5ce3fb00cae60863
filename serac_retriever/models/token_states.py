"""What the encoder makes of each token of a text, kept small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

WIDTH = 384
LAYERS = 2  # half-way up and at the top
A_TOKEN = LAYERS * (WIDTH + 2)  # bytes

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TokenStates:
    """Token states as whole numbers of eight bits, with a scale for each token and layer.

    Rounding so moves a logit no more than the heads' own whole numbers do.

    Attributes:
        numbers: int8, (tokens, 2, 384), from -127 to 127.
        scales: float16, (tokens, 2, 1): what they are multiplied by.

    Example:
        >>> states = TokenStates.of(np.ones((5, 768), dtype=np.float32))
        >>> len(states), len(states.to_bytes()), round(float(states.floats().mean()), 2)
        (5, 3860, 1.0)
    """

    numbers: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]

    @classmethod
    def of(cls, states: Floats) -> Self:
        """Round states, (tokens, 768)."""
        halves = states.reshape(len(states), LAYERS, WIDTH)
        most = np.abs(halves).max(axis=2, keepdims=True, initial=0)
        scales = np.maximum(most / 127, 1e-4).astype(np.float16)
        numbers = np.rint(halves / scales.astype(np.float32)).clip(-127, 127)
        return cls(numbers.astype(np.int8), scales)

    def floats(self) -> Floats:
        """Return them as float32, (tokens, 768)."""
        whole: Floats = self.numbers.astype(np.float32) * self.scales
        return whole.reshape(len(self), LAYERS * WIDTH)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return len(self) * A_TOKEN

    def to_bytes(self) -> bytes:
        """Return what :meth:`from_bytes` reads."""
        return self.numbers.tobytes() + self.scales.tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what :meth:`to_bytes` returned. Raises ValueError where it cannot be that."""
        tokens, rest = divmod(len(stored), A_TOKEN)
        if rest:
            raise ValueError(f"expected a multiple of {A_TOKEN} bytes, got {len(stored)}")
        numbers = np.frombuffer(stored, np.int8, tokens * LAYERS * WIDTH)
        scales = np.frombuffer(stored, np.float16, offset=numbers.nbytes)
        return cls(numbers.reshape(tokens, LAYERS, WIDTH), scales.reshape(tokens, LAYERS, 1))


class StateStore(Protocol):
    """Where token states outlast a process. What fails in there is its own to tell."""

    def find(self, texts: list[str]) -> dict[str, TokenStates]:
        """Return the states of those texts that it has."""

    def put(self, found: dict[str, TokenStates]) -> None:
        """Keep the states of texts."""
