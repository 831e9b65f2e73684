"""Seconds and peak memory of scoring a large segmentation and of listing its errors and doubts.

    python benchmarks/errors.py --sides 5000 20000

Ground truth and segmentation are written chunk by chunk: the Earth scene's labels, repeated, and the same moved by a
few px with some blocks of another class, so that errors are many and small. Every measurement has a process of its own,
whose peak the system reports (Linux: ``VmHWM``); ``nothing`` measures the imports alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import peak_megabytes

from fctl_napari.evaluation.acquisition import find_next
from fctl_napari.evaluation.error_regions import find_errors, find_uncertain
from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.model_card import builtin_checkpoints, read_card
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap

MOVED = (2, 3)
"""How far the segmentation lies from its truth, (y, x) px."""

TASKS = {
    "nothing": lambda segmentation, ground_truth: None,
    "evaluate": lambda segmentation, ground_truth: evaluate(segmentation, ground_truth),
    "evaluate, no boundary": lambda segmentation, ground_truth: evaluate(segmentation, ground_truth, boundary_px=None),
    "find_errors": lambda segmentation, ground_truth: find_errors(segmentation, ground_truth),
    "find_doubts": lambda segmentation, ground_truth: find_uncertain(segmentation),
    "find_next": lambda segmentation, ground_truth: find_next(segmentation),
}


def write(folder: Path, side: int) -> None:
    """Write ``truth`` and ``segmentation`` of side x side px into a folder, level 0 only."""
    scene = open_ground_truth(sample_files().ground_truth)
    card = read_card(builtin_checkpoints()["earth"])
    tile = card.config.tile_size
    segmentation = Segmentation.create(
        folder / "segmentation",
        image=(side, side),
        grid=TileGrid((side, side), tile, default_overlap(tile)),
        card=card,
        checkpoint_hash="0" * 64,
        settings={},
    )
    classes = [info.model_dump() for info in card.classes]
    ground_truth = LabelPyramid.create(folder / "truth", (side, side), chunk=512, classes=classes)
    whole = scene.read((0, 0, *scene.shape))
    random = np.random.default_rng(0)
    step = segmentation.grid.step * (2048 // segmentation.grid.step)

    def labels(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
        rows, columns = np.arange(y0, y1) % whole.shape[0], np.arange(x0, x1) % whole.shape[1]
        return whole[rows[:, None], columns] + np.uint8(1)

    for y in range(0, side, 2048):
        for x in range(0, side, 2048):
            ground_truth.write(y, x, labels(y, x, min(y + 2048, side), min(x + 2048, side)))
    for y in range(0, side, step):
        for x in range(0, side, step):
            y1, x1 = min(y + step, side), min(x + step, side)
            predicted = labels(y + MOVED[0], x + MOVED[1], y1 + MOVED[0], x1 + MOVED[1])
            predicted[predicted == 0] = 1
            for top, left in random.integers(0, step, (20, 2)):
                predicted[top : top + 40, left : left + 90] = random.integers(1, len(card.classes.names) + 1)
            coarse = random.integers(60, 256, (step // 32 + 1, step // 32 + 1)).astype(np.uint8)
            sure = coarse.repeat(32, 0).repeat(32, 1)[: y1 - y, : x1 - x]
            segmentation.labels.write(y, x, predicted)
            segmentation.confidence.write(y, x, sure)


def measure(folder: Path, task: str) -> dict[str, float]:
    """Run one task in this process."""
    segmentation, ground_truth = Segmentation.open(folder / "segmentation"), open_ground_truth(folder / "truth")
    begun = time.monotonic()
    found = TASKS[task](segmentation, ground_truth)
    seconds = time.monotonic() - begun
    return {"seconds": seconds, "peak": peak_megabytes(os.getpid()), "regions": getattr(found, "found", 0)}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[5000, 20000])
    parser.add_argument("--folder", type=Path, help="Where the files are kept for another time.")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(Path(options.one[0]), options.one[1])))
        return
    print(f"{'side, px':>10}  {'task':<22} {'time, s':>8} {'peak, MB':>9} {'regions':>9}")
    with tempfile.TemporaryDirectory() as name:
        for side in options.sides:
            folder = (options.folder or Path(name)) / str(side)
            if not folder.exists():
                write(folder, side)
            for task in TASKS:
                command = [sys.executable, __file__, "--one", str(folder), task]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                print(
                    f"{side:>10}  {task:<22} {found['seconds']:>8.1f} {found['peak']:>9.0f} {found['regions']:>9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
