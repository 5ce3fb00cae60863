"""EditMemory: edits in a Chroma collection, and the truth about each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from langchain_core.embeddings import Embeddings

from serac_retriever.edit import Candidate, Edit
from serac_retriever.errors import (
    ConfigError,
    DuplicateEditError,
    EditMemoryError,
    EditNotFoundError,
    EncoderMismatchError,
)
from serac_retriever.memory.connection import Connection
from serac_retriever.memory.encoder import embed
from serac_retriever.memory.loading import LoadReport, load
from serac_retriever.memory.record import Malformed, brief
from serac_retriever.memory.store import Record, Store
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.suites import write_suite

if TYPE_CHECKING:
    from langchain_chroma import Chroma

    from serac_retriever.memory.retriever import EditRetriever

Status = Literal["draft", "active", "retired"]
Vectors = list[list[float]]
Edits = list[Edit]  # inside the class, ``list`` is a method
Ids = list[str]
MOST = 1_000_000  # candidates of a query
MARGIN = 4  # fetched beyond k, for candidates that may not fire now


class EditMemory:
    """The edit memory of the paper's section 3, as a Chroma collection.

    Prompts are embedded with ``embed_documents``, and so are queries: both are things a user
    might say, and a batch of queries costs one call.

    Args:
        path: A folder for an embedded collection (or a Chroma client). One process at a time. What
            the packaged encoder made of the prompts is kept there, too, some 10 KB an edit.
        client: Any client that chromadb builds: Ephemeral, Persistent, Http or Cloud.
        host: A Chroma server. It is reached at first use, so an outage does not stop a start.
        port: The server's port.
        ssl: Whether the server speaks https.
        headers: Sent with every request to the server.
        timeout: Seconds to wait for the server given by ``host``.
        collection: Its name.
        embeddings: Any LangChain ``Embeddings``; the packaged all-MiniLM-L6-v2 unless given.
        reindex: Rebuild the collection if it was built with another encoder; a function is called
            with the number of records done since its last call.

    Raises:
        ConfigError: None, or more than one, of path, client and host is given.
        MemoryLockedError: Another process holds the folder.
        EncoderMismatchError: The collection was built with another encoder.

    Example:
        >>> import chromadb
        >>> memory = EditMemory(client=chromadb.EphemeralClient(), collection="doc-memory")
        >>> memory.add("Who is the UK prime minister?", "Keir Starmer").id
        'who-is-the-uk-prime-minister'
        >>> memory.search("Who's the current British PM?")[0].edit.target
        'Keir Starmer'
    """

    def __init__(
        self,
        path: str | Path | ClientAPI | None = None,
        *,
        client: ClientAPI | None = None,
        host: str | None = None,
        port: int = 8000,
        ssl: bool = False,
        headers: dict[str, str] | None = None,
        timeout: float = 5.0,
        collection: str = "edits",
        embeddings: Embeddings | None = None,
        reindex: bool | Callable[[int], None] = False,
    ) -> None:
        if isinstance(path, ClientAPI):
            path, client = None, client or path
        if embeddings is not None and not isinstance(embeddings, Embeddings):
            raise ConfigError(
                "Expected embeddings= to be a LangChain Embeddings, "
                f"got {type(embeddings).__name__}."
            )
        if path is not None and not (isinstance(path, str | Path) and str(path).strip()):
            raise ConfigError(f"Expected a folder or a Chroma client, got {path!r}.")
        if not isinstance(collection, str) or collection.endswith("-inactive"):
            raise ConfigError(
                f"Expected a collection's name that does not end in -inactive, got {collection!r}."
            )
        folder = Path(path).expanduser() if path is not None else None
        connection = Connection(folder, client, host, port, ssl, headers, timeout)
        self._store = Store(connection, collection, embeddings or packaged_encoder())
        try:
            if reindex:
                progress = reindex if callable(reindex) else None
                self.reindex(progress=progress, only_if_needed=True)
            elif host is None:
                self._store.run(lambda: self._store.both)
        except BaseException:
            self._store.close()
            raise

    def __repr__(self) -> str:
        return f"EditMemory({self._store.connection.where!r}, collection={self._store.name!r})"

    def __enter__(self) -> EditMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder. Using the memory afterwards is an error."""
        self._store.close()

    @property
    def collection(self) -> Collection:
        """The Chroma collection of active edits. What its client writes counts at once."""
        return self._store.run(lambda: self._store.active)

    @property
    def client(self) -> ClientAPI:
        """The Chroma client."""
        return self._store.client

    @property
    def embeddings(self) -> Embeddings:
        """The encoder."""
        return self._store.embeddings

    # -- writing ---------------------------------------------------------------------------

    def add(self, prompt: str | Edit, target: str | None = None, **fields: Any) -> Edit:
        """Store one edit and return it. It can fire from the next query on.

        Args:
            prompt: The descriptor, or a whole Edit.
            target: What to say.
            **fields: Any other field of :class:`Edit`.

        Raises:
            InvalidEditError: A field is not what it must be.
            DuplicateEditError: Its id, given or derived from the prompt, exists already.
        """
        if isinstance(prompt, Edit):
            if target is not None or fields:
                raise ConfigError("Expected an Edit alone, or a prompt with its fields; got both.")
            edit = prompt
        else:
            edit = Edit.model_validate({"prompt": prompt, "target": target, **fields})
        with self._store.writing:
            known = self._store.run(lambda: self._store.find([edit.id])).get(edit.id)
            if known is not None:
                raise DuplicateEditError(
                    f"Expected a new id, but '{edit.id}' exists already and says "
                    f"{brief(known.content)}. Update that edit, or give another id."
                )
            vectors = self._store.embed([edit.prompt])
            self._store.run(lambda: self._store.insert([edit], vectors))
        return edit

    def add_many(
        self,
        edits: Iterable[Edit | Mapping[str, Any]],
        *,
        on_error: Literal["abort", "skip"] = "abort",
        replace: bool = False,
        progress: bool = False,
    ) -> LoadReport:
        """Store many edits, embedded in batches. Interrupted, run it again: nothing lands twice.

        Args:
            edits: Edits, or mappings with the fields of one.
            on_error: ``abort``: nothing lands unless every edit is good. ``skip``: bad ones are
                reported and the rest lands.
            replace: Whether an edit whose id exists with other content replaces that content;
                otherwise it is an error.
            progress: Show a progress bar on stderr.

        Returns:
            The ids that were added, replaced or there already, and what failed.

        Raises:
            SuiteError: Under ``abort``, the first faults, with their line numbers.
        """
        return load(self._store, edits, on_error=on_error, replace=replace, progress=progress)

    def import_file(
        self,
        path: str | Path,
        *,
        on_error: Literal["abort", "skip"] = "abort",
        replace: bool = False,
        progress: bool = False,
    ) -> LoadReport:
        """Store the edits of a suite (JSONL), or of a CSV with columns prompt and target.

        See :meth:`add_many` for arguments and result; faults name their line.
        """
        return load(self._store, Path(path), on_error=on_error, replace=replace, progress=progress)

    def update(self, id: str, /, **changes: Any) -> Edit:
        """Change fields of an edit and return it, its version one higher.

        Raises:
            EditNotFoundError: No edit has this id.
            InvalidEditError: A field is not what it must be.
        """
        if "id" in changes:
            raise ConfigError("Expected fields other than id: delete the edit and add it anew.")
        with self._store.writing:
            record = self._require(id)
            old = self._edit(record)
            new = old.revised(**changes)
            vector = None if new.prompt == old.prompt else self._store.embed([new.prompt])[0]
            self._store.run(lambda: self._store.overwrite(id, record, new, vector))
        return new

    def retire(self, id: str) -> Edit:
        """Stop an edit from firing, and keep it. Raises EditNotFoundError."""
        return self.update(id, status="retired")

    def restore(self, id: str) -> Edit:
        """Let a retired or draft edit fire again. Raises EditNotFoundError."""
        return self.update(id, status="active")

    def delete(self, id: str) -> None:
        """Remove an edit, or a malformed record, for good. Raises EditNotFoundError."""
        with self._store.writing:
            record = self._require(id)
            self._store.run(lambda: self._store.remove(id, record))

    def reindex(
        self,
        embeddings: Embeddings | None = None,
        *,
        progress: Callable[[int], None] | None = None,
        only_if_needed: bool = False,
    ) -> None:
        """Embed every record anew, with another encoder if one is given.

        Interrupted, the collection stands as it was. What other processes write meanwhile may be
        lost.

        Args:
            embeddings: The encoder from now on.
            progress: Called with the number of records done since the last call.
            only_if_needed: Leave a collection alone that already has the memory's own encoder.
        """
        if only_if_needed and embeddings is None:
            with suppress(EncoderMismatchError):
                if self._store.run(self._store.has_vectors_of_its_encoder):
                    return
        with self._store.writing, self._store.failing_honestly():
            self._store.rebuild(embeddings or self.embeddings, progress or (lambda _: None))

    # -- reading ---------------------------------------------------------------------------

    def get(self, id: str) -> Edit:
        """Return one edit, whatever its status.

        Raises:
            EditNotFoundError: No edit has this id.
            EditMemoryError: The record is malformed.
        """
        return self._edit(self._require(id))

    def list(
        self,
        *,
        status: Status | None = None,
        tag: str | None = None,
        author: str | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> Edits:
        """Return edits page by page, active ones first, in the order they were added.

        Args:
            status: Only these; all unless given.
            tag: Only edits that carry this tag.
            author: Only this author's.
            limit: At most this many; None for all.
            offset: Leave out this many first.
        """
        if offset < 0 or (limit is not None and limit < 0):
            raise ConfigError(f"Expected limit and offset from 0 up, got {limit} and {offset}.")
        chosen = (
            edit
            for edit in self._edits(status)
            if (tag is None or tag in edit.tags) and (author is None or author == edit.author)
        )
        return [*islice(chosen, offset, None if limit is None else offset + limit)]

    def count(self, status: Status | None = None) -> int:
        """Return how many edits there are, of one status or of all. Malformed records count not."""
        return sum(1 for _ in self._edits(status))

    def malformed(self) -> tuple[Malformed, ...]:
        """Return the records that are no edits, each with what is wrong."""
        return tuple(found for found in self._contents() if isinstance(found, Malformed))

    def export_file(self, path: str | Path, *, status: Status | None = None) -> int:
        """Write edits as a suite (JSONL), or as CSV where the name ends so. Return how many."""
        return write_suite(path, self._edits(status))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts as this memory does: one call, one vector of floats a text."""
        return embed(self.embeddings, texts) if texts else []

    def nearest(self, vectors: Vectors, k: int = 8) -> tuple[tuple[Candidate, ...], ...]:
        """Return, for each vector, up to k edits that could fire now, most similar first.

        One Chroma query in all, unless so many near edits are out of their dates that it must
        ask for more.
        """
        if not vectors:
            return ()
        if not 1 <= k <= MOST:
            raise ConfigError(f"Expected k from 1 to {MOST:,}, got {k}.")
        wanted = k + MARGIN
        while True:
            rows = self._store.run(partial(self._store.query, vectors, wanted))
            firing = [[c for c in found if c.edit.can_fire()] for found, _ in rows]
            if not any(
                len(kept) < k and more for kept, (_, more) in zip(firing, rows, strict=True)
            ):
                return tuple(tuple(kept[:k]) for kept in firing)
            wanted *= 4

    def search(self, query: str, k: int = 8) -> tuple[Candidate, ...]:
        """Return up to k edits that could fire now, most similar to the query first."""
        return self.nearest(self.embed([query]), k)[0]

    # -- doors to LangChain ----------------------------------------------------------------

    def as_retriever(self, **fields: Any) -> EditRetriever:
        """Return the memory as a LangChain retriever; ``k=`` and the rest are its fields."""
        from serac_retriever.memory.retriever import EditRetriever

        return EditRetriever(memory=self, **fields)

    def as_vectorstore(self) -> Chroma:
        """Return the collection of active edits as langchain-chroma's ``Chroma``."""
        from langchain_chroma import Chroma

        return Chroma(
            client=self.client,
            collection_name=self.collection.name,
            embedding_function=self.embeddings,
        )

    # -- inside ----------------------------------------------------------------------------

    def _edits(self, status: Status | None = None) -> Iterator[Edit]:
        if status not in (None, "draft", "active", "retired"):
            raise ConfigError(f"Expected status draft, active or retired, got {status!r}.")
        for content in self._contents():
            if isinstance(content, Edit) and status in (None, content.status):
                yield content

    def _contents(self) -> Iterator[Edit | Malformed]:
        return (record.content for record in self._store.everything())

    def _edit(self, record: Record) -> Edit:
        if isinstance(record.content, Malformed):
            raise EditMemoryError(
                f"Record '{record.content.id}' is no edit. {record.content.fault}. "
                "Mend it with Chroma's client, or delete it."
            )
        return record.content

    def _require(self, id: str) -> Record:
        record = None
        if isinstance(id, str) and not re.search("[\ud800-\udfff]", id):  # what Chroma could hold
            record = self._store.run(lambda: self._store.find([id])).get(id)
        if record is None:
            raise EditNotFoundError(
                f"Expected the id of an edit, got {id!r:.80}, which {self!r} does not hold. "
                "See list() for what it holds."
            )
        return record
