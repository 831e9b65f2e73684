"""Time ``fctl segment`` on a CPU, whole commands from start to prompt: engines and precisions in turn, side by side.

The image is the sample scene, repeated to a square of ``--side`` px, as an OME-Zarr (0: the scene as it is). Printed
are medians over rounds of the time to the first tile on disk, of wall time and CPU time, children included, how many
times as fast as the first row that is, and the share of px with the first row's class. With ``--busy`` each command
runs a second time beside processes that compute without end; the share of its idle speed is printed too.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.words import count_of

LOOK_SECONDS = 0.02
"""Time between two looks for the first tile, s."""

BLOCK = 2048
"""Side of the blocks in which two results are compared, px."""


def make_image(folder: Path, side: int) -> Path:
    """Return the sample scene, or write it repeated to a square."""
    scene = sample_files().image
    if side == 0:
        return Path(scene)
    image = open_image(scene)
    pixels = image.read((0, 0, *image.shape))
    counts = [-(-side // length) for length in image.shape]
    repeated = np.tile(pixels, (*counts, 1))[:side, :side]
    return convert(pyramid_from_array(np.ascontiguousarray(repeated), name="large"), folder / "large.ome.zarr")


class Times(NamedTuple):
    """Times of one command, s.

    Attributes
    ----------
    first, wall, cpu : float
        To the first tile on disk, to the prompt, and of the CPU, children included.
    """

    first: float
    wall: float
    cpu: float


def run(image: Path, out: Path, checkpoint: str, way: Sequence[str], *more: str) -> Times:
    """Run the command."""
    shutil.rmtree(out, ignore_errors=True)
    engine, precision = way
    call = ["-m", "fctl_napari.cli", "segment", str(image), "--out", str(out), "--checkpoint", checkpoint, *more]
    options = ["--engine", engine, "--precision", precision, "--device", "cpu"]
    before, begun, first = os.times(), time.perf_counter(), float("nan")
    with subprocess.Popen(
        [sys.executable, *call, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as command:
        while command.poll() is None:
            if math.isnan(first) and next(out.glob("0/c/*/*"), None):
                first = time.perf_counter() - begun
            time.sleep(LOOK_SECONDS)
        wall = time.perf_counter() - begun
    if command.returncode:
        raise SystemExit(f"{' '.join(call)}: exit code {command.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Times(first, wall, cpu)


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Let processes compute without end beside the block."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def agreement(first: Path, second: Path) -> float:
    """Return the share of px of the same class."""
    one, other = Segmentation.open(first), Segmentation.open(second)
    height, width = one.shape
    same = 0
    for y in range(0, height, BLOCK):
        window = (y, 0, min(y + BLOCK, height), width)
        same += int(np.count_nonzero(one.labels.read(window) == other.labels.read(window)))
    return same / (height * width)


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=0, help="side of the image, px; 0: the sample scene")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it, in runs of their own")
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--ways", nargs="+", default=["torch:fp32", "torch:bf16", "openvino:fp32", "openvino:bf16"])
    arguments = parser.parse_args()
    ways = [tuple(way.split(":")) for way in arguments.ways]
    times: dict[tuple[str, ...], list[Times]] = {way: [] for way in ways}
    beside: dict[tuple[str, ...], list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        image = make_image(Path(folder), arguments.side)
        outs = {way: Path(folder) / f"{'-'.join(way)}.ome.zarr" for way in ways}
        for way in ways:  # warms caches, and converts the network
            run(image, outs[way], arguments.checkpoint, way, "--region", "0", "0", "512", "512")
        for _ in range(arguments.rounds):
            for way in ways:
                if arguments.busy:
                    with busy(arguments.busy):
                        beside[way].append(run(image, outs[way], arguments.checkpoint, way).wall)
                times[way].append(run(image, outs[way], arguments.checkpoint, way))
        print(f"{image.name}, {open_image(image).shape}, {arguments.checkpoint}, medians of {arguments.rounds} rounds")
        heads = ["engine", "precision", "first tile, s", "wall, s", "CPU, s", "wall of the first", "CPU of the first"]
        heads += ["px of the same class"]
        heads += [f"speed beside {count_of(arguments.busy, 'busy process')}"] if arguments.busy else []
        print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
        first = [statistics.median(values) for values in zip(*times[ways[0]], strict=True)]
        for way in ways:
            tile, wall, cpu = (statistics.median(values) for values in zip(*times[way], strict=True))
            share = agreement(outs[ways[0]], outs[way])
            row = [
                *way,
                f"{tile:.1f}",
                f"{wall:.1f}",
                f"{cpu:.1f}",
                f"{first[1] / wall:.1f}x",
                f"{first[2] / cpu:.1f}x",
            ]
            row += [f"{100 * share:.3f} %"]
            row += [f"{100 * wall / statistics.median(beside[way]):.0f} %"] if arguments.busy else []
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
