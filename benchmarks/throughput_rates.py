"""Measurement of seconds, bytes and rates for the benchmarks of throughput."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest

MATRIX = {"cpu": 2048, "cuda": 8192}
"""Side of the matrices whose product shows what the device can do."""


@dataclass(frozen=True, order=True)
class Rate:
    """Tiles per second, and bytes per tile that the reading process read from files."""

    tiles: float
    bytes: float = 0.0


def rate(
    run: Callable[[int], None], count: int, device: torch.device, finish: Callable[[], None] | None = None
) -> Rate:
    """Time ``run(0)``, ``run(1)``, ..., and the work that follows.

    One call before that warms up.
    """
    run(0)
    before = bytes_read()

    def everything() -> None:
        for index in range(count):
            run(index)
        if finish is not None:
            finish()

    seconds = timed(everything, device)
    return Rate(count / seconds, (bytes_read() - before) / count)


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Time a call, with the work that it leaves to the GPU, s."""
    synchronize(device)
    begun = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - begun


def synchronize(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(engine: Engine, request: SegmentationRequest) -> float:
    """Run a request and return the seconds from when its worker has the network to the last byte written."""
    times: list[float] = []

    def hear(progress: RunProgress) -> None:
        if progress.state in ("running", "done"):
            times.append(time.perf_counter())

    final = engine.start(request, hear).wait()
    if final.error is not None:
        raise final.error
    return times[-1] - times[0]


def bytes_read() -> int:
    """Return the bytes that this process has read from files so far, those in the system's cache too."""
    return int(psutil.Process().io_counters().read_chars)


def bytes_read_by_children() -> int:
    """Return the bytes that the worker processes have read from files so far."""
    return sum(int(child.io_counters().read_chars) for child in psutil.Process().children(recursive=True))


def matrix_rate(device: torch.device) -> float:
    """Measure the FLOP/s of a product of large bf16 matrices."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    runs = 20
    for _ in range(3):
        a @ b

    def run() -> None:
        for _ in range(runs):
            a @ b

    return runs * 2 * side**3 / timed(run, device)
