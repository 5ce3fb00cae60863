"""Baselines are asked the same queries as ours."""

from __future__ import annotations

import pytest

from serac_retriever.edit import Candidate, Edit, Example
from serac_retriever.evaluation.baselines import SCANNED, FineTuned, full_scan, lookup_threshold
from serac_retriever.evaluation.bench import Bench
from serac_retriever.evaluation.remembered import Remembered, RememberedScope
from serac_retriever.scope import EmbeddingScope, LateInteractionScope
from serac_retriever.training.claims import train_claims
from tests.encoders import WordEncoder

LEADERS = {"Norway": "Støre", "Spain": "Sánchez", "Japan": "Ishiba"}
SUITE = [
    Edit(
        prompt=f"Who is the prime minister of {country}?",
        target=leader,
        in_scope=(Example(query=f"Who is {country}'s prime minister?", tag="paraphrase"),),
        out_of_scope=(Example(query="who wrote Emma", tag="unrelated"),),
    )
    for country, leader in LEADERS.items()
]


def test_the_lookups_distance_answers_paraphrases_and_leaves_the_unrelated_alone() -> None:
    scope = EmbeddingScope.packaged()
    nearest = lookup_threshold(SUITE, scope)
    bench = Bench(scope=scope, threshold=nearest, k=1)
    assert all(one.succeeded if one.wanted else not one.changed for one in bench.ask([SUITE]))


def test_the_full_scan_judges_every_edit_with_the_same_classifier_and_threshold() -> None:
    ours = Bench(scope=RememberedScope.of(LateInteractionScope.packaged()), k=1)
    scan = full_scan(ours)
    assert scan.limit == ours.limit
    assert scan.scope.margin == 2.0
    assert {len(one.retrieved) for one in scan.ask([SUITE])} == {len(SUITE)}


def test_the_full_scan_takes_no_more_groups_than_it_can_afford() -> None:
    scan = full_scan(Bench(scope=EmbeddingScope.packaged()))
    large = [Edit(prompt=f"Edit {n}", target="x") for n in range(SCANNED + 1)]
    assert scan.affordable([large]) == []
    group = [edit.model_copy(update={"in_scope": SUITE[0].in_scope * 10}) for edit in large[:100]]
    assert len(scan.affordable([group[:50]] * 3)) == 0  # 50 edits, 500 queries: 25,000 pairs
    assert len(scan.affordable([group[:20]] * 9)) == 5  # 20 edits, 200 queries: 4,000 pairs


def test_fine_tuning_changes_claims_that_no_edit_is_about() -> None:
    def fact(text: str, claim: str, answer: str) -> Edit:
        asked = (Example(query=claim, answer=answer),)
        return Edit(prompt=text, target=text, kind="fact", in_scope=asked)

    worded = [fact(f"e{n}", f"{n} people only ever baked bread.", "False") for n in range(12)]
    worded += [fact(f"f{n}", f"{n} people wrote several novels.", "True") for n in range(12)]
    base = train_claims(worded)
    claim = "40 people only ever baked bread."
    edit = Edit(
        prompt="Ann Lee only ever baked bread.",
        target="Ann Lee only ever baked bread.",
        kind="fact",
        in_scope=(Example(query="Ann Lee only baked bread.", answer="True"),),
        out_of_scope=(Example(query=claim, tag="unrelated"),),
    )
    bench = FineTuned(base={claim: "False"}, claims=base)
    inside, outside = bench.ask([[edit]])
    assert inside.succeeded
    assert outside.changed
    assert not inside.retrieved  # there is no gate: recall is not told


# -- what is remembered --------------------------------------------------------------------


def test_a_text_is_embedded_once_and_a_pair_judged_once() -> None:
    class Counting(WordEncoder):
        texts = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            type(self).texts += len(texts)
            return super().embed_documents(texts)

    judged: list[str] = []

    class Judging(EmbeddingScope):
        def score_pairs(self, pairs: list[tuple[str, Candidate]]) -> list[float]:  # type: ignore[override]
            judged.extend(query for query, _ in pairs)
            return super().score_pairs(pairs)

    inner = Judging(slope=20, midpoint=0.5)
    bench = Bench(scope=RememberedScope.of(inner), embeddings=Remembered.of(Counting()))
    first = bench.ask([SUITE])
    texts, pairs = Counting.texts, len(judged)
    again = bench.ask([SUITE])
    assert (Counting.texts, len(judged)) == (texts, pairs)
    assert [one.score for one in again] == [one.score for one in first]
    assert [one.score for one in first] == pytest.approx(
        [one.score for one in Bench(scope=inner, embeddings=WordEncoder()).ask([SUITE])]
    )
