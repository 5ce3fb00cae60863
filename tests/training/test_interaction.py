"""The heads in training form: the trunk is the packaged encoder's, padding says nothing, and what
is exported is what was trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from serac_retriever.models.encoder import packaged_encoder
from serac_retriever.models.interaction import InteractionHead
from serac_retriever.training.interaction import (
    MAX_TOKENS,
    WIDTH,
    Collate,
    CollateReadings,
    Interaction,
    ReaderModel,
    ScopeModel,
    export_head,
    export_stages,
)

ROWS: list[dict[str, Any]] = [
    {"query": "Who leads Britain?", "edit": "Who is the UK prime minister? Keir Starmer",
     "label": 0, "start": 30, "end": 42},
    {"query": "Is it 12 weeks?", "edit": "What is the notice period? 3 months",
     "label": 2, "start": -1, "end": -1},
    {"query": "a", "edit": "b", "label": 1, "start": -1, "end": -1},
    {"query": "How much notice must I give? " * 5, "edit": "The notice period is 3 months. " * 9,
     "label": 0, "start": 21, "end": 29},
]  # fmt: skip
collate = Collate()
collate_readings = CollateReadings()


@pytest.fixture(scope="module")
def reader() -> ReaderModel:
    """An untrained reader whose answers differ from pair to pair: its last layer is made louder."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = Interaction(outputs=3, spans=True)
    with torch.no_grad():
        head.head[-1].weight *= 4
    return ReaderModel(head).eval()


def said(model: Any, rows: list[dict[str, Any]]) -> list[list[Any]]:
    """What a model says of each row: logits, and the span scores of the edit's real tokens."""
    batch = collate(rows)
    batch.pop("labels", None)
    with torch.no_grad():
        out = model(**batch)
    spans = out.get("spans")
    lengths = batch["edit_mask"].sum(1)
    return [
        [out["logits"][n].numpy(), *([] if spans is None else [spans[n, : lengths[n]].numpy()])]
        for n in range(len(rows))
    ]


# -- the trunk ---------------------------------------------------------------------------------


def test_the_trunks_token_states_are_those_that_the_packaged_encoder_gives(
    reader: ReaderModel,
) -> None:
    batch = collate(ROWS)
    states = reader.states(batch["query_ids"], batch["query_mask"])
    packaged = packaged_encoder().token_states([row["query"] for row in ROWS])
    for ours, theirs in zip(states.numpy(), packaged, strict=True):
        mine, yours = ours[: len(theirs)], theirs.floats()
        cosines = (
            (mine * yours).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(yours, axis=1)
        )
        assert cosines.min() > 0.995


def test_only_the_head_takes_gradients_and_the_trunk_never_drops_out(reader: ReaderModel) -> None:
    reader.train()
    frozen = [name for name, weight in reader.named_parameters() if not weight.requires_grad]
    assert frozen
    assert not any(name.startswith("head.") for name in frozen)
    assert all(weight.requires_grad for weight in reader.head.parameters())
    batch = collate(ROWS)
    ids, mask = batch["edit_ids"], batch["edit_mask"]
    assert torch.equal(reader.states(ids, mask), reader.states(ids, mask))
    reader.eval()


# -- scores ------------------------------------------------------------------------------------


def test_padding_changes_no_score(reader: ReaderModel) -> None:
    for row, (logits, spans) in zip(ROWS, said(reader, ROWS), strict=True):
        [(alone, alone_spans)] = said(reader, [row])
        assert logits == pytest.approx(alone, abs=1e-4)
        assert np.abs(spans - alone_spans).max() < 1e-4


def test_no_span_begins_or_ends_in_padding(reader: ReaderModel) -> None:
    batch = collate(ROWS)
    batch.pop("labels")
    with torch.no_grad():
        spans = reader(**batch)["spans"]
    padding = batch["edit_mask"] == 0
    assert padding.any()
    assert (spans[padding] < -1000).all()


def test_which_text_is_the_query_and_which_the_edit_matters(reader: ReaderModel) -> None:
    [row] = ROWS[:1]
    [[there, _]] = said(reader, [row])
    [[back, _]] = said(reader, [{**row, "query": row["edit"], "edit": row["query"]}])
    assert np.abs(there - back).max() > 1e-3


def test_the_scope_models_loss_is_the_binary_cross_entropy_of_its_logits() -> None:
    model = ScopeModel().eval()
    batch = collate([{**row, "label": n % 2} for n, row in enumerate(ROWS)])
    with torch.no_grad():
        out = model(**batch)
        labels = batch.pop("labels")
        assert set(model(**batch)) == {"logits"}
    assert out["logits"].shape == (len(ROWS),)
    expected = functional.binary_cross_entropy_with_logits(out["logits"], labels.float())
    assert float(out["loss"]) == pytest.approx(float(expected))


