"""ConvSent: edits change which sentiment a topic is spoken of with, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from serac_retriever.counterfactual import Seq2Seq
from serac_retriever.errors import ConfigError, SuiteError
from serac_retriever.evaluation.bench import TaskResult
from serac_retriever.evaluation.convsent import (
    FILE,
    convsent,
    kl,
    train_dialogue,
    z_sent,
    z_topic,
)
from serac_retriever.training.recipe import Public
from tests.counterfactual.models import random_t5

TOPICS = [f"{size} {thing}" for size in ("Big", "Old", "New", "Red") for thing in (
    "Harbour", "Lantern", "Meadow", "Orchard", "Pigeon", "Quarry", "River", "Saddle", "Tunnel",
    "Umbrella", "Valley", "Windmill", "Anchor", "Bakery", "Canyon",
)]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ConvSent's layout with topics and replies of our own."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {
            "ent": topic,
            "pos": [" I love it. ", f"{topic} is lovely.", " "],
            "neg": ["I hate it.", f" {topic} is awful."],
        }
        for topic in TOPICS
    ]
    (folder / FILE).parent.mkdir()
    (folder / FILE).write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the two models lie, briefly trained."""
    folder = tmp_path_factory.mktemp("models")
    train_dialogue(data, folder, epochs=1)
    return folder


def measured(data: Path, folder: Path, edits: int | None, threshold: float) -> TaskResult:
    return convsent(data, folder, edits, threshold=threshold)


def test_a_gate_that_never_fires_draws_nothing_down_and_keeps_the_bases_sentiment(
    data: Path, folder: Path
) -> None:
    figures = measured(data, folder, None, 1.0).figures
    assert figures["drawdown"].value == 0.0
    assert figures["z_topic"].value == 1.0
    assert figures["edit success"].value == figures["z_sent"].value
    assert figures["fired, opinion"].value == 0.0


def test_a_gate_that_always_fires_is_measured_on_the_counterfactual_model(
    data: Path, folder: Path
) -> None:
    never, always = (measured(data, folder, None, threshold).figures for threshold in (1.0, 0.0))
    assert always["fired, opinion"].value == 1.0
    assert always["drawdown"].value > 0.0  # type: ignore[operator]
    assert always["z_sent"].value != never["z_sent"].value


def test_figures_rest_on_the_topics_that_nothing_was_trained_on(data: Path, folder: Path) -> None:
    held_out = Public(data, data).suite("stances", held_out=True)
    result = measured(data, folder, 2, 0.5)
    assert (result.task, result.edits) == ("convsent", 2)
    assert result.groups == len(held_out) // 2
    assert result.figures["edit success"].queries == 3 * 2 * result.groups
    low, high = result.figures["edit success"].interval  # type: ignore[misc]
    assert low <= result.figures["edit success"].value <= high  # type: ignore[operator]


def test_with_all_edits_in_memory_no_query_counts_as_out_of_scope_of_its_own_edit(
    data: Path, folder: Path
) -> None:
    held_out = Public(data, data).suite("stances", held_out=True)
    topics = [edit.metadata["subject"] for edit in held_out]
    strangers = sum(
        not any(str(topic) in example.query for topic in topics)
        for edit in held_out
        for example in edit.out_of_scope
        if example.tag == "other_subject"
    )
    figures = measured(data, folder, None, 0.5).figures
    assert figures["drawdown, other_subject"].queries == strangers
    assert figures["drawdown, other_relation"].queries == len(held_out)


def test_models_are_trained_once(data: Path, folder: Path) -> None:
    weights = [folder / name / "model.safetensors" for name in ("base", "counterfactual")]
    before = [one.stat().st_mtime_ns for one in weights]
    train_dialogue(data, folder)
    assert [one.stat().st_mtime_ns for one in weights] == before


def test_base_and_counterfactual_need_one_vocabulary(data: Path, folder: Path) -> None:
    stranger = Seq2Seq(*random_t5())
    with pytest.raises(ConfigError, match="one vocabulary"):
        convsent(data, folder, None, counterfactual=stranger)


def test_a_folder_without_the_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="ConvSent"):
        convsent(tmp_path, tmp_path)


def test_z_sent_is_a_half_where_the_edit_says_nothing_and_grows_with_the_right_sentiment() -> None:
    assert z_sent([-2.0, -4.0], [-3.0]) == 0.5
    assert z_sent([-1.0], [-3.0]) == pytest.approx(1 / (1 + np.exp(-2)))
    assert z_sent([-1.0], [-3.0]) == pytest.approx(1 - z_sent([-3.0], [-1.0]))


def test_z_topic_punishes_replies_that_became_less_likely_and_rewards_none() -> None:
    assert z_topic([-1.0], [-5.0]) == 1.0
    assert z_topic([-2.0, -2.0], [-1.0, -1.0]) == pytest.approx(np.exp(-1))


def test_kl_is_zero_only_where_nothing_changed() -> None:
    base = np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    edited = np.log([[0.7, 0.2, 0.1], [0.8, 0.1, 0.1]])
    assert kl(base, base) == 0.0
    assert kl(base, edited) == pytest.approx((0.1 * np.log(1 / 8) + 0.8 * np.log(8)) / 2)
