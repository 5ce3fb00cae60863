"""What lies in Chroma: flat records, two collections, an encoder remembered, moves cut short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chromadb
import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from serac_retriever import Edit
from serac_retriever.errors import (
    DuplicateEditError,
    EditMemoryError,
    EditNotFoundError,
    EncoderMismatchError,
)
from serac_retriever.memory import EditMemory
from serac_retriever.memory.layout import NEW, OLD, PAGE
from tests.encoders import WordEncoder

PROMPT = "Who is the UK prime minister?"
Open = Callable[..., EditMemory]


def raw(memory: EditMemory, end: str = "") -> Any:
    return memory.client.get_collection(f"{memory.collection.name}{end}", embedding_function=None)


def names(memory: EditMemory) -> set[str]:
    mine = memory.collection.name
    found = {collection.name for collection in memory.client.list_collections()}
    return {name.removeprefix(mine) for name in found if name.startswith(mine)}


# -- records -------------------------------------------------------------------------------


def test_a_record_is_the_prompt_and_flat_scalars_under_the_edit_s_own_names(
    memory: EditMemory,
) -> None:
    memory.add(
        PROMPT,
        "Keir Starmer",
        id="uk-pm",
        tags=("uk", "politics"),
        in_scope=[{"query": "British PM?"}],
        valid_until="2030-01-01",
        metadata={"team": "geo"},
    )
    record = raw(memory).get("uk-pm")
    assert record["documents"] == [PROMPT]
    (metadata,) = record["metadatas"]
    assert {key: metadata[key] for key in sorted(metadata) if not key.endswith("_at")} == {
        "in_scope": '[{"query": "British PM?"}]',
        "status": "active",
        "tags": "uk,politics",
        "target": "Keir Starmer",
        "team": "geo",
        "valid_until": "2030-01-01T00:00:00Z",
        "version": 1,
    }
    assert not any(isinstance(value, list) for value in metadata.values())


def test_only_active_edits_lie_in_the_queried_collection(memory: EditMemory) -> None:
    for status in ("active", "draft", "retired"):
        memory.add(f"Question {status}?", "x", id=f"an-{status}", status=status)
    assert raw(memory).get()["ids"] == ["an-active"]
    assert set(raw(memory, "-inactive").get()["ids"]) == {"an-draft", "an-retired"}
    memory.retire("an-active")
    memory.restore("an-draft")
    assert raw(memory).get()["ids"] == ["an-draft"]


def test_a_field_set_to_nothing_leaves_no_key_behind(memory: EditMemory) -> None:
    edit = memory.add(PROMPT, "x", note="a", metadata={"team": "geo"})
    memory.update(edit.id, note=None, metadata={})
    assert not {"note", "team"} & set(raw(memory).get(edit.id)["metadatas"][0])


def test_a_stock_client_s_lists_outlive_updates_of_other_fields(memory: EditMemory) -> None:
    memory.collection.add(
        ids=["mine"], documents=[PROMPT], metadatas=[{"target": "x", "cities": ["a", "b"]}]
    )
    memory.update("mine", target="y")
    (metadata,) = raw(memory).get("mine")["metadatas"]
    assert (metadata["target"], metadata["cities"]) == ("y", ["a", "b"])


def test_edits_inherit_nothing_from_records_of_a_deleted_collection(memory: EditMemory) -> None:
    # Chroma's delete_collection leaves list metadata behind (its issue 7594)
    other = memory.client.create_collection(
        f"{memory.collection.name}-other", embedding_function=None
    )
    lists = {"ghost": ["a", "b"], "tags": ["c"], "valid_until": ["d"]}
    other.add(ids=[str(n) for n in range(20)], embeddings=[[1.0, 0.0]] * 20, metadatas=[lists] * 20)
    memory.client.delete_collection(other.name)
    edits = [Edit(prompt=f"Question {n}?", target="x", tags=("mine",)) for n in range(10)]
    assert memory.add(edits[0]) == edits[0]
    assert len(memory.add_many(edits[1:]).added) == 9
    memory.retire(edits[3].id)
    assert memory.list(status="active") == edits[:3] + edits[4:]
    assert memory.get(edits[3].id).same_as(edits[3].revised(status="retired"))


def test_more_edits_than_a_page_are_all_read(memory: EditMemory) -> None:
    edits = [Edit(prompt=f"Question {n}?", target="x") for n in range(PAGE * 2 + 1)]
    memory.add_many(edits)
    assert memory.list(limit=None) == edits
    assert memory.list(limit=2, offset=PAGE - 1) == edits[PAGE - 1 : PAGE + 1]


# -- moves and races -----------------------------------------------------------------------


def test_an_id_that_stands_in_both_collections_counts_as_active(memory: EditMemory) -> None:
    edit = memory.add(PROMPT, "Keir Starmer")
    memory.add("Other?", "x", status="retired")  # the other collection now knows its dimension
    raw(memory, "-inactive").add(
        ids=[edit.id],
        embeddings=memory.embed([PROMPT]),
        documents=[PROMPT],
        metadatas=[{"target": "Keir Starmer", "status": "retired"}],
    )
    assert memory.get(edit.id) == edit
    assert memory.count("active") == 1
    assert memory.count() == 2
    memory.retire(edit.id)
    assert memory.search(PROMPT) == ()
    assert raw(memory, "-inactive").get(edit.id)["metadatas"][0]["version"] == 2
    memory.delete(edit.id)
    assert memory.count() == 1


@pytest.mark.parametrize("status", ["active", "draft"])  # of mine: theirs is in the way of both
def test_an_edit_that_another_process_added_meanwhile_is_not_claimed(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    mine, theirs = open_memory(), open_memory()
    embed = mine.embeddings.embed_documents

    def embed_slowly(texts: list[str]) -> list[list[float]]:
        theirs.add(PROMPT, "theirs")
        return embed(texts)

    monkeypatch.setattr(mine.embeddings, "embed_documents", embed_slowly)
    with pytest.raises(DuplicateEditError, match=r"another process added .* meanwhile.*'theirs'"):
        mine.add(PROMPT, "mine", status=status)
    assert theirs.get("who-is-the-uk-prime-minister").target == "theirs"


# -- the encoder ---------------------------------------------------------------------------


def test_another_encoder_is_refused_naming_both_and_the_way_out(open_memory: Open) -> None:
    open_memory().add(PROMPT, "Keir Starmer")
    with pytest.raises(EncoderMismatchError) as caught:
        open_memory(embeddings=WordEncoder(32)).search(PROMPT)
    message = str(caught.value)
    assert "'word-encoder-32'" in message
    assert "it remembers 'word-encoder-64'" in message
    assert "reindex=True" in message


def test_an_encoder_of_the_same_size_is_refused_too(open_memory: Open) -> None:
    open_memory().add(PROMPT, "Keir Starmer")
    with pytest.raises(EncoderMismatchError):
        open_memory(embeddings=WordEncoder(64, name="another")).count()


def test_an_encoder_that_changed_its_size_under_its_name_is_found_out(open_memory: Open) -> None:
    class Unnamed(WordEncoder):
        encoder_id = "always-the-same"

        def __init__(self, dimensions: int) -> None:
            super().__init__(dimensions)
            del self.__dict__["encoder_id"]

    open_memory(embeddings=Unnamed(64)).add(PROMPT, "Keir Starmer")
    memory = open_memory(embeddings=Unnamed(32))
    with pytest.raises(EncoderMismatchError, match="dimension"):
        memory.search(PROMPT)
    with pytest.raises(EncoderMismatchError, match="dimension"):
        memory.add("Other?", "x")


def test_reindexing_at_opening_mends_another_encoder(open_memory: Open) -> None:
    first = open_memory()
    kept = [
        first.add(PROMPT, "Keir Starmer", tags=("a",)),
        first.add("Capital of X?", "Y", status="retired"),
    ]
    first.collection.add(ids=["odd"], documents=["no target"])
    again = open_memory(embeddings=WordEncoder(32), reindex=True)
    assert again.list() == kept
    assert [record.id for record in again.malformed()] == ["odd"]
    assert again.search(PROMPT, k=1)[0].similarity > 0.99
    assert names(again) == {"", "-inactive"}
    assert open_memory(embeddings=WordEncoder(32)).count() == 2


def test_reindexing_at_opening_leaves_a_fitting_collection_alone(open_memory: Open) -> None:
    memory = open_memory()
    memory.add(PROMPT, "Keir Starmer")
    id = memory.collection.id
    assert open_memory(reindex=True).collection.id == id


def test_reindexing_an_empty_place_is_no_error(open_memory: Open) -> None:
    memory = open_memory(reindex=True)
    memory.reindex()
    memory.reindex(WordEncoder(32))
    memory.add(PROMPT, "Keir Starmer")
    assert len(memory.search(PROMPT)) == 1


def test_reindexing_takes_the_new_encoder_from_then_on(memory: EditMemory) -> None:
    memory.add(PROMPT, "Keir Starmer")
    done: list[int] = []
    new = WordEncoder(32)
    memory.reindex(new, progress=done.append)
    assert memory.embeddings is new
    assert sum(done) == 1
    assert memory.search(PROMPT)[0].similarity > 0.99


def test_reindexing_keeps_records_that_are_no_edits_as_they_are(memory: EditMemory) -> None:
    (vector,) = memory.embed(["x"])
    raw(memory).add(ids=["a"], embeddings=[vector], documents=["x"])
    raw(memory).add(ids=["b"], embeddings=[vector], metadatas=[{"target": "x"}])
    memory.reindex(WordEncoder(32))
    assert [record.id for record in memory.malformed()] == ["a", "b"]


@pytest.mark.parametrize("cut", [1, 2])
def test_an_interrupted_reindexing_leaves_everything_as_it_was(
    memory: EditMemory, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    kept = [memory.add(PROMPT, "a"), memory.add("Capital of X?", "Y", status="retired")]
    old, new = memory.embeddings, WordEncoder(32)
    calls = iter(range(1, 9))
    embed = new.embed_documents

    def interrupted(texts: list[str]) -> list[list[float]]:
        if next(calls) == cut:
            raise KeyboardInterrupt
        return embed(texts)

    monkeypatch.setattr(new, "embed_documents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        memory.reindex(new)
    assert memory.embeddings is old
    assert memory.list() == kept
    assert memory.search(PROMPT)[0].similarity > 0.99
    memory.reindex(new)
    assert memory.list() == kept
    assert memory.search(PROMPT)[0].similarity > 0.99
    assert names(memory) == {"", "-inactive"}


def test_a_rebuild_killed_while_renaming_is_undone_at_the_next_opening(open_memory: Open) -> None:
    memory = open_memory()
    kept = [memory.add(PROMPT, "a"), memory.add("Capital of X?", "Y", status="retired")]
    name = memory.collection.name
    for end in ("", "-inactive"):
        raw(memory, end).modify(name=f"{name}{end}{OLD}")
    memory.client.create_collection(f"{name}{NEW}")
    memory.close()
    again = open_memory()
    assert again.list() == kept
    again.reindex()
    assert again.list() == kept
    assert names(again) == {"", "-inactive"}


def test_a_rebuild_killed_while_renaming_can_be_rebuilt_at_once(open_memory: Open) -> None:
    memory = open_memory()
    kept = [memory.add(PROMPT, "a"), memory.add("Capital of X?", "Y", status="retired")]
    name = memory.collection.name
    for end in ("", "-inactive"):
        raw(memory, end).modify(name=f"{name}{end}{OLD}")
    memory.close()
    again = open_memory(embeddings=WordEncoder(32), reindex=True)
    assert again.list() == kept
    assert names(again) == {"", "-inactive"}


def test_another_memory_follows_when_one_is_reindexed(open_memory: Open) -> None:
    one, other = open_memory(), open_memory()
    kept = [one.add(PROMPT, "a"), one.add("Capital of X?", "Y", status="retired")]
    assert other.list() == kept
    one.reindex()
    assert other.list() == kept
    assert other.count() == 2
    assert other.malformed() == ()
    assert other.search(PROMPT, k=1)[0].edit == kept[0]
    assert other.update(kept[0].id, target="b").version == 2
    one.reindex(WordEncoder(32))
    with pytest.raises(EncoderMismatchError):
        other.search(PROMPT)


# -- collections that others made ----------------------------------------------------------


def test_a_stock_collection_of_squared_distances_is_refused_and_mended_by_reindexing(
    collection_name: str,
) -> None:
    client = chromadb.EphemeralClient()
    theirs = client.create_collection(collection_name)
    (vector,) = EditMemory(client=client).embed([PROMPT])
    theirs.add(
        ids=["a"], embeddings=[vector], documents=[PROMPT], metadatas=[{"target": "Keir Starmer"}]
    )
    with pytest.raises(EncoderMismatchError, match="compares by 'l2', not by cosine"):
        EditMemory(client=client, collection=collection_name)
    memory = EditMemory(client=client, collection=collection_name, reindex=True)
    assert memory.search("British prime minister", k=1)[0].edit.target == "Keir Starmer"


def test_a_stock_collection_of_the_default_encoder_and_cosine_is_taken_as_it_is(
    collection_name: str,
) -> None:
    client = chromadb.EphemeralClient()
    theirs = client.create_collection(collection_name, configuration={"hnsw": {"space": "cosine"}})
    memory = EditMemory(client=client, collection=collection_name)
    (vector,) = memory.embed([PROMPT])
    theirs.add(
        ids=["a"], embeddings=[vector], documents=[PROMPT], metadatas=[{"target": "Keir Starmer"}]
    )
    assert memory.collection.id == theirs.id
    assert memory.search("British prime minister", k=1)[0].edit.target == "Keir Starmer"


def test_a_collection_of_a_later_schema_is_refused(collection_name: str) -> None:
    client = chromadb.EphemeralClient()
    client.create_collection(collection_name, metadata={"serac_schema": 99})
    with pytest.raises(EditMemoryError, match=r"schema 99; this version reads 1.*Upgrade"):
        EditMemory(client=client, collection=collection_name)


def test_a_name_that_chroma_refuses_is_an_error_of_our_own() -> None:
    with pytest.raises(EditMemoryError, match="name"):
        EditMemory(client=chromadb.EphemeralClient(), collection="?")


def test_a_collection_is_found_among_many(open_memory: Open) -> None:
    memory = open_memory()
    memory.add(PROMPT, "Keir Starmer")
    for n in range(30):
        memory.client.create_collection(f"aaa-{memory.collection.name}-{n}")
    with pytest.raises(EncoderMismatchError):
        open_memory(embeddings=WordEncoder(32)).count()
    assert open_memory().count() == 1


class NumpyEncoder(Embeddings):
    """Returns what many home-made encoders return."""

    encoder_id = "numpy-words"

    def __init__(self, shape: str = "good") -> None:
        self.shape = shape

    def embed_documents(self, texts: list[str]) -> Any:
        vectors = np.array(WordEncoder().embed_documents(texts))
        return {"good": vectors, "short": vectors[1:], "nan": vectors * np.nan}[self.shape]

    def embed_query(self, text: str) -> Any:
        return self.embed_documents([text])[0]


def test_an_encoder_may_return_arrays(collection_name: str) -> None:
    client = chromadb.EphemeralClient()
    memory = EditMemory(client=client, collection=collection_name, embeddings=NumpyEncoder())
    memory.add("Who is it?", "me", id="who")
    assert memory.search("Who is it?")[0].similarity == pytest.approx(1, abs=1e-5)
    assert memory.update("who", prompt="Who was it?").version == 2


@pytest.mark.parametrize("shape", ["short", "nan"])
def test_vectors_that_are_none_are_refused_before_they_are_stored(
    collection_name: str, shape: str
) -> None:
    memory = EditMemory(
        client=chromadb.EphemeralClient(),
        collection=collection_name,
        embeddings=NumpyEncoder(shape),
    )
    with pytest.raises(EditMemoryError, match="vectors"):
        memory.add("Who is it?", "me")
    assert memory.count() == 0


@pytest.mark.parametrize("work", ["retire", "update"])
def test_an_edit_that_another_process_deletes_meanwhile_is_not_found(
    collection_name: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = chromadb.EphemeralClient()
    ours, theirs = (
        EditMemory(client=client, collection=collection_name, embeddings=WordEncoder())
        for _ in range(2)
    )
    ours.add("Who is it?", "me", id="who")
    find = ours._store.find

    def find_then_lose(ids: Any) -> Any:
        found = find(ids)
        theirs.collection.delete(ids=["who"])
        return found

    monkeypatch.setattr(ours._store, "find", find_then_lose)
    with pytest.raises(EditNotFoundError, match="deleted meanwhile"):
        ours.retire("who") if work == "retire" else ours.update("who", target="you")


class Named(WordEncoder):
    """An encoder whose vectors can grow while it keeps its name."""

    encoder_id = "named-words"

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        self.more = more

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[*vector, *[0.0] * self.more] for vector in super().embed_documents(texts)]


def test_reindexing_mends_vectors_of_another_length_under_the_same_encoder_id(
    collection_name: str,
) -> None:
    where = {"client": chromadb.EphemeralClient(), "collection": collection_name}
    EditMemory(**where, embeddings=Named()).add("Who is it?", "me", id="who")
    memory = EditMemory(**where, embeddings=Named(more=3), reindex=True)
    assert memory.search("Who is it?")[0].edit.id == "who"


def test_somebody_elses_collection_is_never_rebuilt(collection_name: str) -> None:
    client = chromadb.EphemeralClient()
    theirs = client.create_collection(collection_name, embedding_function=None)
    theirs.add(ids=["1"], documents=["a passage"], embeddings=[[0.1] * 8])
    with pytest.raises(EditMemoryError, match="somebody else's"):
        EditMemory(client=client, collection=collection_name, reindex=True)
    stored = client.get_collection(collection_name, embedding_function=None).get(
        include=["embeddings"]
    )["embeddings"]
    assert stored is not None
    assert len(stored[0]) == 8
