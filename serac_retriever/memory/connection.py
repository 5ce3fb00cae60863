"""How Chroma is reached, and the lock that keeps a folder to one process."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import chromadb
import httpx
from chromadb.api import ClientAPI
from filelock import FileLock, Timeout

from serac_retriever.errors import ConfigError, MemoryLockedError, MemoryUnavailableError

LOCK_FILE = "serac.lock"
_held: dict[Path, FileLock] = {}  # a memory dropped without close() leaves its Chroma running


@dataclass
class Connection:
    """How to reach Chroma: a client that somebody built, or what it takes to build one."""

    path: Path | None = None
    client: ClientAPI | None = None
    host: str | None = None
    port: int = 8000
    ssl: bool = False
    headers: dict[str, str] | None = None
    timeout: float = 5.0

    def __post_init__(self) -> None:
        given = [name for name in ("path", "client", "host") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                "Expected exactly one of: a folder, client=, host=; "
                f"got {', '.join(given) or 'none'}. For example EditMemory('edits')."
            )
        if self.client is not None and not isinstance(self.client, ClientAPI):
            raise ConfigError(
                "Expected client= to be a Chroma client (EphemeralClient, PersistentClient, "
                f"HttpClient, CloudClient); got {type(self.client).__name__}. "
                "An AsyncHttpClient cannot be used: pass host= and port= instead."
            )

    @property
    def where(self) -> str:
        """What to call it in a message."""
        if self.host is not None:
            return f"{'https' if self.ssl else 'http'}://{self.host}:{self.port}"
        return str(self.path) if self.path is not None else "the given client"

    @property
    def folder(self) -> Path | None:
        """The folder of an embedded collection, which belongs to one process."""
        if self.client is not None:
            settings = self.client.get_settings()
            return Path(settings.persist_directory).resolve() if settings.is_persistent else None
        return self.path.resolve() if self.path is not None else None

    @property
    def in_process(self) -> bool:
        """Whether Chroma runs inside this process, so that no fork of it may go on."""
        if self.client is not None:
            return "http" not in type(getattr(self.client, "_server", None)).__module__
        return self.path is not None

    def open(self) -> ClientAPI:
        """Return a client. A server that does not answer within ``timeout`` seconds raises."""
        if self.client is not None:
            return self.client
        if self.path is not None:
            try:
                return chromadb.PersistentClient(str(self.path))
            except ValueError as error:  # one exists in this process, with other settings
                raise ConfigError(
                    f"Expected to open {self.path}, got: {error}. Pass that client: client="
                ) from error
        # Chroma's own connection waits for ever: ask first, and bound every later request
        try:
            beat = httpx.get(
                f"{self.where}/api/v2/heartbeat", headers=self.headers, timeout=self.timeout
            ).raise_for_status()
        except UnicodeError as error:
            raise ConfigError(f"Expected a host and headers that HTTP can send: {error}") from error
        if "heartbeat" not in beat.text:
            raise ConnectionError("what answers there is no Chroma server")
        client = self._built()
        session = getattr(getattr(client, "_server", None), "_session", None)
        if isinstance(session, httpx.Client):
            session.timeout = httpx.Timeout(self.timeout)
        return client

    def _built(self) -> ClientAPI:
        """Build the client of a server: it asks several things at once, and waits for ever."""
        built: Future[ClientAPI] = Future()

        def build() -> None:
            try:
                built.set_result(
                    chromadb.HttpClient(
                        host=self.host or "", port=self.port, ssl=self.ssl, headers=self.headers
                    )
                )
            except Exception as error:
                built.set_exception(error)

        Thread(target=build, name="serac-connect", daemon=True).start()
        try:
            return built.result(self.timeout)
        except ValueError as error:  # what a proxy says in place of Chroma
            raise ConnectionError(str(error)) from error


def lock_folder(folder: Path) -> FileLock:
    """Take the folder for this process; released when the process ends, however it ends.

    Raises:
        MemoryLockedError: Another process holds it.
        MemoryUnavailableError: It is no folder, or may not be written.
    """
    lock = FileLock(folder / LOCK_FILE, is_singleton=True, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:  # an OSError too: asked for first
        raise MemoryLockedError(
            f"Expected to be the only process on {folder}, but another one holds it; two would "
            "corrupt it. Close the other, or share the folder through a server: "
            f"chroma run --path {folder}, then EditMemory(host='localhost', port=8000)."
        ) from None
    except OSError as error:
        raise MemoryUnavailableError(
            f"Expected a folder that can be written at {folder}, got: {error}"
        ) from error
    _held[folder] = lock
    return lock
