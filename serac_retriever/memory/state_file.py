"""Token states of stored prompts, in a file beside an embedded collection."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TypeVar

from serac_retriever.models import ENCODER_FOLDER, weights
from serac_retriever.models.token_states import TokenStates

FILE = "token-states.sqlite3"
T = TypeVar("T")
logger = logging.getLogger(__name__)


class StateFile:
    """Keeps what the packaged encoder made of prompts, so that it is made once.

    Derived data: a text is found by its fingerprint, so nothing in here can be out of date, and
    the file may be deleted at any time. Whatever fails is logged and costs time, never an answer.

    Args:
        path: The file; made when first written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._closed = False

    def find(self, texts: Sequence[str]) -> dict[str, TokenStates]:
        """Return the states of those texts that it has."""
        names = {_fingerprint(text): text for text in texts}

        def found(file: sqlite3.Connection) -> dict[str, TokenStates]:
            rows = (
                file.execute("SELECT * FROM states WHERE text = ?", (name,)).fetchone()
                for name in names
            )
            return {names[row[0]]: TokenStates.from_bytes(row[1]) for row in rows if row}

        return self._with_file(found, {}) if self._connection or self.path.exists() else {}

    def put(self, found: dict[str, TokenStates]) -> None:
        """Keep the states of texts."""
        rows = [(_fingerprint(text), states.to_bytes()) for text, states in found.items()]

        def write(file: sqlite3.Connection) -> None:
            file.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", rows)

        self._with_file(write, None)

    def forget(self, texts: Sequence[str] | None = None) -> None:
        """Remove what was kept of some texts, or of all: their bytes are overwritten."""

        def remove(file: sqlite3.Connection) -> None:
            if texts is None:
                file.execute("DELETE FROM states")
            else:
                rows = [(_fingerprint(text),) for text in texts]
                file.executemany("DELETE FROM states WHERE text = ?", rows)

        if self._connection or self.path.exists():
            self._with_file(remove, None)

    def close(self) -> None:
        """Let go of the file, for good."""
        with self._lock:
            self._closed = True
            self._drop()

    def _with_file(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            if self._closed or os.getpid() != self._process:  # SQLite must not cross a fork
                return otherwise
            try:
                self._connection = self._connection or self._open()
                with self._connection:
                    return work(self._connection)
            except sqlite3.OperationalError as error:  # a full disk, a folder that went away
                logger.warning("Does without the token states in %s: %s", self.path, error)
                self._closed = True
                self._drop()
            except (sqlite3.Error, ValueError) as error:
                logger.warning("Begins %s anew, which was damaged: %s", self.path, error)
                self._drop()
                for end in ("", "-wal", "-shm"):
                    with suppress(OSError):
                        self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            return otherwise

    def _open(self) -> sqlite3.Connection:
        file = sqlite3.connect(self.path, check_same_thread=False)
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute("PRAGMA secure_delete = ON")
        with file:
            if file.execute("PRAGMA user_version").fetchone() != (_of_encoder(),):
                file.execute("DROP TABLE IF EXISTS states")  # another encoder's
                file.execute(f"PRAGMA user_version = {_of_encoder()}")
            file.execute("CREATE TABLE IF NOT EXISTS states (text BLOB PRIMARY KEY, states BLOB)")
        return file

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _fingerprint(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


@cache
def _of_encoder() -> int:
    """Return a number that other weights would not have."""
    stored = weights(ENCODER_FOLDER, "encoder.onnx")
    with open(stored, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=4)).digest()
    return int.from_bytes(digest) // 2  # SQLite keeps it in 31 bits
