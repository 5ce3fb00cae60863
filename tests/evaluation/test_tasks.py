"""The paper's tasks, on files of the public sets' shape that hold a few made-up rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serac_retriever.cli import app
from serac_retriever.counterfactual import Verbatim
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.evaluation import run_task
from serac_retriever.scope import EmbeddingScope, LateInteractionScope
from tests.public_sets import READER, values

# -- what every task gives -----------------------------------------------------------------


def test_a_task_gives_a_result_for_each_setting_with_intervals_and_counts(data: Path) -> None:
    scope = EmbeddingScope.packaged()
    ten, every = run_task("qa", data, threshold=0.0, scope=scope)  # everything fires
    assert (ten.edits, ten.groups, every.edits) == (10, 1, 12)
    assert values(every) == {"edit success": 1.0, "drawdown": 1.0, "recall@8": 1.0}
    figure = every.figures["edit success"]
    assert figure.queries == 12
    assert figure.interval is not None
    assert figure.interval[0] < 1.0 == figure.interval[1]


def test_a_gate_that_never_fires_has_no_success_and_no_drawdown(data: Path) -> None:
    for task in ("qa", "qa-hard", "near-misses", "counterfact"):
        found = values(run_task(task, data, threshold=1.0)[-1])
        assert found["edit success"] == found["drawdown"] == 0.0


def test_limit_takes_only_so_many_edits(data: Path) -> None:
    [result] = run_task("near-misses", data, limit=2)
    assert result.edits == 2


def test_an_unknown_task_and_a_missing_file_are_errors(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qa-hard"):
        run_task("chess", data)
    with pytest.raises(SuiteError, match="zsre"):
        run_task("qa", tmp_path)


# -- of single tasks -----------------------------------------------------------------------


def test_counterfact_leaves_out_what_is_asked_of_another_edits_subject(data: Path) -> None:
    [result] = run_task("counterfact", data, threshold=0.0)
    assert result.figures["drawdown"].queries == 29  # of 30, one names "Town 1"
    assert result.figures["edit success"].queries == 30


def test_checks_want_a_verdict_and_restatements_the_target(data: Path) -> None:
    whole = LateInteractionScope.packaged().model_copy(update={"glance": None, "exit": None})
    said, read = (
        values(run_task("qa-hard", data, scope=whole, threshold=0.0, counterfactual=model)[-1])
        for model in (Verbatim(), READER)
    )
    assert said["edit success, true"] == said["edit success, false"] == 0.0  # Verbatim cannot
    assert read["edit success, true"] == read["edit success, false"] == 1.0
    assert read["edit success, indirect"] is not None
    assert read["edit success, keywords"] is not None
    assert (read["drawdown, neighbour"] or 0) > 0  # at a threshold of 0, nothing stopped


def test_growth_asks_the_same_queries_of_ever_larger_memories(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serac_retriever.evaluation.tasks.SIZES", (1, 10, 40, 10_000))
    results = run_task("growth", data)
    assert [result.edits for result in results] == [1, 10, 40]  # 10,000 there are not
    assert [result.groups for result in results] == [12, 1, 1]
    for result in (results[0], results[-1]):
        assert result.figures["edit success"].queries == 12
        assert {"drawdown, unrelated", "drawdown, near misses", "recall@8"} <= {*result.figures}


# -- baselines and the reader alone --------------------------------------------------------


def test_baselines_are_told_beside_ours_on_the_same_queries(data: Path) -> None:
    results = run_task("qa", data, baselines=True)
    systems = {"SERAC", "no edit", "LU", "cosine gate", "RP", "full scan"}
    assert {(r.system, r.edits) for r in results} == {(s, n) for s in systems for n in (10, 12)}
    assert {r.figures["edit success"].queries for r in results if r.edits == 12} == {12}
    told = {r.system: values(r) for r in results if r.edits == 12}
    assert told["no edit"]["edit success"] == told["no edit"]["drawdown"] == 0.0
    assert told["RP"]["edit success"] == told["RP"]["drawdown"] == 1.0  # all is answered


def test_fact_checking_has_its_own_baselines(data: Path) -> None:
    results = run_task("fc", data, baselines=True, counterfactual=READER)
    assert {r.system for r in results} == {"SERAC", "no edit", "LU", "cosine gate", "RP", "FT"}
    tuned = next(r for r in results if r.system == "FT")
    assert "edit success, base wrong" in tuned.figures
    assert not any(name.startswith("recall") for name in tuned.figures)  # it retrieves nothing
    assert {r.system for r in results if r.edits is None} == {"SERAC"}


def test_only_two_tasks_have_baselines(data: Path) -> None:
    with pytest.raises(ConfigError, match="'qa', 'fc'"):
        run_task("growth", data, baselines=True)


def test_the_reader_is_measured_with_the_right_edit_given(data: Path) -> None:
    [result] = run_task("reader", data, counterfactual=READER, threshold=1.0)
    found = values(result)
    assert result.edits is None
    assert found["answer"] == 1.0
    assert result.figures["true or false, template"].queries == 24
    kinds = [result.figures[f"true or false, {kind}"] for kind in ("paraphrased", "negated")]
    both = result.figures["true or false, paraphrased or negated"]
    assert both.queries == sum(kind.queries for kind in kinds) == 48


# -- the command ---------------------------------------------------------------------------


def test_eval_runs_a_task_and_prints_a_table_or_json(data: Path, tmp_path: Path) -> None:
    settings = tmp_path / "serac.toml"
    settings.write_text(f"scope = {json.dumps(str(EmbeddingScope.packaged().save(tmp_path)))}")
    where = ["--data", str(data), "--config", str(settings)]
    task = ["eval", "--task", "qa", "--limit", "3", *where]
    told = CliRunner().invoke(app, [*task, "--json"])
    assert told.exit_code == 0
    [result] = json.loads(told.stdout)
    assert (result["task"], result["edits"]) == ("qa", 3)
    assert result["figures"]["edit success"]["queries"] == 3
    assert "edit success" in CliRunner().invoke(app, task).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["suite.jsonl", "--task", "qa", "--data", "."],
        ["--task", "qa"],
        ["--task", "qa", "--data", ".", "--edits", "10"],
        ["--task", "chess", "--data", "."],
        ["suite.jsonl", "--baselines"],
    ],
)
def test_a_suite_or_a_task_is_wanted_and_a_task_wants_its_data(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERAC_DATA", raising=False)
    assert CliRunner().invoke(app, ["eval", *arguments]).exit_code == 2
