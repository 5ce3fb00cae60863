"""Two Chroma collections behind one name: how they are reached, made, checked and rebuilt.

Active edits live in the queried collection; drafts and retired ones in ``<name>-inactive``, so
that the hot path needs no ``where`` filter (41 ms at 10,000 rows against 3 ms without).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import httpx
from chromadb.api import ClientAPI
from chromadb.api.collection_configuration import CreateHNSWConfiguration
from chromadb.api.models.Collection import Collection
from chromadb.errors import ChromaError, InvalidDimensionException, NotFoundError
from filelock import FileLock
from langchain_core.embeddings import Embeddings

from serac_retriever.errors import (
    EditMemoryError,
    EncoderMismatchError,
    MemoryLockedError,
    MemoryUnavailableError,
)
from serac_retriever.memory.connection import Connection, lock_folder
from serac_retriever.memory.encoder import embed, embedding_function
from serac_retriever.memory.record import Malformed, edit_of
from serac_retriever.memory.state_file import FILE, StateFile
from serac_retriever.models.encoder import encoder_id, packaged_encoder

SCHEMA = 1
NEW, OLD = "-reindex", "-before-reindex"  # names a collection has while it is being rebuilt
PAGE = 300  # records a request: what every Chroma accepts, its cloud too
# Chroma's own settings may miss the very text that is asked for where many vectors are all but
# equally near (a bag-of-words encoder, 1,536 edits worded alike: 29 %; these 1 %, 0.3 ms a query)
INDEX: CreateHNSWConfiguration = {
    "space": "cosine",
    "max_neighbors": 48,
    "ef_construction": 400,
    "ef_search": 400,
}
T = TypeVar("T")


class Collections:
    """Two Chroma collections behind one name, opened when needed and opened again when lost."""

    def __init__(self, connection: Connection, name: str, embeddings: Embeddings) -> None:
        self.connection = connection
        self.name = name
        self.embeddings = embeddings
        self.writing = threading.RLock()
        self._client: ClientAPI | None = None
        self._collections: dict[str, Collection] = {}
        self._lock: FileLock | None = None
        self._process = os.getpid()
        self._closed = False
        self.states: StateFile | None = None
        if connection.folder is not None:
            self._lock = lock_folder(connection.folder)
            self.states = StateFile(connection.folder / FILE)
            packaged_encoder().read_from(self.states)

    def close(self) -> None:
        """Let go of the folder and of every handle."""
        self._closed = True
        if os.getpid() != self._process and self.connection.in_process:
            return  # a fork: they are its parent's, and closing them here would wait for ever
        if self.states is not None:
            self.states.close()
        self._collections.clear()
        if self._client is not None and self.connection.client is None:
            close = getattr(self._client, "close", None)
            if close is not None:
                close()
        self._client = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def client(self) -> ClientAPI:
        """The Chroma client, opened at first use."""
        if self._closed:
            raise EditMemoryError(f"The memory at {self.connection.where} is closed. Open another.")
        if os.getpid() != self._process:
            self._after_fork()
        if self._client is None:
            with self.failing_honestly():
                self._client = self.connection.open()
        return self._client

    def _after_fork(self) -> None:
        if self.connection.in_process:
            raise MemoryLockedError(
                f"Expected process {self._process}, which opened {self.connection.where}; got its "
                f"fork {os.getpid()}. Open the memory after forking, or use a Chroma server: "
                "chroma run --path FOLDER."
            )
        self._lose_connection()  # parent and child must not talk over one socket
        self.writing = threading.RLock()
        self._process = os.getpid()

    def embed(
        self, prompts: Sequence[str], embeddings: Embeddings | None = None
    ) -> list[list[float]]:
        """Embed prompts that are to be stored; in a folder, their token states stay there, too."""
        embeddings = embeddings or self.embeddings
        packaged = embeddings is packaged_encoder()  # whose token states the packaged models read
        return embed(embeddings, prompts, self.states if packaged else None)

    @property
    def active(self) -> Collection:
        """The queried collection."""
        return self._collection(self.name)

    @property
    def inactive(self) -> Collection:
        """Drafts and retired edits."""
        return self._collection(f"{self.name}-inactive")

    @property
    def both(self) -> tuple[Collection, Collection]:
        """Active first: an id that stands in both (a move was cut short) counts as active."""
        return self.active, self.inactive

    def run(self, work: Callable[[], T]) -> T:
        """Do something with the collections; if they were replaced meanwhile, once more."""
        with self.failing_honestly():
            self.client  # noqa: B018  (closed or forked: handles must not be touched)
            try:
                return work()
            except NotFoundError:
                self._collections.clear()
                return work()

    @contextmanager
    def failing_honestly(self) -> Iterator[None]:
        """Turn what Chroma and the network raise into errors of our own."""
        try:
            yield
        except EditMemoryError:
            raise
        except InvalidDimensionException as error:
            raise self._mismatch(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, ConnectionError, TimeoutError) as error:
            self._lose_connection()
            raise self._unreachable(error) from error
        except ChromaError as error:
            if "dimension" in str(error):
                raise self._mismatch(str(error)) from error
            raise EditMemoryError(f"Chroma at {self.connection.where} refused: {error}") from error
        except Exception as error:
            # Chroma's client has no type for what a proxy answers in its place
            a_proxy = isinstance(error.__context__, httpx.HTTPStatusError)
            if not a_proxy and "Could not connect" not in str(error):
                raise
            self._lose_connection()
            raise self._unreachable(error) from error

    def _lose_connection(self) -> None:
        self._collections.clear()
        if self.connection.client is None:
            self._client = None

    def _unreachable(self, error: Exception) -> MemoryUnavailableError:
        return MemoryUnavailableError(
            f"Expected a Chroma server at {self.connection.where}, got "
            f"{type(error).__name__}: {error}. Start it with: chroma run --path FOLDER"
        )

    def _mismatch(self, detail: str) -> EncoderMismatchError:
        return EncoderMismatchError(
            f"Collection '{self.name}' at {self.connection.where} was built with another encoder "
            f"than '{encoder_id(self.embeddings)}': {detail}. Open it with its own encoder, or "
            "rebuild it: serac reindex, or EditMemory(..., reindex=True)."
        )

    def _collection(self, name: str) -> Collection:
        found = self._collections.get(name)
        if found is None:  # kept in a local: another thread may lose the connection meanwhile
            found = self._collections[name] = self._open(name)
        return found

    def _open(self, name: str) -> Collection:
        # Chroma raises on an encoder it was not built with; ours is the better message
        self._check(self._stored(name) or self.create(name, self.embeddings))
        return self.client.get_collection(
            name, embedding_function=embedding_function(self.embeddings)
        )

    def _stored(self, name: str) -> Collection | None:
        """Return a collection that exists, after undoing a renaming that was cut short."""
        for own in (name, f"{name}{OLD}"):
            with suppress(NotFoundError):
                found = self.client.get_collection(own, embedding_function=None)
                if own != name:
                    found.modify(name=name)
                return found
        return None

    def create(self, name: str, embeddings: Embeddings) -> Collection:
        """Create a collection that remembers its encoder and compares by cosine."""
        return self.client.get_or_create_collection(
            name,
            configuration={"hnsw": INDEX},
            metadata={"serac_schema": SCHEMA, "serac_encoder": encoder_id(embeddings)},
            embedding_function=embedding_function(embeddings),
        )

    def _check(self, found: Collection) -> None:
        facts = found.metadata or {}
        schema = facts.get("serac_schema", SCHEMA)
        if schema != SCHEMA:
            raise EditMemoryError(
                f"Collection '{found.name}' has schema {schema}; this version reads {SCHEMA}. "
                "Upgrade serac-retriever."
            )
        config = found.configuration_json
        theirs = facts.get("serac_encoder")
        if theirs is None:  # made with Chroma's own client
            known = (config.get("embedding_function") or {}).get("name")
            mine = embedding_function(self.embeddings).name()
            theirs = encoder_id(self.embeddings) if known == mine else known or "none recorded"
        if theirs != encoder_id(self.embeddings):
            raise self._mismatch(f"it remembers '{theirs}'")
        space = (config.get("hnsw") or config.get("spann") or {}).get("space")
        if space != "cosine":
            raise self._mismatch(f"it compares by '{space}', not by cosine")

    def _refuse_what_is_not_ours(self) -> None:
        """Raise where a collection that was not made here holds something that is no edit."""
        found = self._stored(self.name)
        if found is None or "serac_schema" in (found.metadata or {}):
            return
        offset = 0
        while (page := page_of(found, offset))["ids"]:
            offset += len(page["ids"])
            rows = zip(page["ids"], page["documents"], page["metadatas"], strict=True)
            if any(isinstance(edit_of(*row), Malformed) for row in rows):
                raise EditMemoryError(
                    f"Expected collection '{self.name}' to hold edits before rebuilding it; got "
                    "records that are none. It seems to be somebody else's: name another."
                )

    def rebuild(self, embeddings: Embeddings, done: Callable[[int], None]) -> None:
        """Embed every record anew, malformed ones too, and swap the collections.

        Interrupted, the old collections still stand; the next rebuild starts over.
        """
        self._refuse_what_is_not_ours()
        if self.states is not None:
            self.states.forget()  # what is left of edits that others deleted
        rebuilt = []
        for name in (self.name, f"{self.name}-inactive"):
            old = self._stored(name)
            for leftover in (f"{name}{NEW}", f"{name}{OLD}"):
                with suppress(NotFoundError):
                    self.client.delete_collection(leftover)
            if old is None:
                continue
            new = self.create(f"{name}{NEW}", embeddings)
            rebuilt.append((name, old, new))
            offset = 0
            while (page := page_of(old, offset))["ids"]:
                offset += len(page["ids"])
                documents = [document or "" for document in page["documents"]]
                new.add(
                    ids=page["ids"],
                    documents=documents,
                    metadatas=page["metadatas"],
                    embeddings=self.embed(documents, embeddings),  # type: ignore[arg-type]
                )
                done(len(page["ids"]))
        for name, old, new in rebuilt:
            old.modify(name=f"{name}{OLD}")
            new.modify(name=name)
            self.client.delete_collection(f"{name}{OLD}")
        self.embeddings = embeddings
        self._collections.clear()


def page_of(collection: Collection, offset: int) -> Any:
    """Return one page of records, with documents and metadata."""
    return collection.get(limit=PAGE, offset=offset, include=["documents", "metadatas"])
