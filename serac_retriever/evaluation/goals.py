"""The figures to reach, and where each of them stands among what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from serac_retriever.evaluation.bench import OURS, Figure, TaskResult
from serac_retriever.evaluation.curves import Curve
from serac_retriever.evaluation.results import Measured

Steps = Mapping[str, Measured]
ZSRE, EVERYDAY, COUNTERFACT = "zsRE, near misses", "Everyday, test split", "CounterFact-edit"
MINE, LEFT_OUT = "late interaction", "without zsRE"  # classifiers, as the goals know them
KINDS = {
    "random_subject": 0.002,
    "confusable_subject": 0.02,
    "relation_swap": 0.012,
    "closest_relation": 0.05,
    "negation": 0.01,
}
Picked = Figure | float | None


class Goal(NamedTuple):
    """A figure to reach.

    Attributes:
        task: Of which task, as told.
        figure: Which one, as told.
        bound: The least edit success, or the largest drawdown.
        find: Finds what was measured.
    """

    task: str
    figure: str
    bound: float
    find: Callable[[Steps], Picked]

    @property
    def at_most(self) -> bool:
        """Whether less is better."""
        return self.figure.startswith(("drawdown", "expected calibration error", "near-miss"))

    def met(self, value: float) -> bool:
        """Say whether a value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound


def task(
    step: str, figure: str, edits: int | None = -1, setting: str = ""
) -> Callable[[Steps], Figure | None]:
    """Return what finds a figure of ours at so many edits; -1 for the most, None for no memory."""

    def find(steps: Steps) -> Figure | None:
        found = [r for r in results_of(steps, step) if r.setting.startswith(setting)]
        sizes = [r.edits for r in found if r.edits is not None]
        size = max(sizes, default=None) if edits == -1 else edits
        return next((r.figures.get(figure) for r in found if r.edits == size), None)

    return find


def classifier(
    name: str, source: str, figure: str, success: str | None = None
) -> Callable[[Steps], Figure | None]:
    """Return what finds a figure of a classifier: at its own threshold, or at an edit success."""

    def find(steps: Steps) -> Figure | None:
        for one in curves_of(steps, source):
            if one.classifier == name:
                if figure == "AUC":
                    return one.auc
                return (one.at_success.get(success, {}) if success else one.figures).get(figure)
        return None

    return find


def kept_by_growth(steps: Steps) -> float | None:
    """Return edit success at 10,000 edits as a share of that at 10."""
    ten, most = (task("growth", "edit success", size)(steps) for size in (10, 10_000))
    return most.value / ten.value if ten and most and ten.value and most.value else None


def worst_of_growth(steps: Steps) -> Figure | None:
    """Return the largest near-miss drawdown of any size."""
    found = [r.figures.get("drawdown, near misses") for r in results_of(steps, "growth")]
    return max((f for f in found if f), key=lambda f: f.value or 0.0, default=None)


def calibration(steps: Steps) -> Figure | None:
    """Return the expected calibration error."""
    step = steps.get("reliability")
    return step.reliability.error if step and step.reliability else None


FEVER, SYMMETRIC = "FEVER, held out", "Fever-Symmetric"
ES, DD = "edit success", "drawdown"
GOALS = (
    Goal("qa, 10 edits", ES, 0.985, task("qa", ES, 10)),
    Goal("qa, 10 edits", DD, 0.003, task("qa", DD, 10)),
    Goal("qa, all edits", ES, 0.97, task("qa", ES)),
    Goal("qa, all edits", DD, 0.005, task("qa", DD)),
    *(
        Goal("near misses on zsRE", f"{DD}, {kind}", bound, task("near-misses", f"{DD}, {kind}"))
        for kind, bound in KINDS.items()
    ),
    Goal("zsRE left out of training", ES, 0.95, classifier(LEFT_OUT, ZSRE, ES)),
    Goal(
        "zsRE left out of training, at an edit success of 0.95",
        f"{DD}, relation_swap",
        0.06,
        classifier(LEFT_OUT, ZSRE, f"{DD}, relation_swap", "0.95"),
    ),
    Goal("CounterFact-edit, 10,000 edits", ES, 0.95, task("counterfact", ES)),
    Goal("CounterFact-edit, 10,000 edits", DD, 0.015, task("counterfact", DD)),
    *(
        Goal("reader", f"true or false, {kind}", bound, task("reader", f"true or false, {kind}"))
        for kind, bound in (("template", 0.985), ("paraphrased or negated", 0.93))
    ),
    *(
        Goal(f"fc, {name}", "verdict, right edit", bound,
             task("fc", "verdict, right edit", None, name))
        for name, bound in ((FEVER, 0.85), (SYMMETRIC, 0.78))
    ),
    Goal("qa-hard, all edits", ES, 0.95, task("qa-hard", ES)),
    Goal("qa-hard, all edits", DD, 0.02, task("qa-hard", DD)),
    *(
        Goal(f"fc end to end, {FEVER}, {told}", name, bound, task("fc", name, size, FEVER))
        for told, size in (("10 edits", 10), ("all edits", -1))
        for name, bound in ((ES, 0.80), (DD, 0.05))
    ),
    Goal("convsent, 5 edits", ES, 0.95, task("convsent", ES, 5)),
    Goal("convsent, 5 edits", DD, 0.02, task("convsent", DD, 5)),
    Goal("growth", "edit success at 10,000 / at 10", 0.97, kept_by_growth),
    Goal("growth", "near-miss drawdown, the worst size", 0.03, worst_of_growth),
    Goal(EVERYDAY, ES, 0.9, classifier(MINE, EVERYDAY, ES)),
    Goal(EVERYDAY, DD, 0.03, classifier(MINE, EVERYDAY, DD)),
    Goal(EVERYDAY, "AUC", 0.98, classifier(MINE, EVERYDAY, "AUC")),
    Goal("first page", ES, 1.0, task("first page", ES)),
    Goal("first page", DD, 0.0, task("first page", DD)),
    Goal("calibration, zsRE held out", "expected calibration error", 0.03, calibration),
)  # fmt: skip


def results_of(steps: Steps, name: str) -> list[TaskResult]:
    """Return a step's results of ours."""
    return [one for one in steps[name].results if one.system == OURS] if name in steps else []


def curves_of(steps: Steps, source: str | None = None) -> list[Curve]:
    """Return every classifier's curves, of one test set or of all."""
    every = (one for step in steps.values() for one in step.curves)
    return [one for one in every if source in (None, one.source)]
