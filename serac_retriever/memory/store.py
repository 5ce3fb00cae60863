"""Edits as records, told truthfully where Chroma is silent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from chromadb.api.models.Collection import Collection
from langchain_core.embeddings import Embeddings

from serac_retriever.edit import Candidate, Edit
from serac_retriever.errors import DuplicateEditError, EditNotFoundError
from serac_retriever.memory.connection import Connection
from serac_retriever.memory.encoder import embed
from serac_retriever.memory.layout import PAGE, Collections, T, page_of
from serac_retriever.memory.record import Malformed, brief, edit_of, metadata_of

Vectors = Sequence[Sequence[float]]
Raw = tuple[str | None, dict[str, Any]]  # a record's document and metadata
logger = logging.getLogger(__name__)


class Record(NamedTuple):
    """What stands in Chroma under an id, and where."""

    content: Edit | Malformed
    metadata: dict[str, Any]
    active: bool  # whether it stands in the queried collection


class Store(Collections):
    """The records of both collections."""

    def __init__(self, connection: Connection, name: str, embeddings: Embeddings) -> None:
        super().__init__(connection, name, embeddings)
        self._reported: set[Malformed] = set()

    def has_vectors_of_its_encoder(self) -> bool:
        """Say whether what is stored is as long as what the encoder makes of a text."""
        for collection in self.both:
            stored = collection.get(limit=1, include=["embeddings"])["embeddings"]
            if stored is not None and len(stored) > 0:
                return len(stored[0]) == len(embed(self.embeddings, ["length"])[0])
        return True

    def find(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return the records that these ids have. Active first: a move cut short leaves two."""
        found: dict[str, Record] = {}
        for collection in reversed(self.both):
            for batch in _batches(ids):
                page = collection.get(ids=[*batch], include=["documents", "metadatas"])
                found.update(self._records(page, collection))
        return found

    def everything(self) -> Iterator[Record]:
        """Go through all records, active ones first, in the order they were added."""
        seen: set[str] = set()
        for position in (0, 1):
            offset = 0
            while records := self.run(partial(self._read, position, offset)):
                offset += len(records)
                yield from (record for id, record in records.items() if id not in seen)
                seen.update(records)

    def _read(self, position: int, offset: int) -> dict[str, Record]:
        collection = self.both[position]
        return self._records(page_of(collection, offset), collection)

    def insert(self, edits: Sequence[Edit], vectors: Vectors) -> None:
        """Add edits that are new. Another process that was quicker with an id is found out.

        Raises:
            DuplicateEditError: It was; what it wrote stands.
        """
        for active, collection in zip((True, False), self.both, strict=True):
            rows = [
                row
                for row in zip(edits, vectors, strict=True)
                if (row[0].status == "active") is active
            ]
            for batch in _batches(rows):
                others = self._put(collection, batch)  # add() is silent about ids that exist
                if not active:
                    others |= _raw(self.active, [edit.id for edit, _ in batch])
                if others:
                    id, (document, metadata) = next(iter(others.items()))
                    raise DuplicateEditError(
                        f"Expected a new id, but another process added '{id}' meanwhile: it says "
                        f"{brief(edit_of(id, document, metadata))}. Update that edit, or give "
                        "another id."
                    )

    def _put(
        self, collection: Collection, rows: Sequence[tuple[Edit, Sequence[float]]]
    ) -> dict[str, Raw]:
        """Add records, without the lists they may inherit from a deleted collection's records.

        Returns:
            Of these ids, what stands there of another's making.
        """
        put = {edit.id: (edit, metadata_of(edit)) for edit, _ in rows}
        collection.add(
            ids=[*put],
            documents=[edit.prompt for edit, _ in rows],
            metadatas=[metadata for _, metadata in put.values()],
            embeddings=[vector for _, vector in rows],
        )
        others = {}
        for id, (document, metadata) in _raw(collection, [*put]).items():
            edit, own = put[id]
            mended = {key: own.get(key) for key, value in metadata.items() if type(value) is list}
            if mended:
                collection.update(ids=[id], metadatas=[mended])
            told = {k: v for k, v in {**metadata, **mended}.items() if v is not None}
            # the cheap question first: nearly always nobody else was there
            if (document, told) != (edit.prompt, own) and edit_of(id, document, told) != edit:
                others[id] = (document, told)
        return others

    def overwrite(self, id: str, old: Record, new: Edit, vector: Sequence[float] | None) -> None:
        """Replace a record; ``vector`` is needed only where the prompt changed."""
        here, there = self.both if old.active else reversed(self.both)
        if vector is not None:
            self._forget(old)
        fields = metadata_of(new)
        if old.active is (new.status == "active"):
            before = metadata_of(old.content) if isinstance(old.content, Edit) else {}
            changed = {key: value for key, value in fields.items() if before.get(key) != value}
            gone = {key: None for key in old.metadata if key not in fields}  # update() merges
            here.update(
                ids=[id],
                documents=[new.prompt] if vector else None,
                metadatas=[{**changed, **gone}],
                embeddings=[vector] if vector else None,
            )
            if not here.get(ids=[id], include=[])["ids"]:  # update() is silent about missing ids
                raise _gone(id)
            return
        if vector is None:
            stored = here.get(ids=[id], include=["embeddings"])["embeddings"]
            if stored is None or len(stored) == 0:
                raise _gone(id)
            vector = [float(number) for number in stored[0]]
        # written there before it is removed here: killed in between, it stands as it was
        there.delete(ids=[id])
        self._put(there, [(new, vector)])
        here.delete(ids=[id])

    def remove(self, id: str, old: Record) -> None:
        """Remove a record; the active one last, so that a cut leaves what counts."""
        for collection in reversed(self.both):
            collection.delete(ids=[id])
        self._forget(old)

    def _forget(self, old: Record) -> None:
        if self.states is not None and isinstance(old.content, Edit):
            self.states.forget([old.content.prompt])

    def query(self, vectors: Vectors, n: int) -> list[tuple[list[Candidate], bool]]:
        """Return, for each vector, the nearest n edits, and whether there may be more."""
        found = self.active.query(
            query_embeddings=vectors,  # type: ignore[arg-type]
            n_results=n,
            include=["documents", "metadatas", "distances"],
        )
        rows = []
        for ids, documents, metadatas, distances in zip(
            found["ids"],
            found["documents"] or [],
            found["metadatas"] or [],
            found["distances"] or [],
            strict=True,
        ):
            candidates = []
            for id, document, metadata, distance in zip(
                ids, documents, metadatas, distances, strict=True
            ):
                content = edit_of(id, document, metadata)
                if document is None and not metadata:
                    continue  # deleted between index and record
                if isinstance(content, Malformed):
                    self._report(content)
                else:
                    similarity = max(-1.0, min(1.0, 1.0 - distance))
                    candidates.append(Candidate(edit=content, similarity=similarity))
            rows.append((candidates, len(ids) == n))
        return rows

    def _report(self, malformed: Malformed) -> None:
        if malformed not in self._reported:
            self._reported.add(malformed)
            logger.warning(
                "Skipped record '%s' of collection '%s': %s",
                malformed.id,
                self.name,
                malformed.fault,
            )

    def _records(self, page: Any, collection: Collection) -> dict[str, Record]:
        active = collection.name == self.name
        rows = zip(page["ids"], page["documents"], page["metadatas"], strict=True)
        return {
            id: Record(edit_of(id, document, metadata), dict(metadata or {}), active)
            for id, document, metadata in rows
        }


def _gone(id: str) -> EditNotFoundError:
    return EditNotFoundError(
        f"Expected the id of an edit, got {id!r}, which another process deleted meanwhile."
    )


def _raw(collection: Collection, ids: Sequence[str]) -> dict[str, Raw]:
    page = collection.get(ids=[*ids], include=["documents", "metadatas"])
    rows = zip(page["ids"], page["documents"] or [], page["metadatas"] or [], strict=True)
    return {id: (document, {**(metadata or {})}) for id, document, metadata in rows}


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + PAGE] for start in range(0, len(items), PAGE))
