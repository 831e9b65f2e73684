"""Time ``fctl segment`` on a CPU, whole commands from start to prompt: engines and precisions in turn, side by side.

The image is the sample scene, repeated to a square of ``--side`` px, as an OME-Zarr (0: the scene as it is). Printed
are medians over rounds of wall time and CPU time, children included, how many times as fast as the first row that is,
and the share of px with the first row's class.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.segmentation.store.store import Segmentation

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


def run(image: Path, out: Path, checkpoint: str, engine: str, precision: str) -> tuple[float, float]:
    """Run the command, and return its wall time and its CPU time, s."""
    shutil.rmtree(out, ignore_errors=True)
    call = ["-m", "fctl_napari.cli", "segment", str(image), "--out", str(out), "--checkpoint", checkpoint]
    before, begun = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, *call, "--engine", engine, "--precision", precision, "--device", "cpu"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = os.times()
    wall = time.perf_counter() - begun
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


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
    parser.add_argument("--checkpoint", default="earth")
    parser.add_argument("--ways", nargs="+", default=["torch:fp32", "torch:bf16", "openvino:fp32", "openvino:bf16"])
    arguments = parser.parse_args()
    ways = [tuple(way.split(":")) for way in arguments.ways]
    times: dict[tuple[str, ...], list[tuple[float, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        image = make_image(Path(folder), arguments.side)
        outs = {way: Path(folder) / f"{'-'.join(way)}.ome.zarr" for way in ways}
        for number in range(arguments.rounds + 1):  # the first warms caches, and converts the network
            for way in ways:
                found = run(image, outs[way], arguments.checkpoint, *way)
                if number:
                    times[way].append(found)
        print(f"{image.name}, {open_image(image).shape}, {arguments.checkpoint}, medians of {arguments.rounds} rounds")
        print("| engine | precision | wall, s | CPU, s | wall of the first | CPU of the first | px of the same class |")
        print("|---|---|---|---|---|---|---|")
        first = [statistics.median(values) for values in zip(*times[ways[0]], strict=True)]
        for way in ways:
            wall, cpu = (statistics.median(values) for values in zip(*times[way], strict=True))
            share = agreement(outs[ways[0]], outs[way])
            ratios = f"{first[0] / wall:.1f}x | {first[1] / cpu:.1f}x"
            print(f"| {' | '.join(way)} | {wall:.1f} | {cpu:.1f} | {ratios} | {100 * share:.3f} % |", flush=True)


if __name__ == "__main__":
    main()
