"""The paper's tasks, on files of the public sets' shape that hold a few made-up rows."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from typer.testing import CliRunner

from serac_retriever.cli import app
from serac_retriever.counterfactual import CounterfactualInput, Verbatim
from serac_retriever.edit import Edit, Example
from serac_retriever.errors import ConfigError, SuiteError, TrainingError, WeightsNotFoundError
from serac_retriever.evaluation import TaskResult, run_task
from serac_retriever.evaluation.fact_checking import split
from serac_retriever.evaluation.queries import ZsreQueries, embedded, keywords, subject_of
from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.scope import EmbeddingScope, LateInteractionScope
from serac_retriever.training.claims import ClaimClassifier, train_claims

PEOPLE = ["Ann Lerch", "Ann Lersch", "Boris Okafor", "Cora Winde", "Dimitri Vale", "Edda Moor"]
PEOPLE += ["Fay Nunn"]
SHIPS = ["HMS Quill", "HMS Quilt", "SS Marrow 12", "SS Tansy", "MV Gorse", "MV Heron", "MV Ibis"]


def row(subject: str, question: str, rephrase: str, new: str, former: str) -> dict[str, Any]:
    return {
        "subject": subject,
        "src": question.format(subject),
        "rephrase": rephrase.format(subject),
        "alt": new,
        "pred": former,
        "answers": [former],
        "loc": f"nq question: how old is the harbour wall at pier {len(subject)}",
        "loc_ans": "old",
    }


ROWS = [
    *(row(p, "Who is the mother of {}?", "What is the name of {}'s mother?", f"Mrs {p}", "Eve Dahl")
      for p in PEOPLE),
    *(row(s, "Which yard built {}?", "At which yard was {} built?", f"Yard of {s}", "Fell & Sons")
      for s in SHIPS),
]  # fmt: skip
TRAIN = [row("Lot 9", "What colour is {}?", "Which colour does {} have?", "red", "blue")]
CITIES = ["Ghent", "Turin", "Porto", "Lund", "Graz"]


def evidence(number: int) -> dict[str, str]:
    return {
        "evidence": f"Baker number {number} was born in {CITIES[number % 5]}.",
        "claim": f"Baker number {number} comes from {CITIES[(number + number % 2) % 5]}.",
        "label": ("SUPPORTS", "REFUTES")[number % 2],
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    fact = {"subject": "", "ground_truth": "x", "locality_ground_truth": "y"}
    counterfact = [
        {
            **fact,
            "case_id": number,
            "subject": f"Town {number}",
            "prompt": f"Town {number} lies in",
            "target_new": f"Land {number}",
            "rephrase_prompt": f"It rained. Where is it? Town {number} is located in",
            "locality_prompt": f"{'Town 1' if number == 0 else f'Hamlet {number}'} lies in",
        }
        for number in range(30)
    ]
    symmetric = [
        {"evidence": f"The bridge is {word}.", "claim": "The bridge is red.", "gold_label": label}
        for word, label in (("red", "SUPPORTS"), ("blue", "REFUTES"))
    ]
    twice = [
        {
            "text": f"Page {page} has part {part}.",
            "label": "SUPPORTS",
            "gold_evidence": [{"text": f"On page {page} stands part {part}."}],
            "wikipedia_page": f"page {page}",
        }
        for page in range(30)
        for part in range(2)
    ]
    files: dict[str, list[Any]] = {
        "zsre/zsre_mend_eval_portability_gpt4.json": ROWS,
        "zsre/zsre_mend_train-1k.json": TRAIN,
        "counterfact/counterfact-edit.json": counterfact,
        "counterfact/counterfact-train.json": counterfact,
        "fever_rte/fever_rte_dev.jsonl": [evidence(number) for number in range(120)],
        "fever_symmetric/symmetric_v0.2__fever_symmetric_dev.jsonl": symmetric,
        "fool_me_twice/dev.jsonl": twice,
    }
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        lines = "\n".join(json.dumps(one) for one in rows)
        path.write_text(lines if name.endswith("l") else json.dumps(rows))
    return folder


def verdict(given: CounterfactualInput) -> str:
    """Read like a reader: a check or claim is true where its last word stands in the edit."""
    edit, query = given["edits"][0], given["query"]
    if query.startswith("True or False") or edit.kind == "fact":
        return str(query.rstrip(".").split()[-1] in f"{edit.prompt} {edit.target}")
    return edit.target


READER = RunnableLambda(verdict)


def values(result: TaskResult) -> dict[str, float | None]:
    return {name: figure.value for name, figure in result.figures.items()}


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


# -- near misses ---------------------------------------------------------------------------


def test_near_misses_never_ask_what_some_edit_answers() -> None:
    source = ZsreQueries(ROWS, TRAIN)
    answered = {text for e in source.edits for text in (e.prompt, *(x.query for x in e.in_scope))}
    kinds = set()
    for edit in source.near_misses(source.edits, packaged_encoder()):
        for example in edit.out_of_scope:
            kinds.add(example.tag)
            assert example.query not in answered
    assert kinds == {
        "random_subject",
        "confusable_subject",
        "relation_swap",
        "closest_relation",
        "negation",
    }


def test_the_closest_relation_is_asked_of_the_edits_own_subject() -> None:
    source = ZsreQueries(ROWS, TRAIN)
    [edit] = source.near_misses(source.edits[:1], packaged_encoder())
    (near,) = [e.query for e in edit.out_of_scope if e.tag == "closest_relation"]
    assert subject_of(edit) in near
    assert "mother" not in near


def test_counterfact_leaves_out_what_is_asked_of_another_edits_subject(data: Path) -> None:
    [result] = run_task("counterfact", data, threshold=0.0)
    assert result.figures["drawdown"].queries == 29  # of 30, one names "Town 1"
    assert result.figures["edit success"].queries == 30


# -- harder queries ------------------------------------------------------------------------


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


def test_a_question_no_rule_fits_is_not_restated() -> None:
    assert embedded("Which yard built HMS Quill?", "HMS Quill") is None
    assert keywords("Who is Ann?", "Ann") is None
    assert keywords("Who designed the Dome?", "Dome") == "Dome Who designed"


# -- growth --------------------------------------------------------------------------------


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


# -- fact checking -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checked(data: Path) -> dict[str, TaskResult]:
    results = run_task("fc", data, threshold=0.0, counterfactual=READER)
    return {result.setting: result for result in results}


def test_verdicts_are_told_with_the_right_edit_and_by_the_base_alone(
    checked: dict[str, TaskResult],
) -> None:
    found = values(checked["FEVER, held out, verdicts"])
    assert found["verdict, right edit"] == 1.0
    assert found["verdict, base alone"] is not None
    assert checked["Fever-Symmetric, verdicts"].figures["verdict, right edit"].queries == 2


def test_end_to_end_success_is_also_told_where_the_base_is_wrong(
    checked: dict[str, TaskResult],
) -> None:
    result = next(r for name, r in checked.items() if name.startswith("FEVER") and r.edits)
    every, wrong = result.figures["edit success"], result.figures["edit success, base wrong"]
    assert wrong.queries <= every.queries
    assert {"drawdown, neighbour", "drawdown, unrelated"} <= {*result.figures}


def fact(text: str, claim: str, answer: str = "True") -> Edit:
    example = Example(query=claim, answer=answer)
    return Edit(prompt=text, target=text, kind="fact", in_scope=(example,))


def test_out_of_scope_claims_rest_on_no_sentence_that_is_in_memory() -> None:
    shared = [fact(f"Ann flies. Note {n}.", f"Claim {n}.") for n in range(10)]
    assert all(not edit.out_of_scope for edit in split(shared))


def test_evidence_that_contradicts_is_not_in_memory_together() -> None:
    both = [fact("It is red.", "It is red."), fact("It is blue.", "It is red.", "False")]
    apart = [fact(f"Bo has {n} dogs.", f"Bo has {n} dogs.") for n in range(2)]
    for seed in range(10):
        chosen = {edit.prompt for edit in split([*both, *apart], seed)}
        assert not {"It is red.", "It is blue."} <= chosen


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


def test_a_denial_of_the_right_answer_is_false() -> None:
    source = ZsreQueries(ROWS, TRAIN)
    edit = source.edits[0]
    for check in source.checks(edit, random.Random(0)):
        right = edit.target in check.query
        assert check.answers == (str(right != (check.tag == "negated")),)


# -- the claim-only base -------------------------------------------------------------------

WORDED = [
    *(fact(f"e {n}", f"{name} only ever baked bread.", "False") for n, name in enumerate(PEOPLE)),
    *(fact(f"f {n}", f"{name} wrote several novels.") for n, name in enumerate(PEOPLE)),
]


def test_the_claim_classifier_learns_wordings_without_reading_evidence(tmp_path: Path) -> None:
    trained = train_claims(WORDED, tmp_path)
    asked = ["Gus Ray only ever baked bread.", "Gus Ray wrote several novels."]
    assert trained.answers(asked) == ["False", "True"]
    assert ClaimClassifier.load(tmp_path).answers(asked) == ["False", "True"]


def test_fitting_further_starts_from_what_was_learnt() -> None:
    trained = train_claims(WORDED)
    claim = ["Gus Ray wrote several novels."]
    assert trained.fitted(claim, ["False"], strength=1e3).answers(claim) == ["True"]
    assert trained.fitted(claim, ["False"], strength=1e-3).answers(claim) == ["False"]


def test_claims_of_one_verdict_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="True"):
        train_claims(WORDED[:3])
    with pytest.raises(WeightsNotFoundError, match=r"found no claims\.json"):
        ClaimClassifier.load(tmp_path)


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
