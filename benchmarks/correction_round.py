"""Seconds of each part of a round in the window, from strokes to the new mask of the view, on the Earth scene.

    python benchmarks/correction_round.py --strokes 20

The strokes are those of the simulated annotator (``benchmarks/annotator.py``); training runs in the worker process with
the default settings, and then the tiles that corrections affect are segmented anew, those in view first.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import learn
import numpy as np
from annotator import strokes as annotate
from corrected_scenes import earth

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.finetuning.affected_tiles import affected_cells
from fctl_napari.finetuning.request import finetune_request
from fctl_napari.finetuning.run import start_finetune
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation

VIEW = (350, 500)
"""Half of what is in view around the first stroke, (y, x) px."""


def finished(end: RunProgress) -> None:
    """Raise the error of a run that failed."""
    if end.error is not None:
        raise end.error


def round_seconds(strokes: int, seed: int, device: str = "auto", **settings: Any) -> list[tuple[str, float]]:
    """Measure the parts of one round, s, with settings of fine-tuning.

    The view and all affected tiles are counted from the end of fine-tuning, the last from the strokes.
    """
    case = earth("test")
    image = open_image(case.image)
    with tempfile.TemporaryDirectory() as name, Engine() as engine:
        folder = Path(name)
        parents, painted = folder / "parent.ome.zarr", folder / "corrections.ome.zarr"
        request = SegmentationRequest(str(case.image), str(parents), str(case.checkpoint), device=device)
        finished(engine.start(request).wait())
        predicted = learn.segmented(case.checkpoint, case.scene, case.scene.test)
        ground_truth = np.asarray(case.scene.ground_truth)
        counted = learn.inside(ground_truth.shape, case.scene.test)
        drawn, boxes = annotate(ground_truth, predicted, counted, strokes, seed)
        with Corrections.create(painted, image, read_card(case.checkpoint).classes) as corrections:
            for y0, x0, y1, x1 in boxes:
                block = drawn[y0:y1, x0:x1]
                corrections.write(y0, x0, block, mask=block != 0, author="benchmark")

        begun = time.perf_counter()
        learning = finetune_request(
            image=str(case.image),
            checkpoint=str(case.checkpoint),
            corrections=str(painted),
            out=str(folder / "new.safetensors"),
            device=device,
            **settings,
        )
        begins: dict[str, float] = {}
        end = start_finetune(engine, learning, lambda event: begins.setdefault(event.state, time.perf_counter())).wait()
        if end.error is not None or end.result is None:
            raise end.error or RuntimeError(end.state)
        trained = time.perf_counter()
        parent = Segmentation.open(parents)
        cells = affected_cells(parent, Corrections.open(painted))
        y, x = boxes[0][:2]
        view = (y - VIEW[0], x - VIEW[1], y + VIEW[0], x + VIEW[1])
        in_view = len(set(parent.grid.cells_in(view)) & set(cells))
        done: list[tuple[int, float]] = []
        run = engine.start(
            SegmentationRequest(
                str(case.image),
                str(folder / "new.ome.zarr"),
                str(end.result.candidate),
                cells=cells,
                inherit=str(parents),
                device=device,
            ),
            lambda event: done.append((event.done, time.perf_counter())),
        )
        run.look(view)
        finished(run.wait())
        seen = next(when for count, when in done if count >= in_view)
        parts = [(state, then - first) for state, (first, then) in zip(begins, pairwise(begins.values()), strict=False)]
        return [
            *parts,
            ("fine-tuned and measured", trained - begun),
            (f"the view, {in_view} tiles", seen - trained),
            (f"all affected, {len(cells)} of {parent.done().size}", done[-1][1] - trained),
            ("strokes to view", seen - begun),
        ]


def main() -> None:
    """Print the seconds of one round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{args.strokes} strokes, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for what, seconds in round_seconds(args.strokes, args.seed):
        print(f"{what:30} {seconds:6.1f} s")


if __name__ == "__main__":
    main()
