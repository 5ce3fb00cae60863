"""How Chroma is reached: what is accepted, one process a folder, forks, proxies, lost servers."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import chromadb
import httpx
import pytest

from serac_retriever.errors import (
    ConfigError,
    EditMemoryError,
    MemoryUnavailableError,
)
from serac_retriever.memory import EditMemory
from tests.chroma_server import ChromaServer
from tests.encoders import WordEncoder

PROMPT = "Who is the UK prime minister?"
ROOT = Path(__file__).parents[2]
OPEN = """
import sys
from serac_retriever.errors import SeracError
from serac_retriever.memory import EditMemory
from tests.encoders import WordEncoder
try:
    print(EditMemory(sys.argv[1], embeddings=WordEncoder()).count())
except SeracError as error:
    print(type(error).__name__, error)
"""


def in_another_process(folder: Path) -> str:
    """Open a folder in another process; return what that said."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OPEN, folder],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


# -- arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({}, "got none"),
        ({"path": "x", "host": "y"}, "got path, host"),
        ({"client": chromadb.EphemeralClient, "host": "y"}, "got client, host"),
    ],
)
def test_exactly_one_place_must_be_given(arguments: dict[str, Any], got: str) -> None:
    with pytest.raises(ConfigError, match=got):
        EditMemory(**arguments)


def test_what_is_no_chroma_client_is_refused() -> None:
    with pytest.raises(ConfigError, match="got str"):
        EditMemory(client="localhost")  # type: ignore[arg-type]


def test_what_is_no_langchain_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"LangChain Embeddings, got function"):
        EditMemory(client=chromadb.EphemeralClient(), embeddings=lambda texts: [])  # type: ignore


def test_a_client_may_stand_in_the_place_of_a_folder(collection_name: str) -> None:
    client = chromadb.EphemeralClient()
    memory = EditMemory(client, collection=collection_name, embeddings=WordEncoder())
    assert memory.client is client


def test_any_client_that_chromadb_builds_will_do(
    tmp_path: Path, chroma_server: ChromaServer, collection_name: str
) -> None:
    for client in (
        chromadb.EphemeralClient(),
        chromadb.PersistentClient(str(tmp_path / "edits")),
        chroma_server.client(),
    ):
        with EditMemory(
            client=client, collection=collection_name, embeddings=WordEncoder()
        ) as memory:
            memory.add(PROMPT, "Keir Starmer")
            assert len(memory.search(PROMPT)) == 1


# -- folders -------------------------------------------------------------------------------


def test_a_folder_is_made_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with EditMemory("some/where", embeddings=WordEncoder()) as memory:
        memory.add(PROMPT, "Keir Starmer")
    with EditMemory("~/some/where", embeddings=WordEncoder()) as memory:
        assert memory.count() == 1


def test_what_is_no_folder_is_an_error_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for path in (tmp_path / "file", tmp_path / "file" / "edits"):
        with pytest.raises(MemoryUnavailableError, match="folder"):
            EditMemory(path, embeddings=WordEncoder())


def test_a_store_that_is_not_chroma_s_is_an_error_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"this is no database" * 1000)
    with pytest.raises(EditMemoryError):
        EditMemory(tmp_path, embeddings=WordEncoder())
    assert (tmp_path / "chroma.sqlite3").read_bytes().startswith(b"this is no database")


def test_a_second_process_on_a_folder_is_refused_and_shown_the_way_out(tmp_path: Path) -> None:
    with EditMemory(tmp_path, embeddings=WordEncoder()) as memory:
        memory.add(PROMPT, "Keir Starmer")
        said = in_another_process(tmp_path)
        assert said.startswith("MemoryLockedError")
        assert f"chroma run --path {tmp_path}" in said
        assert memory.count() == 1
    assert in_another_process(tmp_path) == "1"


def test_a_client_of_a_folder_locks_it_too(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path))
    with EditMemory(client=client, embeddings=WordEncoder()):
        assert in_another_process(tmp_path).startswith("MemoryLockedError")


def test_a_memory_that_was_dropped_and_not_closed_still_holds_its_folder(tmp_path: Path) -> None:
    # its Chroma lives on in this process, so that another one would corrupt the folder
    EditMemory(tmp_path, embeddings=WordEncoder()).add(PROMPT, "Keir Starmer")
    gc.collect()
    assert in_another_process(tmp_path).startswith("MemoryLockedError")


def test_the_last_of_two_memories_to_close_lets_the_folder_go(tmp_path: Path) -> None:
    one = EditMemory(tmp_path, embeddings=WordEncoder())
    other = EditMemory(tmp_path, collection="others", embeddings=WordEncoder())
    one.close()
    other.add(PROMPT, "Keir Starmer")
    assert in_another_process(tmp_path).startswith("MemoryLockedError")
    other.close()
    assert in_another_process(tmp_path) == "0"


