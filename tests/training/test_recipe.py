"""What the packaged models are trained on: nothing of a test, and no pair labelled both ways."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from serac_retriever import Edit, Example
from serac_retriever.suites import write_suite
from serac_retriever.training.recipe import SOURCES, Public, scope_pairs, suite_pairs
from tests.encoders import WordEncoder

DATA = Path(os.environ.get("SERAC_DATA") or Path(__file__).parents[3] / "shared/data")
EVERYDAY = Path(__file__).parents[2] / "data/everyday"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public data do not lie here")
PEOPLE = [f"{first} {last}" for first in ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus")
          for last in ("Quill", "Ink", "Page", "Bind", "Serif")]  # fmt: skip


def everyday(names: Iterable[str]) -> list[Edit]:
    return [
        Edit(
            id=f"desk-{name}",
            prompt=f"Which desk does {name} have?",
            target=f"Desk {number}",
            in_scope=[
                Example(query=f"where does {name} sit", tag="keyword"),
                Example(query=f"Is {name} at desk 99?", tag="verify", answer="No"),
            ],
            out_of_scope=[Example(query=f"Which phone does {name} have?", tag="other_relation")],
        )
        for number, name in enumerate(names)
    ]


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Public:
    """All that the recipe reads, made up. The files marked as tests are not even there."""
    data = tmp_path_factory.mktemp("data")

    def write(path: str, rows: list[Any]) -> None:
        file = data / path
        file.parent.mkdir(exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as out:
            if path.endswith(".json"):
                json.dump(rows, out)
            elif path.endswith(".jsonl"):
                out.writelines(json.dumps(row) + "\n" for row in rows)
            else:
                out.writelines("\t".join(map(str, row)) + "\n" for row in rows)

    def claims(kind: str) -> list[dict[str, str]]:
        return [
            {
                "evidence": f"{p} plays the {kind} .",
                "claim": f"{p} is musical.",
                "label": "SUPPORTS",
            }
            for p in PEOPLE
        ]

    zsre = [
        {"subject": p, "src": f"When was {p} born?", "rephrase": f"What is {p}'s birth year?",
         "alt": "1901", "answers": ["1900"], "loc": "nq question: how far is it", "loc_ans": "far"}
        for p in PEOPLE
    ]  # fmt: skip
    stubs = [
        {"case_id": n, "subject": p, "prompt": f"{p} plays the", "target_new": "harp",
         "rephrase_prompt": f"It rained. {p} performs on the",
         "locality_prompt": f"{p} Jr plays the", "locality_ground_truth": "drum"}
        for n, p in enumerate(PEOPLE)
    ]  # fmt: skip
    knowedit = [
        {"subject": p, "prompt": f"The teacher of {p} is", "target_new": "Bo",
         "portability": {"Subject_Aliasing": [{"prompt": f"The teacher of {p[0]}. is"}]},
         "locality": {"Relation_Specificity": [{"prompt": f"The town of {p} is"}]}}
        for p in PEOPLE
    ]  # fmt: skip
    asked = {"data": [{"paragraphs": [{"qas": [
        {"question": f"Who met {p}?", "answers": [{"text": "Bo"}]} for p in PEOPLE
    ]}]}]}  # fmt: skip
    again = json.loads(json.dumps(asked).replace("Who met", "By whom was").replace("?", " met?"))
    write("zsre/zsre_mend_train-1k.json", zsre)
    write("counterfact/counterfact-train.json", stubs)
    dutch = [{"edit": f"{p} is Dutch", "questions": [f"Where is {p} from?"]} for p in PEOPLE]
    write("pokemqa/cls-filtered.json", dutch)
    write("knowedit/benchmark_wiki_counterfact_train_cf.json", knowedit)
    write("knowedit/benchmark_wiki_recent_recent_train.json", [])
    shared = {"evidence": "Moss is green .", "claim": "Moss has a colour .", "label": "SUPPORTS"}
    tested = [shared, {**shared, "evidence": "Snow is cold .", "claim": "Snow is hot."}]
    train = [
        {**shared, "evidence": "Moss grows.", "claim": "MOSS has a colour."},  # a tested claim
        {**shared, "evidence": "Moss grows.", "claim": "Moss can grow."},
        {**shared, "evidence": "Snow is cold.", "claim": "Snow chills."},  # tested evidence
        {**shared, "evidence": "Rain falls.", "claim": "Snow is hot."},  # nothing left of it
    ]
    write("fever_symmetric/symmetric_v0.2__fever_symmetric_dev.jsonl", tested)
    write("fever_rte/fever_rte_dev.jsonl", [*claims("harp"), *train])
    write("fool_me_twice/dev.jsonl", [
        {"wikipedia_page": p, "gold_evidence": [{"text": f"{p} sings."}],
         "text": f"{p} is a singer.", "label": "SUPPORTS"} for p in PEOPLE
    ])  # fmt: skip
    write("squad_paraphrased/dev_orig.json", asked)
    write("squad_paraphrased/dev_para.json", again)
    write("xquad/xquad.en.json", {"data": []})
    write("paws_wiki/dev.tsv",
          [[n, f"{p} saw Bo", f"Bo saw {p}", n % 2] for n, p in enumerate(PEOPLE)])  # fmt: skip
    write("mrpc/msr_paraphrase_train.txt", [["Quality", "1", "2", "one", "other"]])
    write("convsent/benchmark_Convsent_blender_val.json", [{"ent": f"{p} songs"} for p in PEOPLE])
    (data / "everyday_seed").mkdir()
    write_suite(data / "everyday_seed/a.jsonl", everyday(["Seed One"]))
    (data / "everyday").mkdir()
    write_suite(data / "everyday/train.jsonl", everyday(PEOPLE))
    write_suite(data / "everyday/dev.jsonl", everyday(["Dev One", "Dev Two"]))
    return Public(data, data / "everyday")


def subjects(edits: Iterable[Edit]) -> set[str]:
    return {str(e.metadata.get("subject") or e.metadata.get("page") or e.prompt) for e in edits}


@pytest.mark.parametrize("source", SOURCES)
def test_training_and_held_out_parts_share_no_subject(public: Public, source: str) -> None:
    training, held_out = public.suite(source), public.suite(source, held_out=True)
    assert training
    assert not subjects(training) & subjects(held_out)
    if source != "everyday":
        assert len(held_out) < len(training) / 2


def test_no_subject_is_held_out_of_one_source_and_trained_on_in_another(public: Public) -> None:
    named = ("zsre", "counterfact", "knowedit", "pokemqa")
    training = {s for source in named for s in subjects(public.suite(source))}
    held_out = {s for source in named for s in subjects(public.suite(source, held_out=True))}
    assert held_out
    assert not training & held_out


def test_of_the_everyday_set_the_seed_is_trained_on_too_and_dev_is_held_out(public: Public) -> None:
    training = subjects(public.suite("everyday"))
    assert "Which desk does Seed One have?" in training
    assert len(training) == len(PEOPLE) + 1
    assert subjects(public.suite("everyday", held_out=True)) == {
        "Which desk does Dev One have?",
        "Which desk does Dev Two have?",
    }


def squeezed(text: str) -> str:
    return re.sub(r"\W", "", text.lower())


def test_neither_claims_nor_evidence_of_fever_symmetric_are_trained_on(public: Public) -> None:
    claims = [e for held_out in (False, True) for e in public.suite("claims", held_out)]
    moss = [edit for edit in claims if "moss" in edit.prompt.lower()]
    assert [[e.query for e in edit.in_scope] for edit in moss] == [["Moss can grow."]]
    assert not any("snow" in f"{e.prompt} {e.in_scope}".lower() for e in claims)


@needs_data
def test_no_claim_of_fever_symmetric_is_among_the_real_ones() -> None:
    real = Public(DATA, EVERYDAY)
    file = DATA / "fever_symmetric/symmetric_v0.2__fever_symmetric_dev.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    tested = {squeezed(row["claim"]) for row in rows}
    claims = [e for held_out in (False, True) for e in real.suite("claims", held_out)]
    assert len(claims) > 1000
    trained = {squeezed(example.query) for edit in claims for example in edit.in_scope}
    trained |= {squeezed(example.query) for edit in claims for example in edit.out_of_scope}
    assert not tested & trained


@needs_data
@pytest.mark.parametrize("source", ["zsre", "knowedit", "claims", "stances"])
def test_the_parts_of_the_real_sources_share_no_subject(source: str) -> None:
    real = Public(DATA, EVERYDAY)
    training, held_out = real.suite(source), real.suite(source, held_out=True)
    assert 0.05 < len(held_out) / len(training) < 0.2
    assert not subjects(training) & subjects(held_out)


# -- pairs -----------------------------------------------------------------------------------

WITHOUT = ("relations", "counterfact", "claims")  # enough is left, and little to embed


def test_no_pair_is_labelled_both_ways_and_no_text_is_out_of_its_own_scope(public: Public) -> None:
    pairs = scope_pairs(public, random.Random(0), WITHOUT)
    labels: dict[tuple[str, str], set[bool]] = {}
    for pair in pairs:
        labels.setdefault((pair.prompt, pair.query), set()).add(pair.in_scope)
        assert pair.in_scope or pair.prompt != pair.query
    assert [pair for pair, found in labels.items() if len(found) > 1] == []
    tags = Counter(pair.tag for pair in pairs)
    assert {"verify", "other_subject", "negation", "neighbour", "unrelated", "word_order"} <= set(
        tags
    )
    assert 0.2 < sum(pair.in_scope for pair in pairs) / len(pairs) < 0.7


def test_held_out_edits_give_no_training_pairs(public: Public) -> None:
    prompts = {pair.prompt for pair in scope_pairs(public, random.Random(0), WITHOUT)}
    for source in set(SOURCES) - set(WITHOUT):
        assert not prompts & {edit.prompt for edit in public.suite(source, held_out=True)}


def test_the_same_seed_gives_the_same_pairs_and_a_source_can_be_left_out(public: Public) -> None:
    few = tuple(set(SOURCES) - {"zsre", "stances"})
    pairs = scope_pairs(public, random.Random(1), few)
    assert pairs == scope_pairs(public, random.Random(1), few)
    assert pairs != scope_pairs(public, random.Random(2), few)
    assert any("born" in pair.prompt for pair in pairs)
    without = scope_pairs(public, random.Random(1), (*few, "zsre"))
    assert without
    assert not any("born" in f"{pair.prompt} {pair.query}" for pair in without)


def test_a_persons_own_suite_gives_every_kind_of_pair_and_neighbours_with_an_encoder() -> None:
    suite = everyday(PEOPLE)
    tags = {pair.tag for pair in suite_pairs(suite, random.Random(0))}
    assert {"keyword", "verify", "prompt", "restated", "negation", "other_relation"} <= tags
    assert "neighbour" not in tags
    near = suite_pairs(suite, random.Random(0), WordEncoder())
    assert "neighbour" in {pair.tag for pair in near}
