"""Token states outlast a process: prompts are read once, and whatever fails costs only time."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import chromadb
import numpy as np
import pytest

from serac_retriever import EditMemory
from serac_retriever.memory.state_file import FILE, StateFile
from serac_retriever.models.encoder import PackagedEncoder, packaged_encoder
from serac_retriever.models.token_states import TokenStates
from tests.encoders import WordEncoder

TEXTS = ["Who runs Oak House?", "谁是英国首相？", "a lone \ud800 surrogate", ""]


def some(number: float, tokens: int = 3) -> TokenStates:
    return TokenStates.of(np.full((tokens, 768), number, dtype=np.float32))


def same(one: TokenStates, other: TokenStates) -> bool:
    return one.to_bytes() == other.to_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


def test_states_that_were_put_are_found_by_another_process(path: Path) -> None:
    first = StateFile(path)
    first.put({text: some(place + 1, place) for place, text in enumerate(TEXTS)})
    first.put({TEXTS[0]: some(7)})  # the same text again: the later word counts
    first.close()
    found = StateFile(path).find([*TEXTS, "another"])
    assert found.keys() == set(TEXTS)
    assert same(found[TEXTS[0]], some(7))
    assert all(same(found[text], some(n + 1, n)) for n, text in enumerate(TEXTS) if n)


def test_looking_makes_no_file(path: Path) -> None:
    file = StateFile(path)
    assert file.find(TEXTS) == {}
    file.forget(TEXTS)
    file.forget()
    assert not path.exists()


def test_what_is_forgotten_is_gone_from_the_disk(path: Path) -> None:
    file = StateFile(path)
    secret = some(1.0)
    secret.numbers[:] = np.arange(384) % 100
    file.put({"the secret": secret, "another": some(2.0)})
    file.forget(["the secret", "never there"])
    assert file.find(["the secret", "another"]).keys() == {"another"}
    file.forget()
    assert file.find(["another"]) == {}
    file.close()
    assert secret.numbers[0, 0].tobytes() not in path.read_bytes()


def test_no_text_stands_in_it(path: Path) -> None:
    file = StateFile(path)
    file.put({"Zanzibar is the password": some(1)})
    file.close()
    assert b"Zanzibar" not in path.read_bytes()


def test_states_of_other_weights_are_not_found(path: Path) -> None:
    old = StateFile(path)
    with mock.patch("serac_retriever.memory.state_file._of_encoder", return_value=4711):
        old.put({"a": some(1)})
        assert old.find(["a"])
    old.close()
    assert StateFile(path).find(["a"]) == {}


@pytest.mark.parametrize("garbage", [b"no database", b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_file_is_begun_anew(
    path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(garbage)
    file = StateFile(path)
    assert file.find(["a"]) == {}
    assert "which was damaged" in caplog.text
    file.put({"a": some(1)})
    assert file.find(["a"]).keys() == {"a"}


def test_a_damaged_row_is_not_believed(path: Path) -> None:
    file = StateFile(path)
    file.put({"a": some(1)})
    with sqlite3.connect(path) as other:
        other.execute("UPDATE states SET states = x'0011'")
    other.close()
    assert file.find(["a"]) == {}


def test_a_file_that_cannot_be_written_is_told_once_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = StateFile(tmp_path / "no such folder" / FILE)
    for _ in range(2):
        file.put({"a": some(1)})
    assert file.find(["a"]) == {}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_closed_or_after_a_fork_it_does_nothing(path: Path) -> None:
    file = StateFile(path)
    file.put({"a": some(1)})
    with mock.patch("os.getpid", return_value=-1):
        file.put({"b": some(1)})
        assert file.find(["a"]) == {}
    assert file.find(["a", "b"]).keys() == {"a"}
    file.close()
    assert file.find(["a"]) == {}


def test_many_threads_may_share_it(path: Path) -> None:
    file = StateFile(path)

    def work(number: int) -> bool:
        file.put({f"text {number}": some(number, 1)})
        return same(file.find([f"text {number}"])[f"text {number}"], some(number, 1))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(80)))


# -- beside a memory -----------------------------------------------------------------------------


class Reading:
    """Counts the texts that the packaged encoder's model reads; its cache starts empty."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        encoder = packaged_encoder()
        read = encoder._read

        def counted(texts: list[str], states: bool = True) -> Any:
            self.texts += texts
            return read(texts, states)

        monkeypatch.setattr(encoder, "_read", counted)
        self.restart()

    def restart(self) -> None:
        """Forget what a new process would not know."""
        packaged_encoder()._kept.clear()
        packaged_encoder()._kept_bytes = 0
        self.texts.clear()


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


