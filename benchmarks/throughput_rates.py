"""Seconds, bytes and rates: what the benchmarks of throughput measure with."""

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
    """Tiles per second, and bytes that the reading process read from files per tile."""

    tiles: float
    bytes: float = 0.0


def rate(
    run: Callable[[int], None], count: int, device: torch.device, finish: Callable[[], None] | None = None
) -> Rate:
    """Time ``run(0)``, ``run(1)``, ..., and what there is to do afterwards; one call before that warms up."""
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
    """Seconds that a call takes, with what it leaves to the GPU."""
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
    """Carry a run out; seconds from when its worker has the network to the last byte written."""
    times: list[float] = []

    def hear(progress: RunProgress) -> None:
        if progress.state in ("running", "done"):
            times.append(time.perf_counter())

    final = engine.start(request, hear).wait()
    if final.error is not None:
        raise final.error
    return times[-1] - times[0]


def bytes_read() -> int:
    """Bytes that this process has read from files so far, those in the system's cache too."""
    return int(psutil.Process().io_counters().read_chars)


def bytes_read_by_children() -> int:
    """The same of the worker processes."""
    return sum(int(child.io_counters().read_chars) for child in psutil.Process().children(recursive=True))


def matrix_rate(device: torch.device) -> float:
    """FLOP/s of a product of large bf16 matrices."""
    side = MATRIX[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    runs = 20
    for _ in range(3):
        a @ b

    def run() -> None:
        for _ in range(runs):
            a @ b

    return runs * 2 * side**3 / timed(run, device)
