"""How the packaged weights are stored: ONNX, in a quarter of the size.

Large tensors are int8 in blocks that share a scale, turned back into float32 once, when the session
is built: scores do not depend on which integer instructions a CPU has, and cost what float32 costs.
The scope head's two files multiply whole numbers instead (``integers``).
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 32  # consecutive numbers that share a scale
SMALL = 10_000  # tensors under this many numbers stay float32: they weigh nothing


def write_onnx(
    module: Any,
    inputs: tuple[Any, ...],
    path: Path,
    *,
    integers: bool = False,
    spared: tuple[int, int] | None = None,
    **names: Any,
) -> Path:
    """Write a PyTorch module as ONNX and return the path.

    Args:
        module: The module.
        inputs: Examples of what it is given.
        path: The file.
        integers: Multiply whole numbers, twice as fast: weights of seven bits, by column, and what
            they are multiplied with of eight, by tensor.
        spared: Weights of this shape, (in, out), are multiplied as floats all the same.
        **names: ``input_names``, ``output_names`` and ``dynamic_shapes``, as ``torch.onnx.export``
            takes them.
    """
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        plain = Path(scratch) / "float.onnx"
        torch.onnx.export(
            module.eval().float().cpu(),
            inputs,
            plain,
            external_data=False,
            optimize=True,
            verbose=False,
            **names,
        )
        if integers:
            quant_pre_process(plain, plain, skip_symbolic_shape=True)
            graph = onnx.load(plain).graph
            kept = {one.name for one in graph.initializer if tuple(one.dims) == spared}
            quantize_dynamic(
                plain,
                plain,
                nodes_to_exclude=[node.name for node in graph.node if kept & {*node.input}],
                op_types_to_quantize=["MatMul"],
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,  # of eight bits, CPUs without VNNI would saturate
                extra_options={"MatMulConstBOnly": True},
            )
        model = onnx.load(plain)
    _store_as_int8(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from people what the exporter warns of: nothing that they could mend."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def round_as_stored(module: Any) -> Any:
    """Round a PyTorch module's large weights, in place, to what :func:`write_onnx` keeps.

    So that a head is trained on the token states that it will be served. The exporter stores the
    transpose of a linear layer's weights.
    """
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.Embedding):
            turned = isinstance(part, torch.nn.Linear)
            weight = part.weight.detach().float()
            values = (weight.T if turned else weight).contiguous().numpy()
            if values.size >= SMALL:
                blocks, scale = _in_blocks(values)
                kept = torch.from_numpy((blocks * scale).reshape(values.shape))
                part.weight.data.copy_(kept.T if turned else kept)
    return module


def _store_as_int8(model: Any) -> None:
    """Replace large float tensors by int8 blocks and scales; constant folding undoes it at load."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    restoring = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        name = tensor.name
        blocks, scale = _in_blocks(values)
        constants = {
            f"{name}.int8": blocks.astype(np.int8),
            f"{name}.scale": scale,
            f"{name}.shape": np.array(values.shape, dtype=np.int64),
        }
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
        restoring += [
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [f"{name}.flat"]),
            helper.make_node("Reshape", [f"{name}.flat", f"{name}.shape"], [name]),
        ]
    for node in reversed(restoring):
        graph.node.insert(0, node)


def _in_blocks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whole numbers from -127 to 127 in rows of :data:`BLOCK`, and the rows' scales."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    scale[scale == 0] = 1
    return np.round(blocks / scale), scale.astype(np.float32)
