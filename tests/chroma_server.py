"""A real `chroma run` process that tests may stop, hang, kill and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chromadb
import httpx
from chromadb.api import ClientAPI

from serac_retriever.memory import EditMemory

HOST = "127.0.0.1"


class ChromaServer:
    """A Chroma server over a folder. It keeps its port, and its data, from one start to the next.

    Example:
        server = ChromaServer(tmp_path)
        server.start()
        memory = server.memory(collection="mine")
        server.stop()
    """

    host = HOST

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        assert self._process is None, "it runs already"
        chroma = Path(sys.executable).with_name("chroma")
        command = [chroma, "run", "--path", self.folder, "--host", HOST, "--port", str(self.port)]
        log = (self.folder.parent / f"chroma-{self.port}.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"chroma run ended: {Path(log.name).read_text()}"
            try:
                if httpx.get(f"http://{HOST}:{self.port}/api/v2/heartbeat", timeout=5).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise TimeoutError(f"chroma run did not answer: {Path(log.name).read_text()}")

    def stop(self) -> None:
        """Ask the server to end, as an administrator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hang: connections are accepted, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> ClientAPI:
        """Return a Chroma client of one's own, as another process would have."""
        return chromadb.HttpClient(host=HOST, port=self.port)

    def memory(self, **fields: Any) -> EditMemory:
        """Return an EditMemory on this server."""
        return EditMemory(host=HOST, port=self.port, **fields)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)  # a frozen process would not hear of its end
        self._process.send_signal(sign)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