def test_an_opening_that_fails_lets_the_folder_go(tmp_path: Path) -> None:
    EditMemory(tmp_path, embeddings=WordEncoder()).close()
    with pytest.raises(EditMemoryError):
        EditMemory(tmp_path, embeddings=WordEncoder(32))
    assert in_another_process(tmp_path) == "0"


# -- forks ---------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_a_fork(work: Callable[[], object]) -> str:
    """Do something in a fork of this process; return what came of it."""
    context = multiprocessing.get_context("fork")
    answer = context.Queue()

    def child() -> None:
        try:
            answer.put(repr(work()))
        except BaseException as error:
            answer.put(f"{type(error).__name__} {error}")

    process = context.Process(target=child)
    process.start()
    try:
        return str(answer.get(timeout=30))
    finally:
        process.join(30)


@needs_fork
def test_a_fork_may_not_use_an_embedded_memory(tmp_path: Path) -> None:
    with EditMemory(tmp_path, embeddings=WordEncoder()) as memory:
        memory.add(PROMPT, "Keir Starmer")
        for work in (memory.count, lambda: memory.search(PROMPT), lambda: memory.collection):
            said = in_a_fork(work)
            assert said.startswith("MemoryLockedError")
            assert "chroma run" in said
        assert memory.count() == 1
        assert in_another_process(tmp_path).startswith("MemoryLockedError")


@needs_fork
def test_a_fork_may_leave_a_memory_and_its_parent_keeps_it(tmp_path: Path) -> None:
    with EditMemory(tmp_path, embeddings=WordEncoder()) as memory:
        memory.add(PROMPT, "Keir Starmer")
        assert in_a_fork(memory.close) == "None"
        assert memory.count() == 1
        assert in_another_process(tmp_path).startswith("MemoryLockedError")


@needs_fork
def test_a_fork_may_not_use_an_ephemeral_memory(local_memory: EditMemory) -> None:
    assert in_a_fork(local_memory.count).startswith("MemoryLockedError")


@needs_fork
def test_forks_of_a_memory_on_a_server_each_talk_for_themselves(
    chroma_server: ChromaServer, collection_name: str
) -> None:
    memory = chroma_server.memory(collection=collection_name, embeddings=WordEncoder())
    memory.add(PROMPT, "Keir Starmer")
    parents = memory.client
    assert in_a_fork(lambda: memory.client is parents) == "False"
    assert in_a_fork(lambda: memory.add("Capital of X?", "Y").id) == "'capital-of-x'"
    assert memory.count() == 2


# -- servers -------------------------------------------------------------------------------


def test_a_memory_on_a_server_can_be_built_before_the_server_runs(tmp_path: Path) -> None:
    server = ChromaServer(tmp_path / "data")
    memory = server.memory(embeddings=WordEncoder())
    with pytest.raises(MemoryUnavailableError, match="chroma run"):
        memory.add(PROMPT, "Keir Starmer")
    server.start()
    try:
        memory.add(PROMPT, "Keir Starmer")
        assert memory.search(PROMPT)[0].edit.target == "Keir Starmer"
    finally:
        server.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_may_end_between_two_queries_and_come_back(
    own_server: ChromaServer, end: str
) -> None:
    memory = own_server.memory(embeddings=WordEncoder())
    edit = memory.add(PROMPT, "Keir Starmer")
    assert memory.search(PROMPT)[0].edit == edit
    getattr(own_server, end)()
    for use in (lambda: memory.search(PROMPT), memory.count, lambda: memory.retire(edit.id)):
        with pytest.raises(MemoryUnavailableError, match=f"{own_server.host}:{own_server.port}"):
            use()
    own_server.start()
    assert memory.search(PROMPT)[0].edit == edit
    assert memory.update(edit.id, target="Ed Davey").version == 2


def test_a_given_client_s_server_may_end_and_come_back_too(own_server: ChromaServer) -> None:
    memory = EditMemory(client=own_server.client(), embeddings=WordEncoder())
    memory.add(PROMPT, "Keir Starmer")
    own_server.stop()
    with pytest.raises(MemoryUnavailableError):
        memory.search(PROMPT)
    own_server.start()
    assert memory.search(PROMPT)[0].edit.target == "Keir Starmer"


def test_a_server_that_hangs_is_given_up_after_the_timeout(own_server: ChromaServer) -> None:
    memory = own_server.memory(embeddings=WordEncoder(), timeout=1)
    memory.add(PROMPT, "Keir Starmer")
    own_server.freeze()
    began = time.monotonic()
    for _ in range(2):  # on the connection there was, and on a new one
        with pytest.raises(MemoryUnavailableError, match="Timeout"):
            memory.search(PROMPT)
    assert time.monotonic() - began < 4
    own_server.thaw()
    assert memory.search(PROMPT)[0].edit.target == "Keir Starmer"


