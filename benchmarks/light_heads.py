"""Classes of one's own from strokes: light heads on frozen encoders, with and without the features of contexts.

    python benchmarks/light_heads.py --data SCENES --csv light_heads.csv
    python benchmarks/light_heads.py --csv light_heads.csv --report

SCENES holds the folders ``aerial``, ``dunes`` and ``river``. A simulated annotator paints strokes of all classes of a
scene in turn, along the middle of large regions of the ground truth, whatever is predicted there. More strokes follow
on the same first ones, and all ways get the same ones. Measured is the mean IoU over labelled px of the whole scene,
evenly drawn, those of the strokes included. The encoders are those of a built-in checkpoint that was not trained on
the scene:

* ``linear``, ``mlp``: the head of ``fctl fit-head``;
* ``linear tile``: without the features of contexts (``--no-contexts``);
* ``boosting``: scikit-learn's ``HistGradientBoostingClassifier`` on the features of ``linear``;
* ``forest``: a random forest on the tile's features at strides 2, 4 and 8 alone, as tools do that take the first layers
  of a pretrained network.

A row that is in the table is not measured again.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learn import strokes
from numpy.typing import NDArray
from when_contexts_pay import SETS, append, prepare, read_rows

from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.finetuning.light_head.fit import LabelledCells
from fctl_napari.finetuning.light_head.head import HeadFitter, fit_light_head
from fctl_napari.finetuning.light_head.request import HeadRequest
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import IGNORE
from fctl_napari.segmentation.inference.light_predictor import LightPredictor
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap

SCENES = {"river": ("aerial", "26607"), "dunes": ("aerial", "scene5"), "aerial": ("earth", "scene5")}
"""Checkpoint and scene of each set."""

WAYS = ("linear", "linear tile", "mlp", "boosting", "forest")
PIXELS = 100_000
"""Labelled px that are measured."""

SMALLEST = 0.002
"""Share of a scene below which a class does not count."""

FIELDS = ["scene", "checkpoint", "way", "strokes", "seed", "px", "miou", "iou", "fit seconds"]


def draw(ground_truth: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.uint8]:
    """Draw strokes of all classes in turn, k + 1. A larger count adds strokes to those of a smaller one."""
    classes = [k for k in np.unique(ground_truth) if k != IGNORE]
    painted = np.zeros_like(ground_truth)
    for number, k in enumerate(classes):
        own = count // len(classes) + (number < count % len(classes))
        there = np.where(ground_truth == k, ground_truth, IGNORE).astype(np.uint8)
        corrections, _ = strokes(there, np.full_like(there, 254), there == k, own, seed * 100 + int(k))
        painted = np.maximum(painted, corrections)
    return painted


def heads(fitter: HeadFitter, image: Any, cells: list[Any], grid: TileGrid, points: NDArray[np.int64], way: str) -> Any:
    """Return the features of the measured px, by tile: index into ``points`` and float32 [n, D]."""
    core = points // grid.step
    decoder = fitter.decoder
    size, stride = decoder.cells.size, decoder.cells.stride
    wanted = sum(decoder.widths.values())
    if way == "forest":
        names = list(decoder.widths)
        ends = np.cumsum([0, *decoder.widths.values()])
        keep = np.concatenate([np.arange(ends[i], ends[i + 1]) for i, n in enumerate(names) if n in ("8", "4", "2")])
    else:
        keep = np.arange(wanted)
    predictor = fitter.predictor
    for cell, kept in zip(cells, predictor.features(image, [grid.window(c) for c in cells]), strict=True):
        own = np.flatnonzero((core == cell).all(1))
        if len(own):
            top, left = grid.window(cell)[:2]
            rows, columns = ((points[own] - (top, left)) // stride).clip(0, size - 1).T
            at = torch.from_numpy(rows), torch.from_numpy(columns)
            found = decoder.features_at(at, kept.tile, kept.contexts, kept.windows)
            yield own, found.numpy()[:, keep], keep


def with_classifier(
    make: Callable[[], Any], request: HeadRequest, points: NDArray[np.int64], grid: TileGrid, way: str
) -> tuple[NDArray[np.uint8], float]:
    """Fit a classifier of scikit-learn to the cells of a head, and predict the measured px."""
    fitter = HeadFitter(request)
    list(fitter.collect())
    labelled = LabelledCells.joined([fitter.learned, fitter.held_out])
    cells = [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
    predicted, model, seconds = np.zeros(len(points), np.uint8), make(), 0.0
    for own, features, keep in heads(fitter, fitter.image, cells, grid, points, way):
        if not seconds:
            started = time.perf_counter()
            x, y = labelled.features.numpy()[:, keep], labelled.pixels.argmax(1).numpy()
            model.fit(x, y, sample_weight=1 / np.bincount(y, minlength=int(y.max()) + 1)[y])
            seconds = time.perf_counter() - started
        predicted[own] = model.predict(features)
    return predicted, seconds


def with_head(request: HeadRequest, points: NDArray[np.int64], grid: TileGrid) -> tuple[NDArray[np.uint8], float]:
    """Fit a head as ``fctl fit-head`` does, and predict the measured px."""
    fit_light_head(request)  # computes the features of its tiles
    started = time.perf_counter()
    fit_light_head(request.model_copy(update={"replace": True}))
    seconds = time.perf_counter() - started
    image = open_image(request.image)
    predictor = LightPredictor(load_checkpoint(request.out)[0])  # type: ignore[arg-type]
    predicted = np.zeros(len(points), np.uint8)
    cells = [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
    core = points // grid.step
    for index, labels, _ in predictor.classify(image, [grid.window(cell) for cell in cells]):
        own = np.flatnonzero((core == cells[index]).all(1))
        top, left = grid.window(cells[index])[:2]
        predicted[own] = labels[points[own, 0] - top, points[own, 1] - left] - 1
    predictor.close()
    return predicted, seconds


def classifiers() -> dict[str, Callable[[], Any]]:
    """Return the classifiers of scikit-learn by way."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    return {
        "boosting": lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0),
        "forest": lambda: RandomForestClassifier(100, n_jobs=1, random_state=0),
    }


