"""An ONNX head over token states: what each pair is given, whatever company it is read in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serac_retriever.errors import WeightsNotFoundError
from serac_retriever.models.encoder import BATCH, packaged_encoder
from serac_retriever.models.interaction import InteractionHead

QUERIES = ["Who leads Britain?", "a", "🙂", "", "How much notice must I give, please? " * 9]
EDITS = [
    "Who is the UK prime minister? Keir Starmer",
    "b",
    "What is the notice period?",
    "The " * 60,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that gives each side's tokens and the sum of their states, and copies states out."""
    from onnx import TensorProto, checker, helper, save

    def floats(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def whole(name: str, *values: int) -> Any:
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    def node(kind: str, inputs: list[str], output: str, **fields: Any) -> Any:
        return helper.make_node(kind, inputs, [output], **fields)

    graph = helper.make_graph(
        [
            node("ReduceSum", ["query_mask", "one"], "asked", keepdims=1),
            node("ReduceSum", ["edit_mask", "one"], "told", keepdims=1),
            node("ReduceSum", ["query", "both"], "query_sum", keepdims=0),
            node("ReduceSum", ["edit", "both"], "edit_sum", keepdims=0),
            node("Unsqueeze", ["query_sum", "one"], "query_column"),
            node("Unsqueeze", ["edit_sum", "one"], "edit_column"),
            node("Concat", ["asked", "told", "query_column", "edit_column"], "logits", axis=1),
            node("Slice", ["edit", "zero", "two", "last"], "spans"),
        ],
        "head",
        [
            floats("query", "batch", "queries", "width"),
            floats("query_mask", "batch", "queries"),
            floats("edit", "batch", "edits", "width"),
            floats("edit_mask", "batch", "edits"),
        ],
        [floats("logits", "batch", 4), floats("spans", "batch", "edits", 2)],
        [whole("one", 1), whole("both", 1, 2), whole("zero", 0), whole("two", 2), whole("last", 2)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    out = tmp_path_factory.mktemp("head")
    save(model, out / "head.onnx")
    return out


def test_each_pair_is_given_its_own_tokens_and_no_padding_counts(folder: Path) -> None:
    pairs = [(query, edit) for edit in EDITS for query in QUERIES] * 3
    assert len(pairs) > BATCH
    queries, edits = zip(*pairs, strict=True)
    found = [*InteractionHead(folder / "head.onnx").read(queries, edits)]
    assert len(found) == len(pairs)
    asked = packaged_encoder().token_states(queries)
    told = packaged_encoder().token_states(edits)
    for (logits, spans), query, edit in zip(found, asked, told, strict=True):
        sums = [query.floats().sum(), edit.floats().sum()]
        assert logits == pytest.approx([len(query), len(edit), *sums], rel=1e-3, abs=0.5)
        assert (spans == edit.floats()[:, :2]).all()


def test_no_pairs_are_read_as_none(folder: Path) -> None:
    assert [*InteractionHead(folder / "head.onnx").read([], [])] == []


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"head\.onnx"):
        [*InteractionHead(tmp_path / "head.onnx").read(["a"], ["b"])]
