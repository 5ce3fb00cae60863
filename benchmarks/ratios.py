"""Every row of the table: two sides, measured in turn in one loop, and their ratio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import fresh, peers
from benchmarks.clock import WARM_UP, Doing, Timer, alternate, cores, summary
from benchmarks.gates import gate_on, profiled
from benchmarks.table import Row
from benchmarks.texts import Pool, distinct, everyday, generated, queries_of
from serac_retriever import EditMemory, Serac
from serac_retriever.edit import Edit
from serac_retriever.models.encoder import packaged_encoder

ASKERS = 8
IN_BATCH = 32
OURS = 16  # of our decisions beside one scan
PASSES = 3  # of the concurrent askers and of the one, in turn
FEW = 100  # edits in the small memory


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: Of each ratio of single decisions.
        edits: In the memory in which candidates are near.
        asked: How many of them are asked for: all else is there to be passed over.
        many: Edits in the large memory.
        slow: Rounds of what takes long: stock LangChain.
        scans: Rounds of the full scan, which takes seconds.
        scanned: How many edits a scan reads; its time is taken times ``edits`` over this.
        batches: Rounds of batches.
        each: Questions of each of the concurrent askers.
        processes: New processes for each figure of a process.
    """

    rounds: int = 300
    edits: int = 1_000
    asked: int = 300
    many: int = 100_000
    slow: int = 50
    scans: int = 3
    scanned: int = 1_000
    batches: int = 12
    each: int = 24
    processes: int = 7


QUICK = Size(
    rounds=60, asked=150, many=1_500, slow=15, scans=1, scanned=100, batches=3, each=4, processes=3
)


