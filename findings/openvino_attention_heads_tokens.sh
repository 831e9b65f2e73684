#!/usr/bin/env bash
# Attention in OpenVINO is wrong on the CPU where it has as many heads as queries and the queries are scaled before.
#
# Setting: softmax((c * Q) K^T) V for Q, K and V of the shape [1, heads, queries, width], then transposed to
#   [1, queries, heads, width], as in any transformer. Shapes are fixed, and everything is computed in float32.
# Expected: the values that NumPy has for the same lines, for each number of heads and of queries.
# Seen: with 4 heads and 5 queries they are the same but for rounding. With 4 heads and 4 queries (or 16 and 16) the result
#   is off by as much as its own values, without a message. It is right again if the same network also returns c * Q, if its
#   result is not transposed, or if its shapes are left open. Of the wrong result, only queries that do not come before
#   their head (by number) are right: it looks as if the fused attention wrote its result over c * Q, which then has the
#   same shape, while parts of c * Q are still to be read. Swin V2, which normalizes its queries, meets this where a window
#   has as many tokens as there are heads (2 x 2 and 4, 4 x 4 and 16). OpenVINO 2025.2.0 and 2025.4.1 did the same.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cd "$folder"
cat >attention.py <<'PYTHON'
import sys

sys.modules["openvino_telemetry"] = None
import numpy as np
import openvino as ov
import openvino.opset13 as ops

WIDTH = 8
SCALE = np.float32(WIDTH**-0.5)
core = ov.Core()
print(ov.__version__, "on", core.get_property("CPU", "FULL_DEVICE_NAME"))


def difference(heads, queries, transposed=True, returned=False, fixed=True):
    """Return |OpenVINO - NumPy| for each number of a head and of a query."""
    shape = [1, heads, queries, WIDTH]
    order = np.array([0, 2, 1, 3] if transposed else [0, 1, 2, 3])
    q, k, v = (ops.parameter(shape if fixed else [-1] * 4, np.float32, name) for name in "qkv")
    scaled = ops.multiply(q, SCALE)
    weights = ops.softmax(ops.matmul(scaled, k, False, True), 3)
    result = ops.transpose(ops.matmul(weights, v, False, False), order)
    model = ov.Model([result, scaled] if returned else [result], [q, k, v], "attention")
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    q, k, v = (np.random.default_rng(seed).normal(size=shape).astype(np.float32) for seed in range(3))
    weights = np.exp((q * SCALE) @ k.swapaxes(2, 3))
    expected = (weights / weights.sum(-1, keepdims=True)) @ v
    found = compiled([q, k, v])[0].transpose(order)  # an order that undoes itself
    return np.abs(found - expected)[0].max(-1)


cases = {
    "4 heads, 5 queries": (4, 5),
    "5 heads, 4 queries": (5, 4),
    "4 heads, 4 queries": (4, 4),
    "16 heads, 16 queries": (16, 16),
    "4 heads, 4 queries, c * Q is returned too": (4, 4, True, True),
    "4 heads, 4 queries, not transposed": (4, 4, False),
    "4 heads, 4 queries, open shapes": (4, 4, True, False, False),
}
wrong = set()
for name, case in cases.items():
    largest = difference(*case).max()
    print(f"{name}: largest difference {largest:.1e}")
    if largest > 1e-3:
        wrong.add(name)
print("right, by head (down) and query (across), of 4 heads and 4 queries:")
print((difference(4, 4) < 1e-3).astype(int))
assert wrong == {"4 heads, 4 queries", "16 heads, 16 queries"}, "changed: other cases are wrong, or none"
PYTHON
"$folder/venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i "^openvino \|^numpy "
venv/bin/python attention.py