def test_what_is_no_chroma_server_is_said_to_be_none() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        memory = EditMemory(host="127.0.0.1", port=server.server_port, embeddings=WordEncoder())
        with pytest.raises(MemoryUnavailableError, match="404"):
            memory.count()
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def ailing() -> Iterator[tuple[int, dict[str, bool]]]:
    """A proxy whose Chroma has a heartbeat and nothing else: a port, and whether it hangs."""
    state = {"hangs": False}
    over = threading.Event()

    class Ailing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            beats = "heartbeat" in self.path
            if not beats and state["hangs"]:
                over.wait(20)
            self.send_response(200 if beats else 503)
            self.end_headers()
            self.wfile.write(b'{"nanosecond heartbeat": 1}' if beats else b"upstream is gone")

        do_POST = do_GET

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ailing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, state
    over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_proxy_whose_chroma_ails_is_unavailable_within_the_timeout(
    ailing: tuple[int, dict[str, bool]], hangs: bool
) -> None:
    port, state = ailing
    state["hangs"] = hangs
    memory = EditMemory(host="127.0.0.1", port=port, timeout=1, embeddings=WordEncoder())
    began = time.monotonic()
    with pytest.raises(MemoryUnavailableError):
        memory.count()
    assert time.monotonic() - began < 4


@pytest.fixture
def proxy(chroma_server: ChromaServer) -> Iterator[tuple[int, threading.Event]]:
    """A proxy before the server that asks for a token: its port, and whether it is revoked."""
    revoked = threading.Event()

    class Guard(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if revoked.is_set() or self.headers.get("X-Token") != "secret":
                self.send_error(401)
                return
            url = f"http://{chroma_server.host}:{chroma_server.port}{self.path}"
            kind = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            reply = httpx.request(self.command, url, content=body, headers=kind)
            self.send_response(reply.status_code)
            self.send_header("Content-Type", reply.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        do_GET = do_POST = do_PUT = do_DELETE = forward

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, revoked
    server.shutdown()
    server.server_close()


def test_headers_reach_a_proxy_with_every_request(
    proxy: tuple[int, threading.Event], collection_name: str
) -> None:
    port, revoked = proxy
    given: dict[str, Any] = {
        "host": "127.0.0.1", "port": port, "collection": collection_name,
        "embeddings": WordEncoder(),
    }  # fmt: skip
    memory = EditMemory(**given, headers={"X-Token": "secret"})
    memory.add(PROMPT, "Keir Starmer")
    assert memory.search(PROMPT)[0].edit.target == "Keir Starmer"
    with pytest.raises(MemoryUnavailableError, match="401"):
        EditMemory(**given, headers={"X-Token": "guess"}).count()
    revoked.set()
    with pytest.raises(MemoryUnavailableError, match="401"):  # in the midst of its life, too
        memory.count()
    revoked.clear()
    assert memory.count() == 1


def test_headers_that_http_cannot_send_are_an_error() -> None:
    memory = EditMemory(host="127.0.0.1", port=1, headers={"X": "€"}, embeddings=WordEncoder())
    with pytest.raises(ConfigError, match="headers"):
        memory.count()


def test_a_folder_open_with_other_settings_is_an_error_that_says_so(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(tmp_path, chromadb.Settings(allow_reset=True))
    with pytest.raises(ConfigError, match="client="):
        EditMemory(tmp_path, embeddings=WordEncoder())
    client.close()


def test_a_web_server_that_is_no_chroma_is_unavailable() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(MemoryUnavailableError):
            EditMemory(host="127.0.0.1", port=server.server_port).count()
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("host", ["localhost:8765", "not a host"])
def test_a_host_that_is_none_is_unavailable(host: str) -> None:
    with pytest.raises(MemoryUnavailableError):
        EditMemory(host=host).count()


@pytest.mark.parametrize("path", ["", "  ", 5])
def test_a_folder_that_is_none_is_an_error(path: Any) -> None:
    with pytest.raises(ConfigError, match="folder"):
        EditMemory(path)


@pytest.mark.parametrize("name", ["edits-inactive", None])
def test_the_name_of_the_inactive_edits_collection_is_taken(name: Any) -> None:
    with pytest.raises(ConfigError, match="-inactive"):
        EditMemory(client=chromadb.EphemeralClient(), collection=name)


def test_an_unknown_status_is_an_error(memory: EditMemory) -> None:
    with pytest.raises(ConfigError, match="draft, active or retired"):
        memory.list(status="bogus")  # type: ignore[arg-type]
