"""The report as Markdown: goals beside what is measured, a table a task, and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from serac_retriever.evaluation import plots
from serac_retriever.evaluation.bench import OURS, Figure
from serac_retriever.evaluation.goals import (
    COUNTERFACT,
    DD,
    ES,
    EVERYDAY,
    GOALS,
    KINDS,
    LEFT_OUT,
    ZSRE,
    Goal,
    Steps,
    curves_of,
    results_of,
)

# quoted from memory: edit success and drawdown of SERAC in Mitchell et al. (2022)
PUBLISHED = {
    "qa": ("zsRE, 10 edits, T5-large", 0.986, 0.009),
    "qa-hard": ("zsRE, 10 edits, T5-large", 0.913, 0.028),
    "fc": ("VitaminC, 10 edits, BERT-base", 0.877, 0.051),
    "convsent": ("5 edits, BlenderBot-90M", 0.991, 0.000),
}
FROM_MEMORY = "published; quoted from memory, not checked against the paper's text"


def write(steps: Steps, stale: Iterable[str], out: Path) -> Path:
    """Write ``results.md`` and ``plots/`` into a folder; return the former.

    Args:
        steps: What was measured, by the step's name.
        stale: Of these, the ones measured with other weights than the present ones.
        out: The folder.
    """
    draw(steps, out / "plots")
    path = out / "results.md"
    path.write_text(text(steps, {*stale}), encoding="utf-8")
    return path


def draw(steps: Steps, folder: Path) -> None:
    """Draw what there is."""
    curves = curves_of(steps)
    if curves:
        goals = {EVERYDAY: (0.9, 0.03), COUNTERFACT: (0.95, 0.015)}
        plots.success_against_drawdown(curves, goals, folder / "success_against_drawdown.svg")
    if near := [one for one in curves if one.source == ZSRE]:
        plots.near_misses(near, "0.97", KINDS, folder / "near_misses.svg")
    if grown := results_of(steps, "growth"):
        plots.growth(grown, folder / "growth.svg")
    if (found := steps.get("reliability")) and found.reliability:
        plots.reliability(found.reliability, folder / "reliability.svg")


def text(steps: Steps, stale: set[str]) -> str:
    """Return the report."""
    limits = {one.limit for one in steps.values() if one.limit}
    parts = [
        "# Results",
        "Written by `make report`, which measures what ships through the real gate; raw figures "
        "are in [results.json](results.json), with a hash of the weights of each. Edits of a test "
        "are in memory at once unless it says otherwise. DATA is the folder of the public sets. "
        "Brackets are 95 % intervals: exact (Clopper and Pearson) where each edit has one such "
        "query, else a bootstrap over edits.",
        *(f"**A quick look only: at most {limit} edits of each file.**" for limit in limits),
        f"Machine: {'; '.join(dict.fromkeys(one.machine for one in steps.values()))}.",
        "## Goals",
        _table(("task", "figure", "goal", "measured", "queries", ""), map(_goal(steps), GOALS)),
        "A figure without a measurement needs a step that was not run: `zsRE left out of training` "
        f"is that of a classifier given by `--scope '{LEFT_OUT}=FOLDER'`.",
        *_classifiers(steps, stale),
        *(part for name, title in TITLES.items() for part in _section(steps, stale, name, title)),
        *_reliability(steps, stale),
    ]
    return "\n\n".join(parts) + "\n"


TITLES = {
    "qa": "Question answering (zsRE)",
    "qa-hard": "Harder questions (zsRE)",
    "near-misses": "Near misses (zsRE)",
    "counterfact": "CounterFact",
    "growth": "Growth",
    "fc": "Fact checking",
    "reader": "The reader alone",
    "convsent": "Dialogue sentiment",
    "adaptation": "Adapted to a person's own edits",
    "first page": "The first page",
}
NOTES = {
    "qa": "Unrelated questions are out of scope here, and a distance alone tells them apart: the "
    "near misses below are what decides. `no edit` is the base alone. `LU` says the target of the "
    "nearest edit within a distance, chosen on the held-out tenth of zsRE's training file. `cosine "
    "gate` is the packaged `EmbeddingScope`; `RP` gives the nearest edit to the reader whatever "
    "its distance; `full scan` is the paper's way, the packaged classifier on every edit, in as "
    "many groups as cost 20,000 pairs.",
    "fc": "The base is a claim-only classifier. `LU` calls a claim true that is near to a piece of "
    "evidence, at a distance chosen on 200 training pieces. `FT` fine-tunes the base on the "
    "edits, each piece of evidence as a true claim.",
    "growth": "The same queries at every size; beyond zsRE's own edits CounterFact's training file "
    "fills the memory.",
    "convsent": "Edit success is z_sent · z_topic, drawdown the KL divergence in nats. Base and "
    "counterfactual are small models trained from scratch on other topics.",
    "adaptation": "Three people, each with a few domains of the Everyday set's dev split: half of "
    "a domain's edits to adapt to, half to ask about. Threshold and calibration stay as they ship. "
    "How to adapt was chosen on these same edits: another person's may gain less.",
    "reader": "Given the right edit, no gate. A template is \"True or False: question answer\" and "
    "its like.",
}  # fmt: skip


def _section(steps: Steps, stale: set[str], name: str, title: str) -> list[str]:
    if name not in steps:
        return []
    results = steps[name].results
    parts = [f"## {title}", _source(steps, stale, name)]
    if name in NOTES:
        parts.append(NOTES[name])
    if name == "growth":
        parts.append("![Edit success and drawdown as the memory grows](plots/growth.svg)")
    settings = dict.fromkeys(one.setting for one in results)
    systems = dict.fromkeys(one.system for one in results)
    if len(systems) > 1 or name in PUBLISHED:
        rows = [
            (
                one.setting,
                "**ours**" if one.system == OURS else one.system,
                *(_told(one.figures.get(figure)) for figure in (ES, DD)),
                " + ".join(f"{one.figures[f].queries:,}" for f in (ES, DD) if f in one.figures),
            )
            for setting in settings
            for one in results
            if one.setting == setting and ES in one.figures
        ]
        rows += _published(name)
        parts.append(_table(("setting", "system", ES, DD, "queries"), rows))
    ours = [one for one in results if one.system == OURS]
    for shape in dict.fromkeys(one.edits is None for one in ours):
        alike = [one for one in ours if (one.edits is None) == shape]
        figures = dict.fromkeys(figure for one in alike for figure in one.figures)
        head = ("figure", *(f"{one.setting} (×{one.groups})" if one.groups > 1 else one.setting
                            for one in alike))  # fmt: skip
        rows = [(f, *(_told(one.figures.get(f)) for one in alike)) for f in figures]
        parts.append(_table(head, rows))
    return parts


def _classifiers(steps: Steps, stale: set[str]) -> list[str]:
    curves = curves_of(steps)
    if not curves:
        return []
    first = next(name for name in steps if name.startswith("curves"))
    parts = [
        "## Classifiers compared",
        _source(steps, stale, *(name for name in steps if name.startswith("curves"))),
        "Every query is asked once with a threshold of 0, which tells what any other would have "
        "done; all of them judge the same eight candidates and have the same reader. AUC is of a "
        "query's best score. Marks stand at each classifier's own threshold. Classifiers `without` "
        "a source, where there are any, never saw it: `make left-out` trains them, on fewer pairs.",
        "![Edit success against drawdown](plots/success_against_drawdown.svg)",
    ]
    budgets = [*steps[first].curves[0].hits]
    head = ("test set", "classifier", ES, DD, "AUC", *(f"{ES} at {DD} ≤ {b}" for b in budgets))
    rows = [
        (
            one.source,
            one.classifier,
            *(_told(one.figures.get(name)) for name in (ES, DD)),
            _told(one.auc),
            *(f"{value:.4f}" for value in one.hits.values()),
        )
        for source in (ZSRE, EVERYDAY, COUNTERFACT)
        for one in curves
        if one.source == source
    ]
    parts.append(_table(head, rows))
    everyday = [one for one in curves if one.source == EVERYDAY]
    kinds = dict.fromkeys(kind for one in everyday for kind in one.figures)
    parts += [
        "### The Everyday set by kind, each classifier at its own threshold",
        "`serac eval data/everyday/test.jsonl` prints the packaged one's.",
        _table(
            ("figure", *(one.classifier for one in everyday)),
            [(kind, *(_told(one.figures.get(kind)) for one in everyday)) for kind in kinds],
        ),
    ]
    near = [one for one in curves if one.source == ZSRE and "0.97" in one.at_success]
    if near:
        parts += [
            "### Near misses by kind, every classifier at the same edit success (0.97, zsRE)",
            "![Drawdown by kind of near miss](plots/near_misses.svg)",
            _table(
                ("kind", "goal", *(one.classifier for one in near)),
                [
                    (
                        kind.replace("_", " "),
                        f"≤ {bound:g}",
                        *(_told(one.at_success["0.97"].get(f"{DD}, {kind}")) for one in near),
                    )
                    for kind, bound in KINDS.items()
                ],
            ),
        ]
    return parts


def _reliability(steps: Steps, stale: set[str]) -> list[str]:
    found = steps.get("reliability")
    if found is None or found.reliability is None:
        return []
    return [
        "## Are scores probabilities?",
        _source(steps, stale, "reliability"),
        f"{found.reliability.source}: expected calibration error {_told(found.reliability.error)} "
        f"over {found.reliability.error.queries:,} pairs (ten bins of equal width; the interval "
        "resamples pairs). Temperature and bias, two numbers, were fitted to these and to other "
        "sets' held-out pairs.",
        "![Reliability diagram](plots/reliability.svg)",
    ]


def _goal(steps: Steps) -> Callable[[Goal], tuple[str, ...]]:
    def row(goal: Goal) -> tuple[str, ...]:
        found = goal.find(steps)
        value = found.value if isinstance(found, Figure) else found
        wanted = f"{'≤' if goal.at_most else '≥'} {goal.bound:g}"
        told = _told(found) if isinstance(found, Figure) else f"{value:.4f}" if value else ""
        queries = f"{found.queries:,}" if isinstance(found, Figure) else ""
        met = "not measured" if value is None else "met" if goal.met(value) else "**missed**"
        figure = goal.figure.replace("_", " ")
        return goal.task, figure, wanted, told, queries, met

    return row


def _published(name: str) -> list[tuple[str, ...]]:
    if name not in PUBLISHED:
        return []
    setting, success, drawdown = PUBLISHED[name]
    return [(setting, f"SERAC ({FROM_MEMORY})", f"{success:.3f}", f"{drawdown:.3f}", "")]


def _source(steps: Steps, stale: set[str], *names: str) -> str:
    """Say which command printed a section's figures, how long it took, and with what weights."""
    commands = dict.fromkeys(f"`{steps[name].command}`" for name in names)
    minutes = sum(steps[name].minutes for name in names)
    weights = ", ".join(dict.fromkeys(steps[name].weights for name in names))
    told = f"{', '.join(commands)}; {minutes:.1f} minutes; weights {weights}."
    old = [name for name in names if name in stale]
    if old:
        told += f" **Measured with other weights than the present ones: {', '.join(old)}.**"
    return told


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return ""
    limits = figure.interval
    return f"{figure.value:.4f}" + (f" [{limits[0]:.3f}, {limits[1]:.3f}]" if limits else "")
