"""The relations file keeps its promises, and what is made of it is labelled rightly."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serac_retriever.suites import read_suite
from serac_retriever.training.relations import relation_edits, relations

TYPES, RELATIONS = relations()
ASKED = ("questions", "stubs", "indirect")
DATA = Path(os.environ.get("SERAC_DATA") or Path(__file__).parents[3] / "shared/data")


def ids(relation: dict[str, Any]) -> str:
    return str(relation["id"])


each_relation = pytest.mark.parametrize("relation", RELATIONS, ids=ids)


@each_relation
def test_every_phrasing_has_its_slots_once_and_no_others(relation: dict[str, Any]) -> None:
    for kind in (*ASKED, "statements"):
        slots = ["{o}", "{s}"] if kind == "statements" else ["{s}"]
        for phrasing in relation[kind]:
            assert sorted(re.findall(r"\{.*?\}", phrasing)) == slots, phrasing
            assert not set("{}") & set(re.sub(r"\{[so]\}", "", phrasing)), phrasing


@each_relation
def test_a_relation_has_phrasings_of_every_kind_and_answers(relation: dict[str, Any]) -> None:
    assert len(relation["questions"]) >= 8
    for kind, fewest in (("stubs", 3), ("indirect", 2), ("statements", 3), ("objects", 8)):
        assert len(relation[kind]) >= fewest, kind
    for kind in (*ASKED, "statements", "objects"):
        assert len({text.lower() for text in relation[kind]}) == len(relation[kind]), kind
    assert relation["object"]


def test_relations_are_by_the_hundred_each_under_a_name_of_its_own() -> None:
    assert len(RELATIONS) >= 200
    assert len({relation["id"] for relation in RELATIONS}) == len(RELATIONS)


@pytest.mark.parametrize("kind", TYPES)
def test_a_kind_of_subjects_has_many_names_and_relations(kind: str) -> None:
    names = TYPES[kind]
    assert len(names) >= 40
    assert len({name.lower() for name in names}) == len(names)
    # three other relations of the same subject are near misses, and `same` ones are none
    assert sum(relation["type"] == kind for relation in RELATIONS) >= 6


def test_every_relation_is_of_a_kind_that_has_names() -> None:
    assert {relation["type"] for relation in RELATIONS} == set(TYPES)
    known = {relation["id"]: relation["type"] for relation in RELATIONS}
    for relation in RELATIONS:
        for other in relation["same"]:
            assert known[other] == relation["type"]
            assert other != relation["id"]


def likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


@pytest.mark.parametrize("kind", TYPES)
def test_look_alikes_stand_side_by_side(kind: str) -> None:
    names = TYPES[kind]
    beside = [max(likeness(n, o) for o in (*names[max(at - 1, 0) : at], *names[at + 1 : at + 2]))
              for at, n in enumerate(names)]  # fmt: skip
    anyone = [likeness(n, names[at - len(names) // 2]) for at, n in enumerate(names)]
    assert sum(beside) / len(names) > max(0.7, sum(anyone) / len(names) + 0.3)


def test_no_phrasing_asks_for_two_relations_of_a_kind() -> None:
    seen = Counter(
        (relation["type"], phrasing.lower())
        for relation in RELATIONS
        for kind in ASKED
        for phrasing in relation[kind]
    )
    assert [phrasing for phrasing, count in seen.items() if count > 1] == []


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data do not lie here")
def test_no_fact_of_the_public_sets_is_in_it_and_hardly_a_question() -> None:
    files = [
        ("zsre/zsre_mend_eval_portability_gpt4.json", "zsre"),
        ("zsre/zsre_mend_train-1k.json", "zsre"),
        ("counterfact/counterfact-edit.json", "counterfact"),
        ("pokemqa/cls-filtered.json", "pokemqa"),
        ("knowedit/benchmark_wiki_counterfact_train_cf.json", "knowedit"),
    ]
    edits = [edit for path, format in files for edit in read_suite(DATA / path, format)]
    public = {
        text.lower()
        for edit in edits
        for text in (edit.prompt, *(e.query for e in (*edit.in_scope, *edit.out_of_scope)))
    }
    facts = {f"{edit.prompt} {edit.target}".lower().rstrip(".") for edit in edits} | public
    asked: set[str] = set()
    stated: set[str] = set()
    for relation in RELATIONS:
        phrasings = [phrasing for kind in ASKED for phrasing in relation[kind]]
        for subject in TYPES[relation["type"]]:
            asked |= {phrasing.format(s=subject).lower() for phrasing in phrasings}
            stated |= {
                told.format(s=subject, o=answer).lower().rstrip(".")
                for told in relation["statements"]
                for answer in relation["objects"]
            }
    assert not facts & stated
    assert len(public & asked) < 20  # "the official language of sweden is": nobody's wording


# -- the edits made of it ---------------------------------------------------------------------

BY_ID = {relation["id"]: relation for relation in RELATIONS}


def can_ask(relation: dict[str, Any], subject: str) -> set[str]:
    return {phrasing.format(s=subject) for kind in ASKED for phrasing in relation[kind]}


@given(st.integers(0, 2**32))
def test_queries_in_scope_ask_the_edits_relation_of_its_subject_and_near_misses_do_not(
    seed: int,
) -> None:
    for edit in relation_edits(3, random.Random(seed)):
        relation, subject = BY_ID[edit.metadata["relation"]], str(edit.metadata["subject"])
        inside = {example.query for example in edit.in_scope}
        outside = {example.query for example in edit.out_of_scope}
        assert (len(inside), len(edit.out_of_scope)) == (4, 6)
        assert inside <= can_ask(relation, subject) - {edit.prompt}
        overlapping = [relation, *(r for r in RELATIONS if r["id"] in relation["same"])]
        asks_it = {query for one in overlapping for query in can_ask(one, subject)}
        assert not outside & (asks_it | {edit.prompt})
        assert subject in edit.prompt
        assert edit.target in relation["objects"]
        if edit.kind == "fact":
            assert edit.target in edit.prompt


def test_the_first_near_miss_is_about_the_most_alike_of_the_names_beside() -> None:
    for edit in relation_edits(300, random.Random(0)):
        relation, subject = BY_ID[edit.metadata["relation"]], str(edit.metadata["subject"])
        names = TYPES[relation["type"]]
        at = names.index(subject)
        beside = [names[place] for place in (at - 1, at + 1) if 0 <= place < len(names)]
        best = max(likeness(name, subject) for name in beside)
        first, second = edit.out_of_scope[:2]
        assert (first.tag, second.tag) == ("other_subject", "other_subject")
        asked = [name for name in beside if first.query in can_ask(relation, name)]
        assert best - max(likeness(name, subject) for name in asked) < 0.1
        assert second.query not in {q for name in asked for q in can_ask(relation, name)}


def test_edits_are_questions_stubs_and_statements_and_the_same_for_the_same_seed() -> None:
    edits = relation_edits(400, random.Random(0))
    kinds = Counter(edit.kind for edit in edits)
    assert 0.15 < kinds["fact"] / 400 < 0.35
    assert 0.3 < sum(edit.prompt.endswith("?") for edit in edits) / 400 < 0.8
    assert len({edit.id for edit in edits}) == 400
    again = relation_edits(400, random.Random(0))
    assert all(one.same_as(other) for one, other in zip(edits, again, strict=True))