def run(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Measure the rows of a scene that are not in the table."""
    checkpoint, stem = SCENES[name]
    done = {tuple(row[key] for key in ("scene", "way", "strokes", "seed")) for row in read_rows(options.csv)}
    scene = f"{name} {stem}"
    prepared = prepare(name, options.data, folder)
    path = next(one for one in (prepared / "images").iterdir() if one.stem == stem)
    from PIL import Image

    ground_truth = np.asarray(Image.open(prepared / "masks" / f"{stem}.png")).copy()
    table = SETS[name]["classes"]
    for k in range(len(table)):
        if (ground_truth == k).mean() < SMALLEST:
            ground_truth[ground_truth == k] = IGNORE
    image = open_image(path)
    size = load_checkpoint_config(checkpoint).tile_size
    grid = TileGrid(image.shape, size, default_overlap(size))
    labelled = np.argwhere(ground_truth != IGNORE)
    points = labelled[np.random.default_rng(0).choice(len(labelled), min(PIXELS, len(labelled)), replace=False)]
    classes = [{"name": n, "color": (9 * k, 9, 9)} for k, n in enumerate(table)]
    for seed in options.seeds:
        for count in options.strokes:
            wanted = [way for way in options.ways if (scene, way, str(count), str(seed)) not in done]
            if not wanted:
                continue
            painted = draw(ground_truth, count, seed)
            strokes_at = folder / f"{scene} {count} {seed}.ome.zarr"
            LabelPyramid.create(strokes_at, ground_truth.shape, classes=classes).write(0, 0, painted)
            for way in wanted:
                request = HeadRequest(
                    image=str(path),
                    checkpoint=checkpoint,
                    corrections=str(strokes_at),
                    out=str(folder / f"{scene} {count} {seed} {way}.safetensors"),
                    decoder="mlp" if way == "mlp" else "linear",
                    contexts=way not in ("linear tile", "forest"),
                    seed=seed,
                    device="cpu",
                )
                if way in ("boosting", "forest"):
                    predicted, seconds = with_classifier(classifiers()[way], request, points, grid, way)
                else:
                    predicted, seconds = with_head(request, points, grid)
                truth = ground_truth[points[:, 0], points[:, 1]]
                matrix = confusion_matrix(truth[None], predicted[None], len(table))
                iou = Scores.from_confusion(matrix, table).iou
                there = [iou[n] for n, row in zip(table, matrix, strict=True) if row.any()]
                row = {"scene": scene, "checkpoint": checkpoint, "way": way, "strokes": count, "seed": seed}
                row |= {"px": int(np.count_nonzero(painted)), "miou": round(float(np.mean(there)), 4)}
                row |= {"iou": " ".join(f"{value:.3f}" for value in there), "fit seconds": round(seconds, 2)}
                append(options.csv, FIELDS, row)
                print(row, flush=True)


def load_checkpoint_config(checkpoint: str) -> Any:
    """Return the settings of a built-in checkpoint's network."""
    from fctl_napari.model.model_card import read_card, resolve_checkpoint

    return read_card(resolve_checkpoint(checkpoint)).config


def report(rows: list[dict[str, str]]) -> None:
    """Print the mean mIoU of each way, with the lowest and the highest over seeds."""
    counts = sorted({int(row["strokes"]) for row in rows})
    print(f"| scene | encoders of | way | {' | '.join(f'{n} strokes' for n in counts)} | fit, s |")
    print(f"|---|---|---|{'---:|' * (len(counts) + 1)}")
    for scene, checkpoint, way in dict.fromkeys((r["scene"], r["checkpoint"], r["way"]) for r in rows):
        cells, seconds = [], []
        for count in counts:
            own = [r for r in rows if (r["scene"], r["way"], r["strokes"]) == (scene, way, str(count))]
            found = [100 * float(r["miou"]) for r in own]
            seconds += [float(r["fit seconds"]) for r in own]
            spread = f" ({min(found):.1f} to {max(found):.1f})" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found):.1f}{spread}" if found else "")
        print(f"| {scene} | {checkpoint} | {way} | {' | '.join(cells)} | {statistics.median(seconds):.1f} |")


def main() -> None:
    """Measure rows, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="Folder of the sets of scenes.")
    parser.add_argument("--csv", type=Path, required=True, help="Table to read and to add to.")
    parser.add_argument("--report", action="store_true", help="Print the table, and measure nothing.")
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--strokes", type=int, nargs="+", default=[10, 20, 50, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    if options.report:
        report(read_rows(options.csv))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in options.scenes:
            run(name, options, Path(folder))


if __name__ == "__main__":
    main()
