"""The report: raw results by step, tied to the weights; then tables, plots and goals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.evaluation import written
from serac_retriever.evaluation.bench import Bench, Figure, TaskResult
from serac_retriever.evaluation.curves import Curve, curve, reliability
from serac_retriever.evaluation.goals import COUNTERFACT, EVERYDAY, GOALS, KINDS, MINE, ZSRE, task
from serac_retriever.evaluation.report import FIRST_PAGE, Found, Step, measure
from serac_retriever.evaluation.results import Measured, Results
from serac_retriever.scope import EmbeddingScope

SUITE = [
    Edit(
        prompt=f"Who is the prime minister of {country}?",
        target=leader,
        in_scope=(Example(query=f"Who is {country}'s prime minister?", tag="paraphrase"),),
        out_of_scope=tuple(
            Example(query=query, tag=tag)
            for query, tag in (
                ("who wrote Emma", "random_subject"),
                (f"Who was the first prime minister of {country}?", "relation_swap"),
            )
        ),
    )
    for country, leader in {"Norway": "Støre", "Spain": "Sánchez", "Japan": "Ishiba"}.items()
]
SCOPE = EmbeddingScope.packaged()


# -- curves --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured_curve() -> Curve:
    return curve(Bench(scope=SCOPE, system=MINE), SUITE, ZSRE)


@pytest.mark.parametrize("threshold", [0.3, 0.9, 0.95])
def test_a_curve_tells_what_the_gate_does_at_any_threshold(
    measured_curve: Curve, threshold: float
) -> None:
    outcomes = Bench(scope=SCOPE, threshold=threshold).ask([SUITE])
    success = sum(one.succeeded for one in outcomes if one.wanted) / 3
    drawdown = sum(one.changed for one in outcomes if not one.wanted) / 6
    at = min(p for p in measured_curve.points if p[0] >= threshold)
    below = max(p for p in measured_curve.points if p[0] <= threshold)
    assert at[1] <= success <= below[1]
    assert at[2] <= drawdown <= below[2]


def test_a_curve_rises_from_nothing_to_what_fires_at_all(measured_curve: Curve) -> None:
    thresholds, successes, drawdowns = zip(*measured_curve.points, strict=True)
    assert thresholds == tuple(sorted(thresholds, reverse=True))
    assert successes == tuple(sorted(successes))
    assert drawdowns == tuple(sorted(drawdowns))
    assert (successes[0], drawdowns[0]) == (0.0, 0.0)
    assert successes[-1] == 1.0


def test_figures_at_an_edit_success_leave_that_success(measured_curve: Curve) -> None:
    for wanted, figures in measured_curve.at_success.items():
        assert (figures["edit success"].value or 0) >= float(wanted)


def test_auc_is_the_share_of_pairs_in_the_right_order(measured_curve: Curve) -> None:
    outcomes = Bench(scope=SCOPE, threshold=0.0).ask([SUITE])
    inside = [one.score for one in outcomes if one.wanted]
    outside = [one.score for one in outcomes if not one.wanted]
    right = sum((i > o) + (i == o) / 2 for i in inside for o in outside)
    assert measured_curve.auc.value == pytest.approx(right / len(inside) / len(outside))


def test_the_calibration_error_is_nothing_where_scores_are_shares() -> None:
    exact = reliability(
        [0.05] * 20 + [0.75] * 20, [*[True], *[False] * 19, *[True, True, True, False] * 5], "x"
    )
    assert exact.error.value == pytest.approx(0.0)
    assert [count for *_, count in exact.bins] == [20, 20]
    assert reliability([1.0] * 10, [False] * 10, "x").error.value == 1.0


# -- measuring -----------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "scope.onnx").write_bytes(b"first")
    return folder


def result(name: str, edits: int | None = 10, **figures: float) -> TaskResult:
    told = {
        key.replace("_", " "): Figure(value=value, interval=(value, value), queries=9)
        for key, value in figures.items()
    }
    return TaskResult(
        task=name, setting="some edits", edits=edits, groups=1, k=8, threshold=0.5, figures=told
    )


def counted(asked: list[str], name: str) -> Callable[[], Found]:
    def run() -> Found:
        asked.append(name)
        return [result(name, edit_success=0.99)]

    return run


def test_a_second_run_measures_only_what_is_missing_or_was_measured_with_other_weights(
    weights: Path, tmp_path: Path
) -> None:
    asked: list[str] = []
    path = tmp_path / "docs" / "results.json"
    other = tmp_path / "other"
    other.mkdir()
    (other / "scope.json").write_text("{}")
    qa = Step("serac eval", counted(asked, "qa"), (weights,))
    curves = Step("make report", counted(asked, "curves, cosine"), (other,))
    measure({"qa": qa}, path, None)
    measure({"qa": qa, "curves, cosine": curves}, path, None)
    assert asked == ["qa", "curves, cosine"]
    (weights / "scope.onnx").write_bytes(b"second")
    measure({"qa": qa, "curves, cosine": curves}, path, None)
    assert asked[2:] == ["qa"]
    measure({"qa": qa, "curves, cosine": curves}, path, 5)  # another limit
    assert asked[3:] == ["qa", "curves, cosine"]
    measure({"qa": qa, "curves, cosine": curves}, path, 5, ["curves"])  # asked for
    assert asked[5:] == ["curves, cosine"]


def test_what_finished_before_an_interruption_is_stored(weights: Path, tmp_path: Path) -> None:
    def interrupted() -> Found:
        raise KeyboardInterrupt

    path = tmp_path / "results.json"
    steps = {
        "qa": Step("serac eval", counted([], "qa"), (weights,)),
        "fc": Step("serac eval", interrupted, (weights,)),
    }
    with pytest.raises(KeyboardInterrupt):
        measure(steps, path, None)
    assert [*Results.read(path).steps] == ["qa"]


def test_weights_that_change_under_the_measurement_spoil_it(weights: Path, tmp_path: Path) -> None:
    def spoiled() -> Found:
        (weights / "scope.onnx").write_bytes(b"second")
        return [result("qa")]

    path = tmp_path / "results.json"
    with pytest.raises(ConfigError, match="changed while qa"):
        measure({"qa": Step("serac eval", spoiled, (weights,))}, path, None)
    assert not Results.read(path).steps


def test_an_unknown_step_and_a_file_of_another_form_are_errors(
    weights: Path, tmp_path: Path
) -> None:
    step = {"qa": Step("serac eval", counted([], "qa"), (weights,))}
    with pytest.raises(ConfigError, match="chess"):
        measure(step, tmp_path / "results.json", None, ["chess"])
    (tmp_path / "results.json").write_text('{"steps": {"qa": 1}}')
    with pytest.raises(SuiteError, match="Delete the file"):
        measure(step, tmp_path / "results.json", None)


# -- writing -------------------------------------------------------------------------------


def stored(**found: object) -> Measured:
    about = {"limit": None, "minutes": 1.5, "machine": "a machine", "weights": "abc"}
    return Measured.model_validate({"command": "serac eval --task x", **about, **found})


@pytest.fixture(scope="module")
def steps(measured_curve: Curve) -> dict[str, Measured]:
    sources = [
        measured_curve.model_copy(update={"source": source})
        for source in (ZSRE, EVERYDAY, COUNTERFACT)
    ]
    grown = {"drawdown, near misses": 0.01, "drawdown, unrelated": 0.0, "recall@8": 1.0}
    return {
        "qa": stored(
            results=[
                result("qa", 10, edit_success=0.99, drawdown=0.01),
                result("qa", 10, edit_success=0.8, drawdown=0.2).model_copy(
                    update={"system": "RP"}
                ),
            ]
        ),
        "growth": stored(
            results=[
                result("growth", n, edit_success=s, **grown) for n, s in ((10, 1.0), (10_000, 0.98))
            ]
        ),
        "reliability": stored(reliability=reliability([0.1, 0.9], [False, True], "zsRE")),
        f"curves, {MINE}": stored(curves=sources),
    }


def test_the_report_sets_goals_beside_figures_and_says_which_are_missed(
    steps: dict[str, Measured], tmp_path: Path
) -> None:
    text = written.write(steps, ["growth"], tmp_path).read_text(encoding="utf-8")
    assert "| qa, 10 edits | edit success | ≥ 0.985 | 0.9900 [0.990, 0.990] | 9 | met |" in text
    assert "| qa, 10 edits | drawdown | ≤ 0.003 | 0.0100 [0.010, 0.010] | 9 | **missed** |" in text
    assert "| growth | edit success at 10,000 / at 10 | ≥ 0.97 | 0.9800 |  | met |" in text
    assert "| convsent, 5 edits | edit success | ≥ 0.95 |  |  | not measured |" in text
    assert "quoted from memory" in text
    assert "**Measured with other weights than the present ones: growth.**" in text
    assert "`serac eval --task x`; 1.5 minutes; weights abc." in text
    assert "a machine" in text


def test_every_plot_that_the_report_shows_is_drawn_and_small(
    steps: dict[str, Measured], tmp_path: Path
) -> None:
    text = written.write(steps, [], tmp_path).read_text(encoding="utf-8")
    plots = [*(tmp_path / "plots").glob("*.svg")]
    assert {f"plots/{one.name}" for one in plots} == {
        line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")
    }
    assert len(plots) == 4
    assert all(one.stat().st_size < 100_000 for one in plots)


def test_nothing_measured_is_a_report_without_figures() -> None:
    assert text_lines(written.text({}, set())).count("not measured") == len(GOALS)


def text_lines(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


def test_a_goal_finds_the_largest_size_unless_one_is_named(steps: dict[str, Measured]) -> None:
    largest, ten = (task("growth", "edit success", size)(steps) for size in (-1, 10))
    assert largest is not None
    assert ten is not None
    assert (largest.value, ten.value) == (0.98, 1.0)


def test_goals_and_published_figures_are_those_of_the_paper_and_the_plan() -> None:
    assert written.PUBLISHED["qa"][1:] == (0.986, 0.009)
    assert KINDS["closest_relation"] == 0.05
    assert {goal.met(goal.bound) for goal in GOALS} == {True}


def test_the_first_page_is_measured_with_the_gate_itself() -> None:
    outcomes = Bench().ask([[FIRST_PAGE]])
    assert [one.answer == "Keir Starmer" for one in outcomes] == [True, True, False, False, False]


def test_results_are_read_as_they_were_written(steps: dict[str, Measured], tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results(steps=steps).write(path)
    assert Results.read(path).steps == steps
    assert json.loads(path.read_text())["steps"]["qa"]["weights"] == "abc"
