#!/usr/bin/env bash
# torch's FlopCounterMode counts 0 for a whole transformer layer on the CPU as soon as it does not train.
#
# Setting: counting what inference costs, which is done with eval() and no_grad().
# Expected: a forward pass has as many FLOPs with gradients as without, as it computes the same numbers.
# Seen: without gradients the CPU takes fused operators that the counter has no formula for, and it counts nothing for
#   them, silently: nn.TransformerEncoderLayer and nn.MultiheadAttention have 0 FLOPs in eval() with no_grad(), linear
#   layers included. functional.scaled_dot_product_attention and nn.LSTM have 0 in any case. A convolution is right.
#   Costs of networks with attention that were counted on a CPU are too small, and by how much depends on no_grad().
#   (That one operator of attention lacks a formula is known upstream: pytorch/pytorch issue 195460.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__)


def count(run, gradients):
    with torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        output = run()
    return counter.get_total_flops(), output[0] if isinstance(output, tuple) else output


torch.manual_seed(0)
x = torch.randn(1, 256, 64)
q = torch.randn(1, 4, 256, 16)
image = torch.randn(1, 64, 32, 32)
layer = nn.TransformerEncoderLayer(64, 4, batch_first=True).eval()
attention = nn.MultiheadAttention(64, 4, batch_first=True).eval()
lstm = nn.LSTM(64, 64, batch_first=True).eval()
convolution = nn.Conv2d(64, 64, 3, padding=1).eval()
runs = {
    "Conv2d": lambda: convolution(image),
    "TransformerEncoderLayer": lambda: layer(x),
    "MultiheadAttention": lambda: attention(x, x, x),
    "LSTM": lambda: lstm(x),
}
counts = {}
for name, run in runs.items():
    (training, expected), (inference, output) = count(run, True), count(run, False)
    torch.testing.assert_close(output, expected.detach(), atol=1e-4, rtol=1e-4)
    counts[name] = training, inference
    print(f"{name}: {training} FLOPs with gradients, {inference} without; the outputs are the same")

fused, _ = count(lambda: functional.scaled_dot_product_attention(q, q, q), False)
plain, _ = count(lambda: torch.softmax(q @ q.transpose(-1, -2) / 4, -1) @ q, False)
print(f"scaled_dot_product_attention: {fused} FLOPs, {plain} written out as two products")

assert counts["Conv2d"][0] == counts["Conv2d"][1] == 2 * 64 * 64 * 9 * 32 * 32
assert plain == 2 * 2 * 4 * 256 * 256 * 16 and fused == 0, "changed: attention"
assert counts["LSTM"] == (0, 0), "changed: LSTM"
for name in ("TransformerEncoderLayer", "MultiheadAttention"):
    training, inference = counts[name]
    assert training > 0 and inference == 0, f"changed: {name}"
PYTHON
