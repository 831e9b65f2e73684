"""Classes of one's own from strokes: light heads on frozen encoders, with and without the features of contexts.

    python benchmarks/light_heads.py --data SCENES --csv light_heads.csv
    python benchmarks/light_heads.py --csv light_heads.csv --report

SCENES holds the folders ``aerial``, ``dunes`` and ``river``; the Earth scene is the sample. A simulated annotator
first paints 10 strokes of all classes of a scene in turn, along the middle of large regions of the ground truth. Each
further stroke follows a large error of what was learned from the strokes before. Measured is the mean IoU over labelled
px of the whole scene, evenly drawn, those of the strokes included. The encoders are those of a built-in checkpoint that
was not trained on the scene:

* ``linear``, ``mlp``: the head of ``fctl fit-head``;
* ``linear tile``: without the features of contexts (``--no-contexts``);
* ``boosting``: scikit-learn's ``HistGradientBoostingClassifier`` on the features of ``linear``;
* ``forest``: a random forest on the tile's features at strides 2, 4 and 8 alone, as tools do that take the first layers
  of a pretrained network.

Both of scikit-learn get the strokes of ``linear``, as they take minutes for a whole scene.

A row that is in the table is not measured again.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from annotator import strokes
from numpy.typing import NDArray
from PIL import Image
from when_contexts_pay import SETS, append, prepare, read_rows

from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.finetuning.light_head.fit import LabelledCells
from fctl_napari.finetuning.light_head.head import HeadFitter, fit_light_head
from fctl_napari.finetuning.light_head.request import HeadRequest
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.sample import sample_files
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import IGNORE
from fctl_napari.segmentation.inference.light_predictor import LightPredictor
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.data import open_scenes
from fctl_napari.training.data_settings import DataSettings

SCENES = {
    "river 26607": "aerial",
    "river 26626": "aerial",
    "river 31234": "aerial",
    "dunes scene5": "aerial",
    "aerial scene5": "earth",
    "earth sample": "aerial",
}
"""Set and stem of each scene, and the checkpoint, which was not trained on it."""

WAYS = ("linear", "linear tile", "mlp", "boosting", "forest")
PIXELS = 100_000
"""Labelled px that are measured."""

FIRST = 10
"""Strokes that are drawn before anything is predicted."""

SMALLEST = 0.002
"""Share of a scene below which a class does not count."""

FIELDS = ["scene", "checkpoint", "way", "strokes", "seed", "px", "miou", "iou", "fit seconds"]


def first_strokes(ground_truth: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.uint8]:
    """Draw strokes of all classes in turn, k + 1."""
    classes = [k for k in np.unique(ground_truth) if k != IGNORE]
    painted = np.zeros_like(ground_truth)
    for number, k in enumerate(classes):
        own = count // len(classes) + (number < count % len(classes))
        there = np.where(ground_truth == k, ground_truth, IGNORE).astype(np.uint8)
        corrections, _ = strokes(there, np.full_like(there, 254), there == k, own, seed * 100 + int(k))
        painted = np.maximum(painted, corrections)
    return painted


def more_strokes(
    ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8], painted: NDArray[np.uint8], count: int, seed: int
) -> NDArray[np.uint8]:
    """Add strokes along errors where nothing was painted."""
    added, _ = strokes(ground_truth, predicted, (painted == 0) & (ground_truth != IGNORE), count, seed)
    return np.where(painted == 0, added, painted)


def features_of(fitter: HeadFitter, points: NDArray[np.int64], grid: TileGrid) -> Any:
    """Return the features of the measured px, by tile: index into ``points``, and float32 [n, D]."""
    cells = [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
    core, decoder = points // grid.step, fitter.decoder
    size, stride = decoder.cells.size, decoder.cells.stride
    found = fitter.predictor.features(fitter.image, [grid.window(c) for c in cells])
    for cell, kept in zip(cells, found, strict=True):
        own = np.flatnonzero((core == cell).all(1))
        if len(own):
            top, left = grid.window(cell)[:2]
            rows, columns = ((points[own] - (top, left)) // stride).clip(0, size - 1).T
            at = torch.from_numpy(rows), torch.from_numpy(columns)
            yield own, decoder.features_at(at, kept.tile, kept.contexts, kept.windows).numpy()


def with_classifier(
    make: Callable[[], Any], request: HeadRequest, points: NDArray[np.int64], grid: TileGrid, *, early: bool
) -> tuple[NDArray[np.uint8], float]:
    """Fit a classifier of scikit-learn to the cells of a head, and predict the measured px."""
    fitter = HeadFitter(request)
    list(fitter.collect())
    labelled = LabelledCells.joined([fitter.learned, fitter.held_out])
    widths = fitter.decoder.widths
    kept = np.concatenate([np.full(width, not early or name in ("8", "4", "2")) for name, width in widths.items()])
    x, y = labelled.features.numpy()[:, kept], labelled.pixels.argmax(1).numpy()
    model, started = make(), time.perf_counter()
    model.fit(x, y, sample_weight=1 / np.bincount(y)[y])
    seconds = time.perf_counter() - started
    predicted = np.zeros(len(points), np.uint8)
    for own, features in features_of(fitter, points, grid):
        predicted[own] = model.predict(features[:, kept])
    return predicted, seconds


def with_head(request: HeadRequest, grid: TileGrid) -> tuple[NDArray[np.uint8], float]:
    """Fit a head as ``fctl fit-head`` does, and predict the scene."""
    fit_light_head(request)  # computes the features of its tiles
    started = time.perf_counter()
    fit_light_head(request.model_copy(update={"replace": True}))
    seconds = time.perf_counter() - started
    image = open_image(request.image)
    predictor = LightPredictor(load_checkpoint(request.out)[0])  # type: ignore[arg-type]
    predicted = np.full(image.shape, IGNORE, np.uint8)
    cells = [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
    for index, labels, _ in predictor.classify(image, [grid.window(cell) for cell in cells]):
        core, window = grid.core(cells[index]), grid.window(cells[index])
        predicted[core[0] : core[2], core[1] : core[3]] = labels[core.slices_in(window)] - 1
    predictor.close()
    return predicted, seconds


def classifiers() -> dict[str, Callable[[], Any]]:
    """Return the classifiers of scikit-learn by way."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    return {
        "boosting": lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0),
        "forest": lambda: RandomForestClassifier(100, n_jobs=1, random_state=0),
    }