@dataclass
class Ratios:
    """Measures; each method is a row or several.

    Attributes:
        folder: For memories, emptied by whoever gave it.
        cache: Where large memories stay between runs.
        size: How much is measured.
        timer: What times single decisions and batches; askers at once, loading and processes are
            always timed by the wall clock.
        details: What rows are made of, by name.
    """

    folder: Path
    cache: Path
    size: Size = field(default_factory=Size)
    timer: Timer = perf_counter
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        edits = distinct(everyday("train"))[: self.size.edits]
        generated_ones, _ = generated(max(0, self.size.edits - len(edits)), seed=1)
        self.edits = [*edits, *generated_ones]
        popular = edits[: self.size.asked]
        self.far = Pool(queries_of(everyday("dev")))
        self.warm = [edit.in_scope[0].query for edit in popular]
        self.near = Pool(set(queries_of(popular)) - {*self.warm}, seed=2)
        self.cold = Pool(queries_of(edits[self.size.asked :]), seed=3)
        self.unit = packaged_encoder().embed_query

    def all(self, progress: Callable[[str], None] = lambda _: None) -> list[Row]:
        """Measure everything."""
        rows: list[Row] = []
        with self.gate("near", self.edits, self.warm) as chain:
            for measure in (
                self.decisions, self.batches, self.own, self.concurrent, self.langchain, self.scan,
            ):  # fmt: skip
                progress(measure.__name__)
                rows += measure(chain)
        for alone in (self.growth, self.processes):  # their folders must be free
            progress(alone.__name__)
            rows += alone()
        return rows

    @contextmanager
    def gate(
        self, name: str, edits: Sequence[Edit], warm: Sequence[str], folder: Path | None = None
    ) -> Iterator[Serac]:
        """Open a gate on edits in a folder, and ask it what warms it up."""
        with EditMemory(folder or self.folder / name) as memory:
            if folder is None:
                memory.add_many(edits)
            chain = gate_on(memory)
            for query in warm:
                chain.invoke(query)
            yield chain

    def decisions(self, chain: Serac) -> list[Row]:
        """Deciding about one query, in units."""
        count = self.size.rounds + WARM_UP
        rows = []
        for name, pool, reach, what in (
            ("far", self.far, 1.8, "decision when no stored edit is near / unit"),
            ("near", self.near, 2.5, "decision when candidates must be judged / unit"),
        ):
            similar: list[float] = []

            def decide(query: str, similar: list[float] = similar) -> None:
                similar.append(max(c.similarity for c in chain.decide(query).candidates))

            found = self._sides(name, self._alternate(pool.rounds(count), decide, self.unit))
            self.details[name]["nearest_cosine"] = summary(similar)
            rows.append(Row(name, what, found[0], reach, sides=found[1]))
        few = min(count, len(self.cold) // 2)
        if few > WARM_UP:
            cold = self._alternate(self.cold.rounds(few), chain.decide, self.unit)
            self._sides("near, edits never judged before", cold)
        return rows

    def batches(self, chain: Serac) -> list[Row]:
        """A batch against its queries one by one; half of them far, half near."""
        half = IN_BATCH // 2

        def mixed() -> list[str]:
            return [*self.near.take(half), *self.far.take(half)]

        def alone(queries: list[str]) -> None:
            for query in queries:
                chain.invoke(query)

        rounds = [[mixed(), mixed()] for _ in range(self.size.batches)]
        spent = self._alternate(rounds, chain.batch, alone, warm_up=1)
        value, sides = self._sides("batch", [[ms / IN_BATCH for ms in side] for side in spent])
        return [Row("batch", f"a query in a batch of {IN_BATCH} / alone", value, 0.7, sides=sides)]

    def own(self, chain: Serac) -> list[Row]:
        """The gate's own Python, and where the rest goes."""
        whole: list[float] = []
        with_parts: dict[str, dict[str, float]] = {}
        for name, pool in (("far", self.far), ("near", self.near)):
            with profiled(chain.scope, self.timer) as profile:
                for query in pool.take(self.size.rounds // 2):
                    profile.call(lambda query=query: chain.invoke(query))  # type: ignore[misc]
            with_parts[name] = {key or "gate": ms for key, ms in profile.medians().items()}
            whole += profile.outside("embed", "chroma", "scope", "onnx", "base")
        self.details["profile"] = with_parts
        found = self.details["gate_ms"] = summary(whole)
        sides = f"p95 {found['p95']:.2f} ms"
        return [Row("gate_ms", "the gate's own Python", found["p50"], 0.3, sides=sides, unit="ms")]

    def concurrent(self, chain: Serac) -> list[Row]:
        """Eight askers at once against one, in threads and in one event loop."""
        each = self.size.each

        def questions() -> list[list[str]]:
            half = ASKERS * each // 2
            asked = Pool([*self.near.take(half), *self.far.take(half)]).take(ASKERS * each)
            return [asked[start::ASKERS] for start in range(ASKERS)]

        def timed(mine: Sequence[str]) -> list[float]:
            return [_timed(chain, query) for query in mine]

        def threads(asked: list[list[str]]) -> list[list[float]]:
            with ThreadPoolExecutor(ASKERS) as pool:
                return [*pool.map(timed, asked)]

        async def asker(mine: Sequence[str]) -> list[float]:
            spent = []
            for query in mine:
                began = perf_counter()
                await chain.ainvoke(query)
                spent.append((perf_counter() - began) * 1000)
            return spent

        async def askers(asked: list[list[str]]) -> list[list[float]]:
            return await asyncio.gather(*map(asker, asked))

        ways: dict[str, Callable[[list[list[str]]], list[list[float]]]] = {
            "one": lambda asked: [timed(mine) for mine in asked],
            "threads": threads,
            "async": lambda asked: asyncio.run(askers(asked)),
        }
        latencies: dict[str, list[float]] = {name: [] for name in ways}
        seconds = dict.fromkeys(ways, 0.0)
        for _ in range(PASSES):
            for name, ask in ways.items():
                asked = questions()
                began = perf_counter()
                answered = ask(asked)
                seconds[name] += perf_counter() - began
                latencies[name] += [ms for one in answered for ms in one]
        found: dict[str, Any] = {
            name: {"per_s": len(ms) / seconds[name], **summary(ms)}
            for name, ms in latencies.items()
        }
        per_s = {name: found[name]["per_s"] for name in ways}
        tail = max(found[name]["p99"] / found[name]["p50"] for name in ("threads", "async"))
        sides = ", ".join(f"{name} {rate:.1f}/s" for name, rate in per_s.items())
        value = min(per_s["threads"], per_s["async"]) / per_s["one"]
        what = f"throughput of {ASKERS} askers / one, {cores()} core(s)"
        return [
            Row("concurrent", what, value, 1.6, at_least=True, sides=sides),
            Row("tail", f"p99 / p50 of {ASKERS} askers", tail, 6),
        ]

    def langchain(self, chain: Serac) -> list[Row]:
        """Stock retrieve and re-rank, and semantic-router where it is installed."""
        self.model = peers.cross_encoder()
        stock = peers.stock_langchain(self.model, chain.memory, chain.k)
        rounds = self.near.rounds(self.size.slow + WARM_UP)
        found = self._sides("langchain", self._alternate(rounds, stock, chain.decide))
        if router := peers.semantic_router(self.edits):
            rounds = self.near.rounds(self.size.slow + WARM_UP)
            self._sides("semantic-router", self._alternate(rounds, router, chain.decide))
        what = f"LangChain's retriever and re-ranker, k = {chain.k} / ours, near"
        return [Row("langchain", what, found[0], 5, at_least=True, sides=found[1])]

    def scan(self, chain: Serac) -> list[Row]:
        """Cross-attention over every edit, as the paper does."""
        scan = peers.full_scan(self.model, self.edits[: self.size.scanned])
        rounds = [[self.near.take(1)[0], self.near.take(OURS)] for _ in range(self.size.scans + 1)]

        def ours_on(queries: list[str]) -> None:
            for query in queries:
                chain.decide(query)

        theirs, ours = self._alternate(rounds, scan, ours_on, warm_up=1)
        times = len(self.edits) / min(self.size.scanned, len(self.edits))
        found = self._sides("scan", [[ms * times for ms in theirs], [ms / OURS for ms in ours]])
        what = f"cross-attention over all {len(self.edits)} edits / ours"
        return [Row("scan", what, found[0], 300, at_least=True, sides=found[1])]

    def growth(self) -> list[Row]:
        """Deciding in a large memory against a small one: the worst of three kinds of query.

        Far from every edit; near one edit of few; near many edits of the large memory (the same
        subject, the same relation), of which the small one has but one.
        """
        half = FEW // 2
        own = self.edits[:half]
        filler, asked = generated(self.size.many - half, seed=4)
        near = Pool(set(queries_of(own)) - {*self.warm}, seed=5)
        crowd = Pool((query for of_one in asked[:half] for query in of_one[1:]), seed=6)
        warm = [*self.warm[:half], *(of_one[0] for of_one in asked[:half])]
        big, loading = fresh.load([*own, *filler], self.cache)
        self.details["load"] = loading
        rows = []
        ratios = {}
        with (
            self.gate("few", [*own, *filler[:half]], warm) as small,
            self.gate("many", [], warm, folder=big) as large,
        ):
            for name, pool in (("far", self.far), ("near", near), ("crowd", crowd)):
                count = min(self.size.rounds + WARM_UP, len(pool) // 2)
                spent = self._alternate(pool.rounds(count), large.decide, small.decide)
                ratios[name], _ = self._sides(f"growth, {name}", spent)
        worst = max(ratios, key=lambda name: ratios[name])
        sides = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        what = f"decision with {self.size.many:,} edits / with {FEW}: {worst}"
        rows.append(Row("growth", what, ratios[worst], 1.5, sides=sides))
        ours, bare = loading["ours_s"], loading["bare_s"]
        what = f"loading {self.size.many:,} edits / embedding and bare upserts"
        rows.append(Row("load", what, ours / bare, 1.15, sides=f"{ours:.1f} s, {bare:.1f} s"))
        sides = f"bare: {loading['bare_peak_mb']:.0f}"
        peak = loading["peak_mb"]
        rows.append(Row("peak_mb", "peak memory of loading", peak, 1500, sides=sides, unit="MB"))
        return rows

    def processes(self) -> list[Row]:
        """What starting costs."""
        folder, times = self.folder / "near", self.size.processes
        imports = fresh.import_seconds(times)
        listing, chroma = fresh.listing_seconds(folder, times)
        first = fresh.first_answer_seconds(folder, self.far.take(1)[0], times)
        self.details["processes"] = {
            "import_s": imports, "list_s": listing, "import_chromadb_s": chroma, "first_s": first,
        }  # fmt: skip
        above = f"{listing:.2f} s, {chroma:.2f} s"
        listed = f"serac list on {len(self.edits)} edits, above import chromadb"
        return [
            Row("import_s", "import serac_retriever", float(np.median(imports)), 0.3, unit="s"),
            Row("list_s", listed, listing - chroma, 1.0, sides=above, unit="s"),
            Row(
                "first_answer_s", "first answer of a new process", float(np.median(first)), 3.0,
                unit="s",
            ),
        ]  # fmt: skip

    def _alternate(
        self, rounds: Sequence[Sequence[Any]], *sides: Doing, warm_up: int = WARM_UP
    ) -> list[list[float]]:
        return alternate(rounds, *sides, warm_up=warm_up, timer=self.timer)

    def _sides(self, name: str, spent: list[list[float]]) -> tuple[float, str]:
        """Keep both sides, and return the ratio of their medians and how they read."""
        ours, other = (summary(side) for side in spent)
        self.details[name] = {"ms": ours, "of": other, "ratio": ours["p50"] / other["p50"]}
        texts = (f"{one['p50']:.2f} ms (p95 {one['p95']:.2f})" for one in (ours, other))
        return ours["p50"] / other["p50"], " / ".join(texts)


def _timed(chain: Serac, query: str) -> float:
    began = perf_counter()
    chain.invoke(query)
    return (perf_counter() - began) * 1000
