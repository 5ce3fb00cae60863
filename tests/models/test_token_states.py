"""Token states in small: what is rounded off is little, and bytes come back as they went."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serac_retriever.models.token_states import A_TOKEN, TokenStates

STATES = arrays(
    np.float32,
    st.tuples(st.integers(0, 4), st.just(768)),
    elements=st.floats(-40, 40, width=16),
    fill=st.floats(-3, 3, width=16),
)


@given(STATES)
def test_no_number_moves_by_more_than_half_a_step_of_its_token_and_layer(
    states: np.ndarray,
) -> None:
    kept = TokenStates.of(states)
    assert len(kept) == len(states)
    halves = states.reshape(len(states), 2, 384)
    step = np.maximum(np.abs(halves).max(axis=2, keepdims=True, initial=0) / 127, 1e-4)
    moved = np.abs(kept.floats().reshape(halves.shape) - halves)
    assert (moved <= 0.6 * step + 1e-4).all()  # the step is itself rounded, to float16


@given(STATES)
def test_bytes_come_back_as_the_states_they_were(states: np.ndarray) -> None:
    kept = TokenStates.of(states)
    again = TokenStates.from_bytes(kept.to_bytes())
    assert (again.floats() == kept.floats()).all()
    assert len(kept.to_bytes()) == kept.nbytes == again.nbytes == len(states) * A_TOKEN


def test_bytes_that_are_no_states_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a multiple of 772 bytes, got 773"):
        TokenStates.from_bytes(b"x" * 773)
