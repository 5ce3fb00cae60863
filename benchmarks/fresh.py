"""What is measured in processes of their own: imports, commands, loading."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import typer

from serac_retriever.edit import Edit
from serac_retriever.suites import write_suite

IMPORT = """
from time import perf_counter
began = perf_counter()
import serac_retriever
print(perf_counter() - began)
"""
FIRST = """
import sys
from langchain_core.runnables import RunnableLambda
from serac_retriever import EditMemory, Serac
with EditMemory(sys.argv[1]) as memory:
    print(Serac(base=RunnableLambda(lambda asked: "no"), memory=memory).invoke(sys.argv[2]))
"""
UPSERT = 1_000  # edits a bare upsert


def import_seconds(times: int) -> list[float]:
    """Return what ``import serac_retriever`` takes in new processes."""
    return [float(python("-c", IMPORT)[0]) for _ in range(times)]


def listing_seconds(folder: Path, times: int) -> tuple[float, float]:
    """Return the median of ``serac list`` and of ``import chromadb``, whole processes in turn."""
    spent = [
        (
            python("-m", "serac_retriever", "list", "--memory", str(folder))[1],
            python("-c", "import chromadb")[1],
        )
        for _ in range(times)
    ]
    return median(one for one, _ in spent), median(other for _, other in spent)


def first_answer_seconds(folder: Path, query: str, times: int) -> list[float]:
    """Return what it takes from nothing to an answer: process, imports, weights, memory."""
    return [python("-c", FIRST, str(folder), query)[1] for _ in range(times)]


def load(edits: list[Edit], cache: Path) -> tuple[Path, dict[str, float]]:
    """Load edits into a folder, and embed and upsert them with Chroma alone; keep both figures.

    Ours stands between the halves of the bare one, so that a machine that slows down slows both.
    A folder that an earlier run loaded is taken as it is, with the figures of that run.

    Returns:
        The folder of the memory; seconds of both ways and the peak of ours in MB.
    """
    cache.mkdir(parents=True, exist_ok=True)
    suite = cache / "new.jsonl"
    write_suite(suite, edits)
    # what differs from run to run stays out of the name
    mark = hashlib.sha256("\n".join(f"{e.id}\t{e.prompt}" for e in edits).encode()).hexdigest()[:12]
    suite = suite.replace(cache / f"{mark}.jsonl")
    folder, bare, kept = cache / f"{mark}-edits", cache / f"{mark}-bare", cache / f"{mark}.json"
    if not kept.exists():
        half = len(edits) // 2
        before = _load("bare", suite, bare, 0, half)
        ours = _load("ours", suite, folder, 0, 0)
        after = _load("bare", suite, bare, half, len(edits))
        found = {
            "ours_s": ours["seconds"],
            "bare_s": before["seconds"] + after["seconds"],
            "peak_mb": ours["peak_mb"],
            "bare_peak_mb": max(before["peak_mb"], after["peak_mb"]),
        }
        kept.write_text(json.dumps(found))
    figures: dict[str, float] = json.loads(kept.read_text())
    return folder, figures


def _load(how: str, suite: Path, folder: Path, first: int, last: int) -> dict[str, float]:
    told, _ = python("-m", "benchmarks.fresh", how, str(suite), str(folder), str(first), str(last))
    figures: dict[str, float] = json.loads(told)
    return figures


def python(*args: str) -> tuple[str, float]:
    """Run this Python anew; return what it printed, and the seconds it took."""
    began = perf_counter()
    done = subprocess.run(  # noqa: S603  (this very Python)
        [sys.executable, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    spent = perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{args} failed: {done.stderr}")
    return done.stdout, spent


def _bare(suite: Path, folder: Path, first: int, last: int) -> None:
    import chromadb

    from serac_retriever.memory.encoder import PackagedEmbeddingFunction
    from serac_retriever.models.encoder import packaged_encoder

    client: Any = chromadb.PersistentClient(str(folder))
    collection = client.get_or_create_collection(
        "bare",
        embedding_function=PackagedEmbeddingFunction(),
        configuration={"hnsw": {"space": "cosine"}},
    )
    with suite.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][first:last]
    for start in range(0, len(rows), UPSERT):
        part = rows[start : start + UPSERT]
        prompts = [row["prompt"] for row in part]
        collection.upsert(
            ids=[row["id"] for row in part],
            documents=prompts,
            metadatas=[{"target": row["target"]} for row in part],
            embeddings=packaged_encoder().encode(prompts),
        )


def main(
    how: str, suite: Path, folder: Path, first: Annotated[int, typer.Argument()], last: int
) -> None:
    """Load once, in this process, and print seconds and peak memory."""
    from serac_retriever.memory import EditMemory
    from serac_retriever.models.encoder import packaged_encoder

    packaged_encoder().encode(["warm"])  # importing and loading weights is not loading edits
    began = perf_counter()
    if how == "ours":
        with EditMemory(folder) as memory:
            memory.import_file(suite)
    else:
        _bare(suite, folder, first, last)
    seconds = perf_counter() - began
    typer.echo(json.dumps({"seconds": seconds, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """Return the most memory this process ever held, in MB."""
    try:  # Linux lets getrusage count what the parent held when it forked
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        [kilobytes] = (line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(kilobytes) / 1024
    except (OSError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    typer.run(main)
