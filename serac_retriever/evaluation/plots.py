"""The report's plots: PNG files of well under 100 kB, in colours that everyone can tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serac_retriever.errors import MissingDependencyError
from serac_retriever.evaluation.bench import TaskResult
from serac_retriever.evaluation.curves import Curve, Reliability

# Okabe and Ito's palette; marks differ too, for print
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
FLOOR = 1e-3  # of the drawdown axis, which is logarithmic
STYLE: Any = {
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "serac-retriever",  # ids of shapes, else drawn by chance
}


def success_against_drawdown(
    curves: Sequence[Curve], goals: dict[str, tuple[float, float]], path: Path
) -> None:
    """Draw edit success against drawdown, one panel a test set, one line a classifier.

    Args:
        curves: Of any test sets.
        goals: A test set's edit success and drawdown to reach.
        path: Of the file.
    """
    sources = [*dict.fromkeys(one.source for one in curves)]
    names = [*dict.fromkeys(one.classifier for one in curves)]
    with drawing(path, 1, len(sources), (4.2 * len(sources) + 1.8, 3.9)) as axes:
        for axis, source in zip(axes, sources, strict=True):
            for one in (c for c in curves if c.source == source):
                place = names.index(one.classifier)
                colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
                x, y = [max(dd, FLOOR) for *_, dd in one.points], [es for _, es, _ in one.points]
                axis.plot(x, y, color=colour, label=one.classifier)
                own = [one.figures.get(name) for name in ("drawdown", "edit success")]
                at = [figure.value for figure in own if figure and figure.value is not None]
                if len(at) == 2:
                    look = {"color": colour, "markersize": 9, "markeredgecolor": "white"}
                    axis.plot(max(at[0], FLOOR), at[1], mark, clip_on=False, zorder=3, **look)
            axis.set(
                title=source, xscale="log", xlim=(FLOOR, 1), ylim=(0, 1.02),
                xlabel="drawdown (log scale)", ylabel="edit success",
            )  # fmt: skip
            if source in goals:
                success, drawdown = goals[source]
                axis.plot(drawdown, success, "*", color="black", markersize=11, label="goal")
        told = {
            label: line
            for axis in axes
            for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        axes[0].figure.legend([*told.values()], [*told], loc="outside right center")


def growth(results: Sequence[TaskResult], path: Path) -> None:
    """Draw edit success, recall and drawdown against the number of edits in memory."""
    panels = (
        ("share of in-scope queries", ("edit success", f"recall@{results[0].k}")),
        ("drawdown", ("drawdown, near misses", "drawdown, unrelated")),
    )
    with drawing(path, 1, 2, (9.2, 3.7)) as axes:
        for axis, (label, names) in zip(axes, panels, strict=True):
            for name, colour, mark, dash in zip(names, COLOURS, MARKS, ("-", "--"), strict=False):
                found = [(r.edits, r.figures[name]) for r in results if name in r.figures]
                known = [(size, one) for size, one in found if one.value is not None]
                x, y = [size for size, _ in known], [one.value for _, one in known]
                axis.plot(x, y, color=colour, marker=mark, linestyle=dash, label=name)
                low, high = zip(
                    *(one.interval or (one.value,) * 2 for _, one in known), strict=True
                )
                axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.set(xscale="log", xlabel="edits in memory", ylabel=label)
            axis.legend(loc="best")
        axes[0].set_ylim(min(0.8, axes[0].get_ylim()[0]), 1.005)
        axes[1].set_ylim(bottom=0)


def reliability(found: Reliability, path: Path) -> None:
    """Draw the share in scope against the mean score of each bin, and how many pairs it holds."""
    with drawing(path, 2, 1, (4.4, 4.6), height_ratios=[3, 1], sharex=True) as axes:
        x, y, counts = zip(*found.bins, strict=True)
        axes[0].plot([0, 1], [0, 1], color="#777777", linestyle="--", label="perfect")
        axes[0].plot(x, y, color=COLOURS[0], marker=MARKS[0], label="measured")
        axes[0].set(
            ylabel="share in scope", ylim=(-0.02, 1.02),
            title=f"expected calibration error {found.error.value:.3f}",
        )  # fmt: skip
        axes[0].legend(loc="upper left")
        axes[1].bar(x, counts, width=0.06, color=COLOURS[0])
        axes[1].set(xlabel="score", ylabel="pairs", yscale="log", xlim=(-0.02, 1.02))


def near_misses(curves: Sequence[Curve], success: str, goals: dict[str, float], path: Path) -> None:
    """Draw drawdown by kind of near miss, every classifier at the same edit success.

    Args:
        curves: Of one test set.
        success: The edit success, as in ``Curve.at_success``; who does not reach it is left out.
        goals: The drawdown wanted of each kind, drawn as a line.
        path: Of the file.
    """
    shown = [one for one in curves if success in one.at_success]
    kinds = [*goals]
    height = 0.8 / max(len(shown), 1)
    with drawing(path, 1, 1, (7.4, 1.1 + 0.75 * len(kinds))) as axes:
        (axis,) = axes
        for place, one in enumerate(shown):
            figures = one.at_success[success]
            rows = [
                (row + (place - (len(shown) - 1) / 2) * height, figures.get(f"drawdown, {kind}"))
                for row, kind in enumerate(kinds)
            ]
            known = [(at, f.value, f.interval) for at, f in rows if f and f.value is not None]
            errors = [
                [value - (limits or (value, value))[0] for _, value, limits in known],
                [(limits or (value, value))[1] - value for _, value, limits in known],
            ]
            axis.barh(
                [at for at, *_ in known], [value for _, value, _ in known], height * 0.9,
                xerr=errors, color=COLOURS[place % len(COLOURS)], label=one.classifier,
                error_kw={"ecolor": "#444444", "capsize": 2, "linewidth": 1},
            )  # fmt: skip
        for row, goal in enumerate(goals.values()):
            label = "goal" if row == 0 else None
            axis.plot([goal, goal], [row - 0.45, row + 0.45], "k--", linewidth=1.2, label=label)
        axis.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        axis.set(xlabel=f"drawdown at an edit success of {success}", xlim=(0, None))
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.legend(loc="best")


@contextmanager
def drawing(
    path: Path, rows: int, columns: int, size: tuple[float, float], **layout: Any
) -> Iterator[list[Any]]:
    """Yield a figure's axes, then write it; without a date, so that equal figures are equal files.

    Args:
        path: Of the file: SVG, which is text.
        rows: Of axes.
        columns: Of axes.
        size: Of the figure, in inches.
        **layout: What ``Figure.subplots`` takes besides.

    Raises:
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with drawing(Path(folder) / "line.svg", 1, 1, (4, 3)) as [axes]:
        ...         _ = axes.plot([1, 2])
        ...     (Path(folder) / "line.svg").read_text()[:5]
        '<?xml'
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"Plots need {error.name}: pip install 'serac-retriever[report]'"
        ) from error
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")  # no pyplot: no display, no state
        axes = figure.subplots(rows, columns, squeeze=False, **layout)
        yield [*axes.flat]
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