PROMPTS = ["Who runs Oak House?", "When does the east gate close?", "What is the fee for Lot 9?"]


def test_a_prompt_is_read_when_it_is_stored_and_never_again(
    tmp_path: Path, reading: Reading
) -> None:
    with EditMemory(tmp_path) as memory:
        memory.add(PROMPTS[0], "Ann")
        memory.add_many([{"prompt": prompt, "target": "x"} for prompt in PROMPTS[1:]])
    reading.restart()
    with EditMemory(tmp_path):
        anew = packaged_encoder().token_states(PROMPTS)
    assert reading.texts == []
    reading.restart()
    fresh = packaged_encoder().token_states(PROMPTS)  # no memory is open
    assert sorted(reading.texts) == sorted(PROMPTS)
    for one, other in zip(anew, fresh, strict=True):
        assert np.abs(one.floats() - other.floats()).max() <= 0.01 + one.scales.max()


def test_questions_are_not_kept(tmp_path: Path, reading: Reading) -> None:
    with EditMemory(tmp_path) as memory:
        memory.add(PROMPTS[0], "Ann")
        memory.search("Is my diagnosis in there?")
    assert StateFile(tmp_path / FILE).find([PROMPTS[0], "Is my diagnosis in there?"]).keys() == {
        PROMPTS[0]
    }


def test_states_go_when_their_prompt_goes(tmp_path: Path) -> None:
    with EditMemory(tmp_path) as memory:
        ids = [memory.add(prompt, "x").id for prompt in PROMPTS]
        memory.delete(ids[0])
        memory.update(ids[1], prompt="When does the west gate close?")
        memory.update(ids[2], target="y")
        memory.retire(ids[2])
        memory.add_many(
            [{"id": ids[1], "prompt": "When does it close?", "target": "x"}], replace=True
        )
    found = StateFile(tmp_path / FILE).find([*PROMPTS, "When does the west gate close?",
                                             "When does it close?"])  # fmt: skip
    assert found.keys() == {PROMPTS[2], "When does it close?"}


def test_a_reindex_reads_every_prompt_and_drops_what_is_left_of_others(tmp_path: Path) -> None:
    with EditMemory(tmp_path) as memory:
        kept, gone = memory.add(PROMPTS[0], "x").id, memory.add(PROMPTS[1], "x").id
        memory.collection.delete(ids=[gone])  # by Chroma's own client, which knows of no states
        memory.collection.add(ids=["stock"], documents=[PROMPTS[2]], metadatas=[{"target": "x"}])
        memory.reindex()
        assert memory.get(kept)
    found = StateFile(tmp_path / FILE).find(PROMPTS)
    assert found.keys() == {PROMPTS[0], PROMPTS[2]}


def test_an_encoder_of_ones_own_leaves_no_states(tmp_path: Path) -> None:
    for name, embeddings in (("words", WordEncoder()), ("own", PackagedEncoder())):
        with EditMemory(tmp_path / name, embeddings=embeddings) as memory:
            memory.add(PROMPTS[0], "x")
        assert not (tmp_path / name / FILE).exists()


def test_a_client_of_ones_own_keeps_them_in_its_folder_or_nowhere(tmp_path: Path) -> None:
    with EditMemory(chromadb.PersistentClient(str(tmp_path))) as memory:
        memory.add(PROMPTS[0], "x")
    assert (tmp_path / FILE).exists()
    with EditMemory(client=chromadb.EphemeralClient(), collection="no-states") as memory:
        memory.add(PROMPTS[0], "x")
        assert memory._store.states is None


def test_a_memory_answers_when_its_states_are_gone_or_broken(tmp_path: Path) -> None:
    with EditMemory(tmp_path) as memory:
        memory.add(PROMPTS[0], "Ann")
    (tmp_path / FILE).write_bytes(b"broken")
    with EditMemory(tmp_path) as memory:
        assert memory.search(PROMPTS[0])[0].edit.target == "Ann"
        assert len(packaged_encoder().token_states(["Who runs Ash House?"])) == 1
        assert memory.add(PROMPTS[1], "at six").target == "at six"
