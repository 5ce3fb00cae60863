"""LateInteractionScope, the packaged classifier: near misses do not fire."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from serac_retriever import Candidate, Edit, LateInteractionScope, ScopeClassifier
from serac_retriever.errors import ScopeError, WeightsNotFoundError
from serac_retriever.models import FOLDER
from serac_retriever.models.perceptron import Perceptron
from serac_retriever.suites import read_suite

PM = "Who is the UK prime minister?"
DEV = Path(__file__).parents[2] / "data" / "everyday" / "dev.jsonl"


@pytest.fixture(scope="module")
def scope() -> LateInteractionScope:
    return LateInteractionScope.packaged()


def test_the_first_page_test(scope: LateInteractionScope) -> None:
    inside = ["Which politician leads the British government?", "Who's the current British PM?"]
    outside = [
        "Who is the UK foreign minister?",
        "Who was the UK prime minister in 1940?",
        "Who is the prime minister of France?",
    ]
    scores = scope.score([(query, PM) for query in inside + outside])
    assert min(scores[:2]) > scope.threshold > max(scores[2:])


def test_the_same_words_are_in_scope(scope: LateInteractionScope) -> None:
    texts = [PM, "who is the uk prime minister", "WHO IS THE UK PRIME MINISTER?"]
    assert min(scope.score([(text, PM) for text in texts])) > scope.threshold


def test_what_a_glance_turns_away_is_not_read(tmp_path: Path) -> None:
    cosine = np.eye(7, 1, dtype=np.float32)
    glance = Perceptron(cosine, np.zeros(1), np.ones(1), constant=-0.5)
    blind = LateInteractionScope(folder=tmp_path / "no-weights-here", glance=glance)
    far = Candidate(edit=Edit(prompt=PM, target="t"), similarity=0.4)
    assert blind.score_pairs([("q", far)]) == [0.0]
    with pytest.raises(WeightsNotFoundError, match=r"compare\.onnx"):
        blind.score_pairs([("q", far.model_copy(update={"similarity": 0.6}))])


def test_a_glance_loses_hardly_a_thing_that_the_head_would_accept(
    scope: LateInteractionScope,
) -> None:
    edits = read_suite(DEV)[:60]
    pairs = [(e.query, edit.prompt) for edit in edits for e in edit.in_scope]
    strangers = [(pairs[place][0], pairs[place - 40][1]) for place in range(len(pairs))]
    thorough = scope.model_copy(update={"glance": None, "exit": None})
    kept, every = np.array(scope.score(pairs)), np.array(thorough.score(pairs))
    assert (kept[every > scope.threshold] > 0).mean() > 0.99
    assert np.allclose(kept[kept > 0], every[kept > 0], atol=1e-3)
    turned_away = [score == 0 for score in scope.score(strangers)]
    assert np.mean(turned_away) > 0.8


def test_an_exit_stops_what_the_head_would_not_accept_and_alters_no_other_score(
    scope: LateInteractionScope,
) -> None:
    asked = scope.model_copy(update={"glance": None})
    thorough = asked.model_copy(update={"exit": None})
    edits = read_suite(DEV)[60:120]
    inside = [(e.query, edit.prompt) for edit in edits for e in edit.in_scope]
    near = [(e.query, edit.prompt) for edit in edits for e in edit.out_of_scope]
    scores, every = (np.array(one.score(inside + near)) for one in (asked, thorough))
    assert (every > 0).all()
    assert (scores[scores > 0] == every[scores > 0]).all()
    accepted = every[: len(inside)] > scope.threshold
    assert (scores[: len(inside)][accepted] > 0).mean() > 0.99
    assert (scores[len(inside) :] == 0).mean() > 0.3


def candidate(prompt: str, target: str) -> Candidate:
    return Candidate(edit=Edit(prompt=prompt, target=target), similarity=0.7)


def test_where_it_is_not_sure_it_looks_again_at_the_edit_with_its_target(tmp_path: Path) -> None:
    said = {PM: 1.0, f"{PM} Keir": 3.0, "sure": 5.0, "Ann rules": 1.0, "never": -5.0}
    read: list[str] = []

    def logits(self: object, texts: list[tuple[str, str]], exit: object) -> np.ndarray:
        read.extend(text for _, text in texts)
        return np.array([said.get(text[:60], 0.5) for _, text in texts], dtype=float)

    asked = [
        ("q", candidate(PM, "Keir")),
        ("q", candidate("sure", "Keir")),
        ("q", candidate("Ann rules", "Ann")),  # says its target already
        ("q", candidate("never", "Keir")),
    ]
    with mock.patch.object(LateInteractionScope, "_read", logits):
        looks = LateInteractionScope(folder=tmp_path, second_look=(-2, 4))
        assert looks.judged(asked).tolist() == [2.0, 5.0, 1.0, -5.0]  # the mean of both looks
        assert read[len(asked) :] == [f"{PM} Keir"]
        read.clear()
        never = LateInteractionScope(folder=tmp_path)
        assert never.judged(asked).tolist() == [1.0, 5.0, 1.0, -5.0]
        assert len(read) == len(asked)
        read.clear()
        looks.judged([("q", candidate("How?", "step " * 500))])
        assert len(read[1]) < 250  # what comes after says hardly more about what was asked


def test_documents_of_other_people_have_no_target_to_look_at(scope: LateInteractionScope) -> None:
    texts = [("Who's the current British PM?", PM), ("Who is the UK foreign minister?", PM)]
    once = scope.model_copy(update={"second_look": None})
    assert scope.score(texts) == once.score(texts)


def test_it_is_saved_with_its_weights_and_what_it_asks_first(
    scope: LateInteractionScope, tmp_path: Path
) -> None:
    folder = scope.save(tmp_path / "mine")
    assert (folder / "scope.safetensors").is_file()  # training can go on from it
    pairs = [("Who's the current British PM?", PM), ("Who is the UK foreign minister?", PM)]
    assert ScopeClassifier.load(folder).score(pairs) == scope.score(pairs)
    assert LateInteractionScope.load(folder) == scope.model_copy(update={"folder": folder})
    bare = {"glance": None, "exit": None}
    without = LateInteractionScope.load(scope.model_copy(update=bare).save(folder))
    assert (without.glance, without.exit) == (None, None)  # none are left of another head


@pytest.mark.parametrize("name", ["glance", "exit"])
def test_broken_weights_of_what_it_asks_first_are_named(
    scope: LateInteractionScope, tmp_path: Path, name: str
) -> None:
    folder = scope.save(tmp_path / "mine")
    path = folder / f"{name}.safetensors"
    refused = pytest.raises(ScopeError, match=rf"{name} in .*{name}\.safetensors.*remove the file")
    path.write_bytes(b"cut off")
    with refused:
        ScopeClassifier.load(folder)
    Perceptron(np.zeros((5, 2)), np.zeros(2), np.zeros(2), 0).save(path)  # looks at five numbers
    with refused:
        ScopeClassifier.load(folder)


def test_it_is_calibrated_for_the_packaged_encoder(scope: LateInteractionScope) -> None:
    found = scope.calibration
    assert found is not None
    assert found.encoder == "all-MiniLM-L6-v2"
    assert found.max_drawdown == 0.05
    assert found.drawdown_upper <= 0.05
    budgets = [budget for budget, _ in found.thresholds]
    thresholds = [threshold for _, threshold in found.thresholds]
    assert 0.01 in budgets
    assert budgets == sorted(budgets)
    assert thresholds == sorted(thresholds, reverse=True)
    assert scope.threshold_for(0.05) == pytest.approx(found.threshold)


@pytest.mark.slow
def test_onnx_decides_as_pytorch_does_on_a_thousand_queries(scope: LateInteractionScope) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    from serac_retriever.training.interaction import Collate, Interaction, ScopeModel

    head = Interaction()
    head.load_state_dict(load_file(FOLDER / "late-interaction-scope" / "scope.safetensors"))
    model, collate = ScopeModel(head).eval(), Collate(max_tokens=256)
    pairs = [
        (example.query, edit.prompt)
        for edit in read_suite(DEV)
        for example in (*edit.in_scope, *edit.out_of_scope)
    ][:1000]
    pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    theirs: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(pairs), 50):
            rows = [{"query": q, "edit": p} for q, p in pairs[start : start + 50]]
            theirs += model(**collate(rows))["logits"].tolist()
    ours = scope.logits(pairs)
    off = np.abs(ours - np.array(theirs))
    assert np.sqrt((off**2).mean()) < 0.2  # logits run from -12 to 12
    limit = (np.log(scope.threshold / (1 - scope.threshold)) - scope.bias) * scope.temperature
    fired, would = ours > limit, np.array(theirs) > limit
    differ = fired != would
    assert differ.mean() <= 0.01  # whole numbers shift what lies near the threshold, and only that
    assert np.abs(ours[differ] - limit).max(initial=0) < 0.5
    assert abs(fired.mean() - would.mean()) <= 0.005  # and as often up as down
