"""Small networks as ONNX files, made with the package onnx."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HEADS = {
    "logits": [],
    "softmax": [("Softmax", {"axis": 1})],
    "sigmoid": [("Sigmoid", {})],
    "index": [("ArgMax", {"axis": 1, "keepdims": 1})],
    "flat index": [("ArgMax", {"axis": 1, "keepdims": 0})],
}
"""What follows the convolution."""


def network(
    path: Path,
    *,
    head: str = "logits",
    channels: int = 3,
    bands: int = 3,
    size: int | None = 64,
    batch: int | None = None,
    stride: int = 1,
    kind: int = TensorProto.FLOAT,
    metadata: dict[str, object] | None = None,
    seed: int = 0,
) -> Path:
    """Write one convolution of 3 px and a head; metadata is written as JSON, but for texts, as they are."""
    rng = np.random.default_rng(seed)
    scale = 0.004 if kind == TensorProto.UINT8 else 0.5  # values of 0..255, or about 0..1
    weights = rng.normal(scale=scale, size=(channels, bands, 3, 3)).astype(np.float32)
    weights -= weights.mean((1, 2, 3), keepdims=True)  # no class is everywhere
    nodes, last = [helper.make_node("Cast", ["tile"], ["values"], to=TensorProto.FLOAT)], "scores"
    nodes.append(helper.make_node("Conv", ["values", "weights"], [last], pads=[1, 1, 1, 1], strides=[stride, stride]))
    for number, (operator, attributes) in enumerate(HEADS[head]):
        nodes.append(helper.make_node(operator, [last], [f"head {number}"], **attributes))
        last = f"head {number}"
    whole = head.endswith("index")
    shape: list[Any] = ["n", 1 if whole else channels, "h", "w"]
    if head == "flat index":
        shape = ["n", "h", "w"]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("tile", kind, [batch or "n", bands, size or "h", size or "w"])],
        [helper.make_tensor_value_info(last, TensorProto.INT64 if whole else TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    onnx.save(model, path)
    return path


def deepness(*names: str, **others: object) -> dict[str, object]:
    """Metadata as the plugin's documentation says it."""
    return {"model_type": '"Segmentor"', "class_names": {str(k): name for k, name in enumerate(names)}, **others}


def run(path: Path, tile: NDArray[Any]) -> NDArray[Any]:
    """Run a file with onnxruntime on a tile [C, T, T], values as the network takes them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"tile": tile[None]})
    result: NDArray[Any] = found[0]
    return result