def test_spans_that_are_not_taught_cost_the_reader_nothing(reader: ReaderModel) -> None:
    verdict = collate_readings(ROWS[1:3])
    with torch.no_grad():
        out = reader(**verdict)
        expected = functional.cross_entropy(out["logits"], verdict["labels"])
        assert float(out["loss"]) == pytest.approx(float(expected), abs=1e-5)
        taught = reader(**collate_readings(ROWS[:3]))
        plain = functional.cross_entropy(taught["logits"], collate_readings(ROWS[:3])["labels"])
    assert float(taught["loss"]) > float(plain)


# -- batches -----------------------------------------------------------------------------------


def test_long_texts_are_cut_and_labels_go_along() -> None:
    batch = collate([{"query": "word " * 500, "edit": "a", "label": 1}])
    assert batch["query_ids"].shape == (1, MAX_TOKENS)
    assert batch["labels"].tolist() == [1]
    assert "labels" not in collate([{"query": "a", "edit": "b"}])


def test_a_batch_has_the_tokens_that_the_packaged_encoder_reads() -> None:
    batch = collate(ROWS)
    for row, mask in zip(ROWS, batch["edit_mask"], strict=True):
        assert int(mask.sum()) == len(packaged_encoder().offsets(row["edit"]))


@given(
    st.text("ab 12,é", max_size=30),
    st.sampled_from(["Keir Starmer", "3 months", "£5", "Zoë", "12.5 %"]),
    st.text("ab 12,é", max_size=30),
)
@settings(max_examples=50)
def test_taught_tokens_cover_the_answer(before: str, answer: str, after: str) -> None:
    edit = f"{before} {answer} {after}"
    start = len(before) + 1
    row = {"query": "q", "edit": edit, "label": 0, "start": start, "end": start + len(answer)}
    batch = collate_readings([row, {**row, "start": -1, "end": -1}])
    (first, untaught), (last, _) = batch["starts"].tolist(), batch["ends"].tolist()
    places = packaged_encoder().offsets(edit)
    assert edit[places[first][0] : places[last][1]] == answer
    assert untaught == -100


def test_an_answer_that_was_cut_off_is_not_taught() -> None:
    edit = "word " * 200 + "Ada"
    row = {"query": "q", "edit": edit, "label": 0, "start": 1000, "end": 1003}
    batch = collate_readings([row])
    assert batch["starts"].tolist() == batch["ends"].tolist() == [-100]


# -- export ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_exported_head_says_what_the_trained_one_says(
    reader: ReaderModel, tmp_path: Path
) -> None:
    path = export_head(reader.head, tmp_path / "new" / "head.onnx")
    assert path.stat().st_size < 12e6  # a quarter of its float32
    head = InteractionHead(path)
    for size in (1, 2, len(ROWS)):
        for begin in range(len(ROWS) - size + 1):
            rows = ROWS[begin : begin + size]
            read = head.read([row["query"] for row in rows], [row["edit"] for row in rows])
            for (logits, spans), (their_logits, their_spans) in zip(
                read, said(reader, rows), strict=True
            ):
                assert logits == pytest.approx(their_logits, abs=2e-2)
                assert np.abs(spans - their_spans).max() < 5e-2
    # the tolerance tells something: pairs differ by far more
    logits = np.array([logits for logits, _ in said(reader, ROWS)])
    assert logits.std(axis=0).max() > 0.05


@pytest.mark.slow
def test_the_two_stages_say_what_the_whole_head_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ScopeModel().eval()
    with torch.no_grad():
        model.head.head[-1].weight *= 4
    first, second = tmp_path / "compare.onnx", tmp_path / "scope.onnx"
    export_stages(model.head, first, second)
    assert first.stat().st_size < second.stat().st_size < 12e6
    compared = InteractionHead(first).read(
        *zip(*((r["query"], r["edit"]) for r in ROWS), strict=True)
    )
    theirs = [float(np.squeeze(logits)) for (logits,) in said(model, ROWS)]
    ours = []
    for asked, told, pooled in compared:
        assert pooled[:WIDTH] == pytest.approx(asked.mean(axis=0), abs=1e-4)
        assert pooled[3 * WIDTH : 4 * WIDTH] == pytest.approx(told.max(axis=0), abs=1e-4)
        ours.append(float(InteractionHead(second).run(asked, told)[0][0]))
    assert ours == pytest.approx(theirs, abs=0.05)  # whole numbers
    assert np.std(theirs) > 0.1
