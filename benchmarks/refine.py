"""Gain of refinement on the ``earth`` checkpoint's own masks and on the ground truth with a rough outline.

    python benchmarks/refine.py RUNS [--threads 1]

Segments the sample scene, trains the recipe ``refiner`` twice on the training bands (on the network's own masks, and on
roughened ground truth), refines both kinds of masks with both, and scores the test bands, which neither saw. Finished
runs in RUNS are used, and stopped ones are resumed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from fctl_napari.evaluation.evaluation import evaluate
from fctl_napari.evaluation.metrics import Scores
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files, sample_splits
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.jobs.engine import Engine, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import TileGrid
from fctl_napari.training.config import load_train_config
from fctl_napari.training.data import open_scenes
from fctl_napari.training.random_masks import ROUGHENED, RoughGroundTruth
from fctl_napari.training.train import train

IMAGE = str(sample_files().image)


def rough_truth(path: Path) -> None:
    """Write the roughened ground truth as a segmentation."""
    scene = open_scenes(load_train_config("earth").data)[0][0]
    image = open_image(IMAGE)
    store = Segmentation.create(
        path,
        image=image,
        grid=TileGrid(image.shape, 256, 64),
        card=read_card(resolve_checkpoint("earth")),
        checkpoint_hash="0" * 64,
        settings={"masks": ROUGHENED},
    )
    cells, source = store.missing(), RoughGroundTruth(scene.ground_truth)
    for cell in cells:
        labels = source.read(store.grid.core(cell))
        store.write_cell(cell, labels, np.full_like(labels, 255))
    store.finish(cells)


def run(engine: Engine, request: SegmentationRequest) -> None:
    """Run a request."""
    error = engine.start(request).wait().error
    if error is not None:
        raise error


def scored(path: Path, bands: list[tuple[int, int, int, int]]) -> str:
    """Compute mIoU and accuracy over all bands together, and Boundary IoU as the mean over bands."""
    store, ground_truth = Segmentation.open(path), open_ground_truth(sample_files().ground_truth)
    found = [evaluate(store, ground_truth, band) for band in bands]
    scores = Scores.from_confusion(sum(f.confusion for f in found), found[0].names)  # type: ignore[arg-type]
    boundary = np.mean([f.mean_boundary_iou for f in found])
    return f"{scores.miou:.4f} | {boundary:.4f} | {scores.accuracy:.4f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    runs: Path = options.runs.absolute()
    masks = {kind: runs / kind / "earth.ome.zarr" for kind in ("own", "rough")}
    height, _ = open_image(IMAGE).shape
    bands = [(0, x0, height, x1) for x0, x1 in sample_splits()["test"]]
    with Engine(threads=options.threads) as engine:
        run(engine, SegmentationRequest(IMAGE, str(masks["own"]), "earth"))
        if not masks["rough"].exists():
            rough_truth(masks["rough"])
        print("| masks | refined by a network trained on | mIoU | boundary IoU | accuracy |\n|---|---|---|---|---|")
        for kind, path in masks.items():
            print(f"| {kind} | as they are | {scored(path, bands)} |", flush=True)
        for trained, source in (("own", str(masks["own"].parent)), ("rough", ROUGHENED)):
            config = load_train_config("refiner", {"data.masks": source})
            refiner = runs / f"trained_on_{trained}" / "refiner.safetensors"
            if not refiner.exists():
                train(config, refiner.parent)
            for kind, path in masks.items():
                out = runs / f"{kind}_refined_by_{trained}.ome.zarr"
                for band in bands:
                    run(
                        engine,
                        SegmentationRequest(
                            IMAGE, str(out), str(refiner), region=band, merge="average", refine=str(path)
                        ),
                    )
                print(f"| {kind} | {trained} | {scored(out, bands)} |", flush=True)


if __name__ == "__main__":
    main()
