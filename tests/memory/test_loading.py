"""Loading many edits: all checks first, what became of each, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from serac_retriever import Edit
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.memory import EditMemory, LoadReport
from serac_retriever.memory.loading import BATCH
from tests.encoders import WordEncoder

GOOD = {"prompt": "A?", "target": "a"}


def suite(path: Path, *records: Any) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def test_a_report_says_what_became_of_each_edit(local_memory: EditMemory) -> None:
    local_memory.add("Same?", "same")
    local_memory.add("Changed?", "old")
    local_memory.add("Kept?", "old")
    report = local_memory.add_many(
        [
            {"prompt": "Same?", "target": "same"},
            {"prompt": "Changed?", "target": "new"},
            {"prompt": "Fresh?", "target": "fresh"},
            {"prompt": "Bad?"},
        ],
        on_error="skip",
        replace=True,
    )
    assert (report.added, report.replaced, report.unchanged) == (["fresh"], ["changed"], ["same"])
    assert [failure.line for failure in report.failures] == [4]
    assert str(report) == "1 added, 1 replaced, 1 unchanged, 1 failures"
    assert {edit.id: edit.target for edit in local_memory.list()} == {
        "same": "same",
        "changed": "new",
        "kept": "old",
        "fresh": "fresh",
    }


def test_an_empty_report_reads_nothing() -> None:
    assert str(LoadReport()) == "nothing"


def test_loading_nothing_is_no_error(memory: EditMemory) -> None:
    assert memory.add_many([]) == LoadReport()


def test_edits_are_embedded_in_batches(local_memory: EditMemory) -> None:
    words = local_memory.embeddings
    assert isinstance(words, WordEncoder)
    local_memory.add_many({"prompt": f"Q {n}?", "target": "a"} for n in range(BATCH + 10))
    assert words.calls == [BATCH, 10]
    assert local_memory.count() == BATCH + 10


def test_edits_of_every_status_land_where_they_belong(memory: EditMemory) -> None:
    memory.add_many(
        {"prompt": f"Question {status}?", "target": status, "status": status}
        for status in ("active", "draft", "retired")
    )
    assert [found.edit.target for found in memory.search("question")] == ["active"]
    assert memory.count() == 3


@pytest.mark.parametrize("replace", [False, True])
def test_a_known_id_with_other_content_is_replaced_only_where_asked(
    memory: EditMemory, replace: bool
) -> None:
    old = memory.add("A?", "old", id="a", note="mine", tags=["x"])
    given = {"id": "a", "prompt": "Wholly different words?", "target": "new"}
    if not replace:
        with pytest.raises(SuiteError, match=r"line 1: id 'a' exists already with other content"):
            memory.add_many([given])
        assert memory.get("a") == old
        return
    assert memory.add_many([given], replace=True).replaced == ["a"]
    new = memory.get("a")
    assert (new.target, new.note, new.tags, new.version) == ("new", None, (), 2)
    assert new.created_at == old.created_at
    assert memory.search("wholly different words", k=1)[0].similarity > 0.99
    assert memory.count() == 1


def test_a_replacement_may_change_the_status(memory: EditMemory) -> None:
    memory.add("A?", "a", id="a")
    memory.add_many([{"id": "a", "prompt": "A?", "target": "a", "status": "retired"}], replace=True)
    assert memory.search("A?") == ()
    assert memory.count("retired") == memory.count() == 1


def test_a_malformed_record_can_be_replaced(memory: EditMemory) -> None:
    memory.collection.add(ids=["a"], documents=["A?"], metadatas=[{"colour": "red"}])
    assert memory.add_many([{**GOOD, "id": "a"}], replace=True).replaced == ["a"]
    assert memory.malformed() == ()
    assert memory.get("a").metadata == {}


def test_the_same_edit_twice_in_a_file_is_one(memory: EditMemory, tmp_path: Path) -> None:
    report = memory.import_file(suite(tmp_path / "edits.jsonl", GOOD, GOOD))
    assert report.added == ["a"]
    assert memory.count() == 1


def test_one_id_with_two_contents_in_a_file_is_a_fault_of_the_second(
    memory: EditMemory, tmp_path: Path
) -> None:
    path = suite(tmp_path / "edits.jsonl", GOOD, {**GOOD, "target": "b"})
    with pytest.raises(SuiteError, match="line 2: id 'a' stands on line 1 already"):
        memory.import_file(path)
    assert memory.count() == 0
    report = memory.import_file(path, on_error="skip")
    assert (report.added, [failure.line for failure in report.failures]) == (["a"], [2])
    assert memory.get("a").target == "a"


def test_a_refusal_names_the_file_the_first_faults_and_the_way_out(
    local_memory: EditMemory, tmp_path: Path
) -> None:
    path = suite(tmp_path / "edits.jsonl", GOOD, *({"prompt": "B?"} for _ in range(7)))
    with pytest.raises(SuiteError) as caught:
        local_memory.import_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert "7 line(s) not accepted, nothing was stored" in message
    assert "on_error='skip'" in message
    assert "line 2: " in message
    assert "line 7: " not in message
    assert "and 2 more" in message
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "item",
    ["a string", None, 5, ("prompt", "target"), {**GOOD, "when": datetime(2026, 1, 1)}, {1: 2}],
    ids=repr,
)
def test_what_is_no_edit_is_reported_whatever_it_is(local_memory: EditMemory, item: Any) -> None:
    report = local_memory.add_many([item, GOOD], on_error="skip")
    assert report.added == ["a"]
    assert [failure.line for failure in report.failures] == [1]


def test_a_policy_that_does_not_exist_is_refused(local_memory: EditMemory) -> None:
    with pytest.raises(ConfigError, match="'abort' or 'skip', got 'ignore'"):
        local_memory.add_many([GOOD], on_error="ignore")  # type: ignore[arg-type]


def test_an_export_imports_into_the_same_edits(
    open_memory: Callable[..., EditMemory], tmp_path: Path
) -> None:
    memory = open_memory()
    memory.add("A?", "a", tags=["x, y", "z"], in_scope=[{"query": "q", "answer": ["a", "b"]}])
    memory.add("B?", "b", status="retired", metadata={"team": "geo"})
    memory.add("C?", "c", valid_until="2030-01-01", mode="verbatim", note="two\nlines")
    for name in ("edits.jsonl", "edits.csv"):
        assert memory.export_file(tmp_path / name) == 3
        other = open_memory(collection=f"other-{name}")
        assert len(other.import_file(tmp_path / name).added) == 3
        assert other.list() == memory.list()
        assert len(memory.import_file(tmp_path / name).unchanged) == 3
        other.client.delete_collection(f"other-{name}")
        other.client.delete_collection(f"other-{name}-inactive")


def test_an_export_may_be_of_one_status(local_memory: EditMemory, tmp_path: Path) -> None:
    local_memory.add("A?", "a")
    local_memory.add("B?", "b", status="retired")
    assert local_memory.export_file(tmp_path / "edits.jsonl", status="retired") == 1
    assert '"B?"' in (tmp_path / "edits.jsonl").read_text()


def test_a_progress_bar_goes_to_stderr_and_only_where_asked(
    local_memory: EditMemory, capsys: pytest.CaptureFixture[str]
) -> None:
    local_memory.add_many([GOOD])
    assert capsys.readouterr() == ("", "")
    local_memory.add_many([{"prompt": "B?", "target": "b"}], progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/1" in err


def test_loaded_edits_are_not_changed(local_memory: EditMemory) -> None:
    edit = Edit(prompt="A?", target="a", created_at="2020-01-01", version=7)
    local_memory.add_many([edit])
    assert local_memory.get("a") == edit
