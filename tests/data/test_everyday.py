"""The Everyday set keeps to its datasheet."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from serac_retriever.suites import read_suite

FOLDER = Path(__file__).parents[2] / "data/everyday"
SPLITS = ("train", "dev", "test")
IN_SCOPE = {"paraphrase", "keyword", "chatty", "indirect", "verify"}
OUT_OF_SCOPE = {
    "other_subject",
    "other_relation",
    "other_time",
    "negation",
    "part_whole",
    "mention",
}


def rows(split: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("split", SPLITS)
def test_every_line_is_an_edit_with_four_queries_in_scope_and_six_near_misses(split: str) -> None:
    for edit in read_suite(FOLDER / f"{split}.jsonl"):
        assert (len(edit.in_scope), len(edit.out_of_scope)) == (4, 6), edit.id
        assert {example.tag for example in edit.in_scope} <= IN_SCOPE, edit.id
        assert {example.tag for example in edit.out_of_scope} <= OUT_OF_SCOPE, edit.id
        assert len({example.tag for example in edit.out_of_scope}) >= 3, edit.id
        assert set(edit.metadata) == {"domain", "relation"}, edit.id


def test_no_id_and_no_prompt_occurs_twice() -> None:
    everything = [row for split in SPLITS for row in rows(split)]
    for field in ("id", "prompt"):
        values = [row[field].lower() for row in everything]
        assert len(set(values)) == len(values), field


@pytest.mark.parametrize("split", SPLITS)
def test_no_query_occurs_twice_in_an_edit(split: str) -> None:
    for row in rows(split):
        queries = [row["prompt"], *(x["query"] for x in row["in_scope"] + row["out_of_scope"])]
        assert len({query.lower() for query in queries}) == len(queries), row["id"]


def test_the_splits_share_no_domain_with_train_and_test_no_relation() -> None:
    train, dev, test = (rows(split) for split in SPLITS)
    assert not {row["domain"] for row in train} & {row["domain"] for row in dev + test}
    assert not {row["relation"] for row in train} & {row["relation"] for row in test}


def test_prompts_are_not_stamped_from_templates() -> None:
    openings = [
        " ".join(re.findall(r"\w+", row["prompt"].lower())[:4])
        for split in SPLITS
        for row in rows(split)
    ]
    most = max(openings.count(opening) for opening in set(openings))
    assert most <= 0.02 * len(openings)


def test_it_has_the_promised_size_and_breadth() -> None:
    everything = [row for split in SPLITS for row in rows(split)]
    assert len(everything) >= 3000
    assert len({row["domain"] for row in everything}) >= 200
    assert len({row["relation"] for row in everything}) >= 300


@pytest.mark.parametrize("split", SPLITS)
def test_a_verify_query_says_yes_or_no_where_the_target_decides_and_no_other_query_does(
    split: str,
) -> None:
    verify = [x for row in rows(split) for x in row["in_scope"] if x["tag"] == "verify"]
    answers = Counter(example.get("answer") for example in verify)
    assert set(answers) <= {"Yes", "No", None}
    assert answers[None] < 0.05 * len(verify)
    assert 0.25 < answers["Yes"] / len(verify) < 0.75  # neither is a safe guess
    for row in rows(split):
        others = [x for x in row["in_scope"] if x["tag"] != "verify"] + row["out_of_scope"]
        assert not any("answer" in example for example in others), row["id"]


def test_no_text_of_test_occurs_in_train_or_dev() -> None:
    def texts(split: str) -> set[str]:
        return {
            text.lower()
            for row in rows(split)
            for text in (row["prompt"], *(x["query"] for x in row["in_scope"]))
        }

    assert not texts("test") & (texts("train") | texts("dev"))


@pytest.mark.parametrize("split", SPLITS)
def test_no_text_is_in_scope_of_an_edit_and_a_near_miss_of_it(split: str) -> None:
    for row in rows(split):
        inside = {row["prompt"].lower(), *(x["query"].lower() for x in row["in_scope"])}
        assert not inside & {x["query"].lower() for x in row["out_of_scope"]}, row["id"]


@pytest.mark.parametrize("split", SPLITS)
def test_the_datasheet_counts_right(split: str) -> None:
    sheet = (FOLDER / "README.md").read_text(encoding="utf-8")
    (cells,) = re.findall(rf"^\| `{split}\.jsonl` \|(.+)\|$", sheet, re.MULTILINE)
    told = [int(cell.replace(",", "")) for cell in cells.split("|")]
    found = rows(split)
    queries = sum(len(row["in_scope"]) + len(row["out_of_scope"]) for row in found)
    kinds = [len({row[name] for row in found}) for name in ("domain", "relation")]
    assert told == [len(found), *kinds, queries]
