"""Files of public data sets: read by their format's name, refused with the line or the field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serac_retriever import read_suite
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.suites import FORMATS

STUB = {
    "subject": "Ada Quill",
    "prompt": "Ada Quill, who plays the",
    "target_new": "harp",
    "rephrase_prompt": "Ada Quill is a master of the",
    "locality_prompt": "Bob Inkwell plays the",
    "locality_ground_truth": "flute",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "content",
    ["not json", "{}[", '[{"subject": "x"}]', "[1]", '{"a": 1}', '[{"subject": null}]', "7"],
)
def test_a_file_that_is_not_what_it_must_be_is_an_error_that_names_it(
    tmp_path: Path, format: str, content: str
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(SuiteError, match=r"rows\.json"):
        read_suite(path, format)


def test_an_empty_file_is_an_empty_suite_where_rows_stand_on_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.touch()
    for format in FORMATS:
        if format in ("fever", "fool_me_twice", "paws", "mrpc"):
            assert read_suite(path, format) == []
        else:
            with pytest.raises(SuiteError, match="rows"):
                read_suite(path, format)


@pytest.mark.parametrize(
    ("format", "good", "bad", "fault"),
    [
        ("fever", '{"evidence": "E.", "claim": "C.", "label": "SUPPORTS"}', "{", "JSON"),
        ("paws", "1\ta b\tb a\t0", "2\ta b\tb a", "4 columns, got 3"),
        ("mrpc", "1\t2\t3\ta b\tb a", "1\t2", "5 columns, got 2"),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    tmp_path: Path, format: str, good: str, bad: str, fault: str
) -> None:
    path = tmp_path / "rows"
    path.write_text(f"{good}\n{good}\n{bad}\n")
    with pytest.raises(SuiteError, match=rf"rows, line 3: expected {fault}") as caught:
        read_suite(path, format)
    assert caught.value.line == 3


def test_a_row_that_makes_no_edit_is_an_error_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([STUB | {"prompt": " "}]))
    with pytest.raises(SuiteError, match="prompt: expected text that is not blank"):
        read_suite(path, "counterfact")
    path.write_text(json.dumps([STUB | {"locality_prompt": ""}]))
    with pytest.raises(SuiteError, match="query: expected text that is not blank"):
        read_suite(path, "counterfact")


def test_an_unknown_format_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"counterfact.*zsre.*'zsRE'"):
        read_suite(tmp_path / "rows.json", "zsRE")
    with pytest.raises(SuiteError, match=r"rows\.json"):
        read_suite(tmp_path / "rows.json", "zsre")


def test_a_file_is_read_as_its_rows_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([STUB | {"target_new": "Lausitz-Harfe ♪"}]), encoding="utf-8")
    [edit] = read_suite(path, "counterfact")
    assert (edit.prompt, edit.target) == ("Ada Quill, who plays the", "Lausitz-Harfe ♪")
