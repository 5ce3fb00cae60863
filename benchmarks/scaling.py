"""``python -m benchmarks.scaling``: several gate processes and a writer on one ``chroma run``."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.__main__ import write
from benchmarks.clock import machine
from benchmarks.gates import gate_on
from benchmarks.texts import distinct, everyday, generated, queries_of
from serac_retriever import EditMemory
from serac_retriever.errors import MemoryUnavailableError

OUT = Path(__file__).parent / "scaling.json"
STARTS = 60.0  # seconds that a server may take to answer
console = Console()


@dataclass(frozen=True)
class Scaling:
    """What several gate processes on one server do.

    Attributes:
        per_s: Decisions a second, by number of gate processes that are asked at once.
        writes: Edits that the writer added while all gates were being asked.
        seen: Of ``writes`` times the gates: at its next query, the gate answered from the edit.
        stored: Active edits at the end, of ``expected``.
        expected: What was loaded and written.
    """

    per_s: dict[int, float]
    writes: int
    seen: int
    stored: int
    expected: int


def measure(
    folder: Path, edits: int = 1_000, processes: int = 4, seconds: float = 10, writes: int = 50
) -> Scaling:
    """Serve a folder, open gates on it in processes of their own, and ask and write at once.

    Args:
        folder: An empty folder, for the server.
        edits: Loaded before anything is asked.
        processes: Gates.
        seconds: How long each number of gates is asked.
        writes: Edits added by another process while every gate answers queries.
    """
    stored = distinct(everyday("train"))[:edits]
    queries = [*queries_of(everyday("dev")), *queries_of(stored)][:: 1 + 4 * edits // 2_000]
    new, _ = generated(writes, seed=7)
    new = [edit.model_copy(update={"id": f"new-{n}"}) for n, edit in enumerate(distinct(new))]
    with served(folder) as port, EditMemory(host="127.0.0.1", port=port) as writer, _gates(
        port, processes
    ) as gates:  # fmt: skip
        writer.add_many(stored)
        _ask_all(gates, ("warm", queries[:4]))
        counts = [count for count in (1, 2, 4, 8) if count < processes] + [processes]
        per_s = {}
        for count in counts:
            answered = _ask_all(gates[:count], ("work", queries, seconds))
            per_s[count] = sum(answered) / seconds
        seen = 0
        for edit in new:
            writer.add(edit)  # acknowledged: from here on it counts
            # every gate is in the middle of other queries when the next one is this edit's own
            found = _ask_all(gates, ("next", queries[:3], edit.prompt))
            seen += sum(fired == edit.id for fired in found)
        stored_now = writer.count("active")
    return Scaling(per_s, len(new), seen, stored_now, len(stored) + len(new))


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Run a Chroma server on a folder and give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    chroma = Path(sys.executable).with_name("chroma")
    where = ["--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    silent = subprocess.DEVNULL
    server = subprocess.Popen(  # noqa: S603  (our own Chroma)
        [str(chroma), "run", *where], stdout=silent, stderr=silent
    )
    try:
        began = perf_counter()
        while True:
            try:
                with EditMemory(host="127.0.0.1", port=port) as memory:
                    memory.count()
                break
            except MemoryUnavailableError:
                if perf_counter() - began > STARTS or server.poll() is not None:
                    raise
                sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def _gates(port: int, count: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    with ExitStack() as ending:
        gates = []
        for _ in range(count):
            mine, theirs = context.Pipe()
            process = context.Process(target=_gate, args=(port, theirs), daemon=True)
            process.start()
            ending.callback(process.terminate)
            gates.append(mine)
        yield gates


def _ask_all(gates: Sequence[Connection], what: tuple[Any, ...]) -> list[Any]:
    """Let gates do something at once, and return what each of them says."""
    for gate in gates:
        gate.send(what)
    return [gate.recv() for gate in gates]


def _gate(port: int, told: Connection) -> None:
    """Be a gate process: stateless, it knows the server's address and nothing else."""
    with EditMemory(host="127.0.0.1", port=port) as memory:
        chain = gate_on(memory)
        while True:
            match told.recv():
                case ("warm", queries):
                    for query in queries:
                        chain.invoke(query)
                    told.send(None)
                case ("work", queries, seconds):
                    until, done = perf_counter() + seconds, 0
                    while perf_counter() < until:
                        chain.invoke(queries[done % len(queries)])
                        done += 1
                    told.send(done)
                case ("next", queries, query):
                    decision = chain.decide(query)
                    told.send(decision.edits[0].id if decision.fired else None)
                    for other in queries:
                        chain.invoke(other)


def main(
    edits: Annotated[int, typer.Option(help="Edits loaded first.")] = 1_000,
    processes: Annotated[int, typer.Option(help="Gate processes.")] = 4,
    seconds: Annotated[float, typer.Option(help="How long each number of gates is asked.")] = 10,
    writes: Annotated[int, typer.Option(help="Edits written meanwhile.")] = 50,
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = OUT,
) -> None:
    """Measure several stateless gate processes on one Chroma server."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = measure(Path(folder), edits, processes, seconds, writes)
    write(out, {**asdict(found), "machine": machine()})
    for count, rate in found.per_s.items():
        console.print(f"{count} gate process(es): {rate:.0f} decisions a second")
    console.print(
        f"{found.writes} edits written meanwhile; seen at the next query: {found.seen} of "
        f"{found.writes * processes}; stored in the end: {found.stored} of {found.expected}"
    )


if __name__ == "__main__":
    typer.run(main)
