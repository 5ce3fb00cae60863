"""``python -m benchmarks.plots``: latency against the number of edits, and against edit success."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import fresh, peers
from benchmarks.clock import WARM_UP, alternate, summary
from benchmarks.gates import gate_on
from benchmarks.ratios import FEW
from benchmarks.texts import Pool, distinct, everyday, generated, queries_of
from serac_retriever import EditMemory
from serac_retriever.evaluation.plots import drawing
from serac_retriever.scope import EmbeddingScope, LateInteractionScope, ScopeClassifier
from serac_retriever.suites import write_suite

OUT = Path(__file__).parent / "plots"
FIGURE = (7, 4.5)  # inches
SIZES = (10, 100, 1_000, 10_000, 100_000)
SCANNED = 1_000  # beyond it the scan is drawn as the line that it is
Points = dict[int, dict[str, float]]


def against_edits(out: Path, cache: Path, many: int, rounds: int = 100) -> dict[str, Points]:
    """Draw the latency of a decision with 10 edits and more, and that of the paper's scan."""
    edits, far, near = _stored(many)
    sizes = [size for size in SIZES if size < many]
    found: dict[str, Points] = {"far": {}, "near": {}, "scan": {}}
    asked = {"far": rounds + WARM_UP, "near": min(rounds + WARM_UP, len(near) // (len(sizes) + 1))}
    model = peers.cross_encoder()

    def measure(memory: EditMemory, size: int) -> None:
        chain = gate_on(memory)
        for name, pool in (("near", near), ("far", far)):
            [ms] = alternate([[one] for one in pool.take(asked[name])], chain.decide)
            found[name][size] = summary(ms)
        if size <= SCANNED:
            scan = peers.full_scan(model, edits[:size])
            [ms] = alternate([[one] for one in far.take(3)], scan, warm_up=1)
            found["scan"][size] = summary(ms)

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EditMemory(folder) as memory,
    ):
        for size in sizes:
            memory.add_many(edits[:size])  # what is there already stays
            measure(memory, size)
    largest, _ = fresh.load(edits, cache)
    with EditMemory(largest) as memory:
        measure(memory, len(edits))
    _draw_edits(found, out / "edits.svg")
    return found


def against_success(out: Path, limit: int | None = None, cross_encoder: Path | None = None) -> Any:
    """Draw each classifier and setting: what an answer costs, and how many edits succeed.

    Each is measured by ``serac eval`` in a process of its own, on Everyday's dev split.
    """
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        suite = folder / "dev.jsonl"
        write_suite(suite, everyday("dev")[:limit])
        for name, scope, k in _settings(cross_encoder):
            config = folder / "serac.toml"
            where = scope.save(folder / f"scope-{len(found)}")
            config.write_text(f"scope = {json.dumps(str(where))}\n", encoding="utf-8")
            command = ("-m", "serac_retriever", "eval", str(suite), "--json", "-k", str(k))
            told, _ = fresh.python(*command, "--config", str(config))
            report = json.loads(told)
            found[name] = {
                "ms": report["latency_ms"]["p50"],
                "edit_success": report["edit_success"],
                "drawdown": report["drawdown"]["all"],
            }
    _draw_success(found, out / "success.svg")
    return found


def _stored(many: int) -> tuple[list[Any], Pool, Pool]:
    """Return the edits as the growth row stores them, and what is asked."""
    own = distinct(everyday("train"))[: FEW // 2]
    filler, _ = generated(many - len(own), seed=4)
    return [*own, *filler], Pool(queries_of(everyday("dev"))), Pool(queries_of(own[: SIZES[0]]))


def _settings(cross_encoder: Path | None) -> Iterator[tuple[str, ScopeClassifier, int]]:
    """Yield what is compared: name, classifier, candidates a query."""
    yield "cosine (EmbeddingScope)", EmbeddingScope.packaged(), 8
    for k in (1, 2, 4, 8, 16):
        yield f"late interaction, k = {k}", LateInteractionScope.packaged(), k
    thorough = LateInteractionScope.packaged()
    # the slowest: the whole head reads every candidate
    thorough.margin, thorough.glance, thorough.exit = 2.0, None, None
    yield "late interaction, k = 8, all judged", thorough, 8
    strict = LateInteractionScope.packaged()
    strict.threshold = strict.threshold_for(0.01)
    yield "late interaction, max_drawdown = 0.01", strict, 8
    if cross_encoder:
        yield "cross-encoder", ScopeClassifier.load(cross_encoder), 8


def _draw_edits(found: dict[str, Points], path: Path) -> None:
    names = {"far": "ours, nothing near", "near": "ours, candidates judged"}
    with drawing(path, 1, 1, FIGURE) as [axes]:
        for name, label in names.items():
            sizes = [*found[name]]
            p50, p95 = ([one[key] for one in found[name].values()] for key in ("p50", "p95"))
            axes.plot(sizes, p50, marker="o", label=label)
            axes.fill_between(sizes, p50, p95, alpha=0.15, linewidth=0)
        sizes = [*found["scan"]]
        scan = [one["p50"] for one in found["scan"].values()]
        [line] = axes.plot(sizes, scan, marker="s", label="cross-attention over every edit")
        last = max(found["far"])
        if last > sizes[-1]:
            beyond = [scan[-1], scan[-1] * last / sizes[-1]]
            label = "the same, extrapolated"
            axes.plot([sizes[-1], last], beyond, "--", color=line.get_color(), label=label)
        axes.set(
            xscale="log", yscale="log", xlabel="edits in memory", ylabel="milliseconds a query",
            title="A decision: median (shaded: to p95)",
        )  # fmt: skip
        axes.legend()


def _draw_success(found: dict[str, dict[str, float]], path: Path) -> None:
    with drawing(path, 1, 1, FIGURE) as [axes]:
        for name, one in found.items():
            label = f"{name}: drawdown {one['drawdown']:.3f}"
            axes.plot(one["ms"], one["edit_success"], "o", label=label)
        axes.set(
            title="Everyday, dev split: each classifier and setting", ylim=(0, 1),
            xlabel="milliseconds an answer, median", ylabel="edit success",
        )  # fmt: skip
        axes.legend(fontsize=8)


def main(
    edits: Annotated[int, typer.Option(help="Edits in the large memory.")] = 100_000,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps the large memory for the next run.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many edits of the dev split.")] = None,
    cross_encoder: Annotated[
        Path | None, typer.Option(help="A trained CrossEncoderScope, to stand beside ours.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Queries at each number of edits.")] = 100,
    out: Annotated[Path, typer.Option(help="Folder to draw into.")] = OUT,
) -> None:
    """Draw both plots, and write what they show beside them."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        found = {
            "edits": against_edits(out, cache or Path(scratch), edits, rounds),
            "success": against_success(out, limit, cross_encoder),
        }
    (out / "plots.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    medians = {size: round(one["p50"], 1) for size, one in found["edits"]["near"].items()}
    typer.echo(f"Wrote {out}: near, ms by number of edits: {medians}")


if __name__ == "__main__":
    typer.run(main)