def labelled_scene(name: str, stem: str, data: Path, folder: Path) -> tuple[Path, NDArray[np.uint8], Sequence[str]]:
    """Return the file of a scene, its ground truth (class indices) and the names of the classes."""
    if name == "earth":
        (scene,), classes = open_scenes(DataSettings(sample=True))
        height, width = scene.ground_truth.shape
        return sample_files().image, scene.ground_truth[0:height, 0:width].copy(), classes.names
    prepared = prepare(name, data, folder)
    path = next(one for one in (prepared / "images").iterdir() if one.stem == stem)
    ground_truth = np.asarray(Image.open(prepared / "masks" / f"{stem}.png")).copy()
    return path, ground_truth, SETS[name]["classes"]


def run(scene: str, options: argparse.Namespace, folder: Path) -> None:
    """Measure the rows of a scene that are not in the table."""
    checkpoint, (name, stem) = SCENES[scene], scene.split()
    done = {tuple(row[key] for key in ("scene", "way", "strokes", "seed")) for row in read_rows(options.csv)}
    path, ground_truth, table = labelled_scene(name, stem, options.data, folder)
    for k in range(len(table)):
        if (ground_truth == k).mean() < SMALLEST:
            ground_truth[ground_truth == k] = IGNORE
    image = open_image(path)
    size = load_checkpoint_config(checkpoint).tile_size
    grid = TileGrid(image.shape, size, default_overlap(size))
    labelled = np.argwhere(ground_truth != IGNORE)
    points = labelled[np.random.default_rng(0).choice(len(labelled), min(PIXELS, len(labelled)), replace=False)]
    classes = [{"name": n, "color": (9 * k, 9, 9)} for k, n in enumerate(table)]
    at_points = points[:, 0], points[:, 1]
    for seed in options.seeds:
        of_linear: dict[int, Path] = {}
        for way in options.ways:
            ways = [way, *classifiers()] if way == "linear" else [way]  # scikit-learn's need its strokes
            rows = [(scene, one, str(n), str(seed)) for one in ways if one in options.ways for n in options.strokes]
            if done.issuperset(rows):
                continue
            painted = first_strokes(ground_truth, FIRST, seed)
            before = FIRST
            for count in options.strokes:
                file = f"{scene} {count} {seed} {way}"
                if count > before:
                    painted = more_strokes(ground_truth, predicted, painted, count - before, seed + count)  # noqa: F821
                    before = count
                strokes_at = folder / f"{file}.ome.zarr"
                if way in classifiers():
                    strokes_at = of_linear[count]
                else:
                    LabelPyramid.create(strokes_at, ground_truth.shape, classes=classes).write(0, 0, painted)
                if way == "linear":
                    of_linear[count] = strokes_at
                request = HeadRequest(
                    image=str(path),
                    checkpoint=checkpoint,
                    corrections=str(strokes_at),
                    out=str(folder / f"{file}.safetensors"),
                    decoder="mlp" if way == "mlp" else "linear",
                    contexts=way not in ("linear tile", "forest"),
                    seed=seed,
                    device="cpu",
                )
                if way in classifiers():
                    make = classifiers()[way]
                    measured, seconds = with_classifier(make, request, points, grid, early=way == "forest")
                    before = count
                else:
                    predicted, seconds = with_head(request, grid)
                    measured = predicted[at_points]
                matrix = confusion_matrix(ground_truth[at_points][None], measured[None], len(table))
                iou = Scores.from_confusion(matrix, table).iou
                there = [iou[n] for n, row in zip(table, matrix, strict=True) if row.any()]
                strokes_px = np.count_nonzero(LabelPyramid.open(strokes_at).read((0, 0, *ground_truth.shape)))
                row = {"scene": scene, "checkpoint": checkpoint, "way": way, "strokes": count, "seed": seed}
                row |= {"px": int(strokes_px), "miou": round(float(np.mean(there)), 4)}
                row |= {"iou": " ".join(f"{value:.3f}" for value in there), "fit seconds": round(seconds, 2)}
                if (scene, way, str(count), str(seed)) not in done:
                    append(options.csv, FIELDS, row)
                    print(row, flush=True)


def load_checkpoint_config(checkpoint: str) -> Any:
    """Return the settings of a built-in checkpoint's network."""
    from fctl_napari.model.model_card import read_card, resolve_checkpoint

    return read_card(resolve_checkpoint(checkpoint)).config


def report(rows: list[dict[str, str]]) -> None:
    """Print the mean mIoU of each way, with the lowest and the highest over seeds."""
    counts = sorted({int(row["strokes"]) for row in rows})
    print(f"| scene | encoders of | way | {' | '.join(f'{n} strokes' for n in counts)} |")
    print(f"|---|---|---|{'---:|' * len(counts)}")
    for scene, checkpoint, way in dict.fromkeys((r["scene"], r["checkpoint"], r["way"]) for r in rows):
        cells = []
        for count in counts:
            own = [r for r in rows if (r["scene"], r["way"], r["strokes"]) == (scene, way, str(count))]
            found = [100 * float(r["miou"]) for r in own]
            spread = f" ({min(found):.1f} to {max(found):.1f})" if len(found) > 1 else ""
            cells.append(f"{statistics.mean(found):.1f}{spread}" if found else "")
        print(f"| {scene} | {checkpoint} | {way} | {' | '.join(cells)} |")


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
