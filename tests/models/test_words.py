"""Word pieces at a glance: cheap, bounded, and blind to everything but the words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever.errors import WeightsNotFoundError
from serac_retriever.models.words import Words, packaged_words

PM = "Who is the UK prime minister?"
TEXTS = st.text(max_size=60)


def test_the_same_words_match_in_full_whatever_their_order() -> None:
    [same, turned] = packaged_words().resemblance(PM, [PM, "The UK prime minister is who?"], [1, 1])
    assert same[1:3] == pytest.approx([1, 1], abs=1e-3)
    assert turned == pytest.approx(same, abs=1e-3)


def test_a_rare_word_in_common_counts_for_more_than_a_common_one() -> None:
    rare, common = packaged_words().resemblance(
        "Is Kazakhstan big?", ["Kazakhstan exports", "Is it far?"], [0, 0]
    )
    assert rare[3] > 2 * common[3]


def test_a_synonym_counts_for_something() -> None:
    near, far = packaged_words().resemblance("the car", ["the automobile", "the parsley"], [0, 0])
    assert near[1] > far[1]


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=4))
def test_any_texts_can_be_compared_and_each_on_its_own(query: str, texts: list[str]) -> None:
    cosines = [0.5] * len(texts)
    together = packaged_words().resemblance(query, texts, cosines)
    assert together.shape == (len(texts), 7)
    assert np.isfinite(together).all()
    assert (together[:, 1:3] <= 1 + 1e-3).all()
    for row, text in zip(together, texts, strict=True):
        alone = packaged_words().resemblance(query, [text], [0.5])[0]
        assert alone == pytest.approx(row, abs=1e-4)


def test_it_says_how_long_either_text_is() -> None:
    [seen] = packaged_words().resemblance("the car", ["the red car of the mayor"], [0])
    assert seen[5:] == pytest.approx([np.log(2), np.log(6)])


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"words\.safetensors"):
        Words(tmp_path).resemblance("a", ["b"], [0])


def test_of_a_long_text_only_what_is_read_is_kept() -> None:
    words = Words()
    long = [f"{n} " + "a b " * 100_000 for n in range(3)]
    words.resemblance(long[0], long, [0.0] * 3)
    alike = [f"{n} " + "a b " * 90_000 for n in range(3)]
    words.resemblance(alike[0], alike, [0.0] * 3)
    assert words._pieces.cache_info().currsize == 3
