"""The command in the repository makes the weights in the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serac_retriever.models import ENCODER_FOLDER
from serac_retriever.models.encoder import PackagedEncoder, packaged_encoder
from serac_retriever.models.words import Words, packaged_words

TEXTS = ["Who is the UK prime minister?", "Who wrote Emma?", "word " * 300, "🙂", ""]


@pytest.mark.slow
def test_exporting_anew_gives_the_committed_encoder(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "serac_retriever.training.export_encoder", "--out", str(tmp_path)],
        check=True,
    )
    assert {file.name for file in tmp_path.iterdir()} == {
        "encoder.onnx",
        "tokenizer.json",
        "words.safetensors",
    }
    committed = (ENCODER_FOLDER / "tokenizer.json").read_bytes()
    assert (tmp_path / "tokenizer.json").read_bytes() == committed
    difference = PackagedEncoder(tmp_path).encode(TEXTS) - packaged_encoder().encode(TEXTS)
    assert np.abs(difference).max() < 1e-6
    asked = ("Who is the UK prime minister?", TEXTS, [0.0] * len(TEXTS))
    anew, ours = Words(tmp_path).resemblance(*asked), packaged_words().resemblance(*asked)
    assert np.abs(anew - ours).max() < 0.02
