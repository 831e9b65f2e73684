#!/usr/bin/env bash
# Two threads that load compiled networks from OpenVINO's cache leave the whole process in the locale "C".
#
# Setting: openvino on a CPU, CACHE_DIR set, networks compiled once before. Two threads then call `compile_model` at the
#   same time, each for a network of its own and with a core of its own, which the documentation allows.
# Expected: a library leaves the locale of the process as it was.
# Seen: the locale is "C" afterwards, so that Python reads and writes text as ASCII where no encoding is said:
#   `locale.getpreferredencoding(False)` changes from UTF-8 to ANSI_X3.4-1968. With one thread it stays. Each load seems to
#   set "C" and to put back what it found, which is the other thread's "C".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cd "$folder"
cat >networks.py <<'PYTHON'
import locale
import sys
from concurrent.futures import ThreadPoolExecutor

sys.modules["openvino_telemetry"] = None
import numpy as np
import openvino as ov
import openvino.opset13 as ops

KEPT = {"CACHE_DIR": "cache"}


def network(channels):
    x = given = ops.parameter([1, channels, 32, 32], np.float32, "x")
    weights = np.random.default_rng(channels).normal(size=(channels, channels, 3, 3)).astype(np.float32)
    for _ in range(20):
        x = ops.relu(ops.convolution(x, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1]))
    return ov.Model([x], [given], f"network of {channels} channels")


def load(model):
    ov.Core().compile_model(model, "CPU", KEPT)


models = [network(channels) for channels in (8, 16)]
for model in models:
    load(model)
for threads in (1, 2):
    before = locale.setlocale(locale.LC_CTYPE), locale.getpreferredencoding(False)
    loads = 0
    with ThreadPoolExecutor(threads) as pool:
        while loads < 400 and locale.setlocale(locale.LC_CTYPE) == before[0]:
            list(pool.map(load, models))
            loads += len(models)
    after = locale.setlocale(locale.LC_CTYPE), locale.getpreferredencoding(False)
    print(f"{threads} thread(s): {before} before, {after} after {loads} loads", flush=True)
    assert (after == before) == (threads == 1), "changed: the locale is as one would expect"
PYTHON
"$folder/venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null | grep -i "openvino \|numpy"
LC_ALL=C.UTF-8 venv/bin/python networks.py
