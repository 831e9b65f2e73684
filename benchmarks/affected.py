"""Share of a fine-tuned network's changes that lies in the tiles that are segmented anew.

    python benchmarks/affected.py earth --strokes 10 --seeds 0 1
    python benchmarks/affected.py aerial --data AERIAL --holdout 5 --checkpoint CELL.safetensors

The scenes, their correction and the fine-tuning are those of ``learn.py``. Parent and child segment the whole scene;
``finetuning.affected_tiles`` chooses cells by the parent's result and the strokes alone. Beside it stand the cells
whose tile meets a stroke, and the best choice of as many cells, which nobody knows beforehand.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from annotator import strokes
from corrected_scenes import Case, aerial, earth
from learn import inside

from fctl_napari.finetuning.affected_tiles import affected_cells
from fctl_napari.finetuning.correction_sources import LabelCorrections
from fctl_napari.finetuning.finetune import finetune
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import Cell


def segmented(engine: Engine, image: Path, checkpoint: Path, out: Path) -> Segmentation:
    """Segment a whole image."""
    final = engine.start(SegmentationRequest(str(image), str(out), str(checkpoint))).wait()
    if final.error is not None:
        raise final.error
    return Segmentation.open(out)


def measure(engine: Engine, case: Case, count: int, seed: int, folder: Path) -> list[str]:
    """Return the figures of a row."""
    ground_truth = case.scene.ground_truth
    parent = segmented(engine, case.image, case.checkpoint, folder / f"{case.image.stem}.ome.zarr")
    before = np.asarray(parent.labels.levels[0][:])
    corrections, _ = strokes(
        ground_truth, before - np.uint8(1), inside(ground_truth.shape, case.scene.test), count, seed
    )
    location, out = folder / f"{count} {seed}.ome.zarr", folder / f"{count} {seed}.safetensors"
    labels = LabelPyramid.create(
        location, ground_truth.shape, classes=[i.model_dump() for i in read_card(case.checkpoint).classes]
    )
    labels.write(0, 0, corrections)
    request = FinetuneRequest(
        image=str(case.image),
        checkpoint=str(case.checkpoint),
        corrections=str(location),
        out=str(out),
        data_folder=case.data_folder,
        seed=seed,
    )
    finetune(request, keep_anyway=True)
    child = segmented(engine, case.image, out, folder / f"{count} {seed} child.ome.zarr")
    changed = np.asarray(child.labels.levels[0][:]) != before

    grid = parent.grid
    all_cells = grid.cells_in((0, 0, *ground_truth.shape))
    in_cell = {cell: int(changed[y0:y1, x0:x1].sum()) for cell in all_cells for y0, x0, y1, x1 in [grid.core(cell)]}

    def held(cells: Sequence[Cell]) -> str:
        return f"{100 * sum(in_cell[cell] for cell in cells) / max(sum(in_cell.values()), 1):.0f} %"

    def share(cells: Sequence[Cell]) -> str:
        return f"{100 * len(cells) / len(all_cells):.0f} %"

    windows = {cell: grid.window(cell) for cell in all_cells}
    met = [c for c, (y0, x0, y1, x1) in windows.items() if corrections[max(y0, 0) : y1, max(x0, 0) : x1].any()]
    chosen = affected_cells(parent, LabelCorrections(labels))
    best = sorted(in_cell, key=lambda cell: -in_cell[cell])[: len(chosen)]
    return [f"{100 * changed.mean():.1f} %", share(met), held(met), share(chosen), held(chosen), held(best)]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", choices=["earth", "aerial"])
    parser.add_argument("--strokes", type=int, nargs="+", default=[10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", type=Path, help="Folder of the aerial scenes.")
    parser.add_argument("--holdout", default="5", help="Group of aerial scenes that the checkpoint did not see.")
    parser.add_argument("--checkpoint", type=Path, help="Trained without that group.")
    options = parser.parse_args()
    heads = ["scene", "strokes", "seed", "px changed", "cells that meet a stroke", "of what changed", "affected cells"]
    heads += ["of what changed", "of the best as many"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with tempfile.TemporaryDirectory() as name, Engine() as engine:
        if options.scene == "earth":
            cases = [earth()]
        else:
            if options.data is None or options.checkpoint is None:
                parser.error("aerial needs --data and --checkpoint")
            cases = list(aerial(options.data, options.holdout, options.checkpoint, "none", Path(name)))
        for case in cases:
            for count in options.strokes:
                for seed in options.seeds:
                    row = measure(engine, case, count, seed, Path(name))
                    print(f"| {case.image.stem} | {count} | {seed} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
