"""A perceptron of one hidden layer: one row or many, stored and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serac_retriever.models.perceptron import Perceptron


def test_it_says_the_same_of_a_row_alone_and_among_others_and_once_it_was_stored(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    shapes = (1920, 32), (32,), (32,), ()
    hidden, *rest = (rng.normal(size=shape) for shape in shapes)
    drawn = Perceptron(np.asfortranarray(hidden), *rest)
    rows = rng.normal(size=(5, 1920)).astype(np.float32)
    assert drawn(rows) == pytest.approx([float(drawn(row)) for row in rows], rel=1e-3, abs=1e-2)
    assert len({*drawn(rows).tolist()}) == 5
    drawn.save(tmp_path / "exit.safetensors")
    stored = Perceptron.load(tmp_path / "exit.safetensors")
    assert (stored(rows) == drawn(rows)).all()
    assert stored == drawn
    assert stored not in (Perceptron(drawn.hidden, drawn.hidden_bias, drawn.out, 1.0), "exit")
