"""Gain of contexts on real scenes against the size of tiles and the number of training scenes, at equal cost.

    python benchmarks/when_contexts_pay.py --data SCENES --weights W.pth --csv contexts.csv
    python benchmarks/when_contexts_pay.py --csv contexts.csv --report

SCENES holds the folders ``aerial``, ``dunes`` and ``river`` (images, masks, class tables); ``earth`` is the sample that
comes along. W.pth is the ImageNet start of EfficientNet-Lite0 (of Lite2 for the ways ``lite2``, which are run by
themselves). Every row is one network that is trained end to end, with the same tiles in the same order for all ways of
one fold and seed, and measured on blocks of scenes (of Earth: of bands) that it was not trained on:

* ``none``: no contexts;
* ``same``: the network of ``contexts``, whose two contexts are the tile itself (equal parameters, equal FLOPs);
* ``halo``: no contexts, but tiles 1.75 times as wide, of which the same core is used (equal FLOPs, more to see);
* ``contexts``: the tile at x1, x3 and x9;
* ``color none``, ``color``: ``none`` and ``contexts``, trained with colors of other scenes and haze;
* ``frozen``: ``contexts``, whose encoders of the contexts stay as they start, as the tile's shallow layers do;
* ``pretrained none``, ``pretrained``: ``none`` and ``contexts``, pretrained for as many steps on the whole training
  scenes without their labels;
* ``lite2 none``, ``lite2``: ``none`` and ``contexts`` with EfficientNet-Lite2;
* others: one setting of ``contexts`` changed.

A row that is in the table is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from fctl_napari.evaluation.cost import count_parameters
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.model.checkpoint import round_as_stored
from fctl_napari.model.classes import IGNORE
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import Scene, open_scenes
from fctl_napari.training.data_settings import DataSettings
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer
from fctl_napari.training.validate import reliance_on_scenes
from fctl_napari.windows import IntWindow

BLOCK = 192
"""Side of the blocks that are measured, px: a multiple of the step of every tile size."""

BLOCKS = 160
"""Blocks that are measured in a fold, evenly drawn from those with labels."""

PIXELS = 8 * 128**2
"""Pixels of the tiles of one step, whatever the size of the tiles."""

SETS: dict[str, dict[str, Any]] = {
    "aerial": {
        "classes": ["water", "land", "road", "building", "vegetation"],
        "values": {0: 0, 1: 1, 2: 2, 3: 3, 4: 4},
        "folds": [["scene5"], ["scene6"], ["scene2"], ["scene1", "scene3"]],
    },
    "dunes": {
        "classes": ["water", "agriculture", "sand", "dense vegetation", "sparse vegetation", "iceplant", "built"],
        "values": {0: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 4, 7: 2, 8: 5, 9: 6, 10: 6},
        "folds": [["scene2", "scene8"], ["scene5", "scene3"], ["scene1", "scene6"]],
    },
    "river": {
        "classes": ["water", "sediment", "vegetation"],
        "values": {0: 0, 1: 1, 2: 2},
        "folds": [["26806", "26607", "31216", "31162"], ["26626", "26722", "31180", "31234"]],
    },
    "earth": {"sample": True, "folds": [["test bands"]]},
    "together": {
        "classes": ["water", "bare", "vegetation", "built"],
        "parts": {
            "aerial": {0: 0, 1: 1, 2: 3, 3: 3, 4: 2},
            "dunes": {0: 0, 2: 2, 3: 1, 4: 1, 5: 2, 6: 2, 7: 1, 8: 2, 9: 3, 10: 3},
            "river": {0: 0, 1: 1, 2: 2},
        },
        "folds": [["aerial_scene5", "dunes_scene2", "dunes_scene8", "river_26626", "river_31234"]],
    },
}
"""Classes of each set, the class of each value of its masks (others: none), and the scenes of each fold.

``together`` holds the scenes of all but Earth, with their classes mapped. ``earth`` is one scene with bands for
training and for tests.
"""

SHALLOW = ["encoders.tile.stem", *(f"encoders.tile.blocks.{k}." for k in range(3))]
CONTEXTS = [{"name": "local"}, {"name": "medium", "scale": 3.0}, {"name": "large", "scale": 9.0}]
SAME = [{"name": "local"}, {"name": "medium", "scale": 1.0}, {"name": "large", "scale": 1.0}]
HALO = 1.75

WAYS: dict[str, dict[str, Any]] = {
    "none": {"contexts": [], "ale": "none"},
    "same": {"contexts": SAME, "ale": "none"},
    "halo": {"contexts": [], "ale": "none"},
    "contexts": {"contexts": CONTEXTS, "ale": "none"},
    "color none": {"contexts": [], "ale": "none"},
    "color": {"contexts": CONTEXTS, "ale": "none"},
    "frozen": {"contexts": CONTEXTS, "ale": "none"},
    "pretrained none": {"contexts": [], "ale": "none"},
    "pretrained": {"contexts": CONTEXTS, "ale": "none"},
    "lite2 none": {"contexts": [], "ale": "none", "encoder": "efficientnet_lite2"},
    "lite2": {"contexts": CONTEXTS, "ale": "none", "encoder": "efficientnet_lite2"},
    "own cells": {"contexts": CONTEXTS, "ale": "none", "gpe_unit": "context"},
    "no gpe": {"contexts": CONTEXTS, "ale": "none", "gpe": False},
    "ale": {"contexts": CONTEXTS, "ale": "d", "ale_windows": (3, 5)},
    "shared": {"contexts": CONTEXTS, "ale": "none", "share_encoders": "all"},
    "x2 x4": {
        "contexts": [{"name": "local"}, {"name": "medium", "scale": 2.0}, {"name": "large", "scale": 4.0}],
        "ale": "none",
    },
    "x4 x16": {
        "contexts": [{"name": "local"}, {"name": "medium", "scale": 4.0}, {"name": "large", "scale": 16.0}],
        "ale": "none",
    },
}

COLOR = {"color_transfer": 1.0, "haze": 0.3}
"""What is added to the augmentation of the ways whose names begin with color."""

FIELDS = [
    *("set", "fold", "scenes", "tile", "way", "seed", "steps"),
    *("miou", "accuracy", "iou", "reliance", "parameters", "seconds"),
]
KEY = FIELDS[:7]


class MeasuredTrainer(Trainer):
    """Training run that ends with a network and without a checkpoint, as the blocks are measured here."""

    def _finish(self) -> Path:
        round_as_stored(self.model.eval())
        return self.out


def prepare(name: str, data: Path, out: Path) -> Path:
    """Link a set's images and write its masks with the classes of ``SETS``."""
    folder, entry = out / name, SETS[name]
    if entry.get("sample"):
        return folder
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if "parts" in entry:
        for part, values in entry["parts"].items():
            _prepare_scenes(data / part, values, folder, f"{part}_")
    else:
        _prepare_scenes(data / name, entry["values"], folder, "")
    colors = [[40 * k, 255 - 30 * k, (97 * k) % 256] for k in range(len(entry["classes"]))]
    classes = [{"name": n, "color": c} for n, c in zip(entry["classes"], colors, strict=True)]
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))
    return folder


def _prepare_scenes(source: Path, values: dict[int, int], folder: Path, prefix: str) -> None:
    """Link the images of a folder and map the values of its masks."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    table = np.full(256, IGNORE, np.uint8)
    for value, index in values.items():
        table[value] = index
    flat = not (source / "masks").is_dir()
    for mask in sorted(source.glob("*_label.png") if flat else (source / "masks").glob("*.png")):
        stem = mask.stem.removesuffix("_label")
        image = next((source if flat else source / "images").glob(f"{stem}.*"))
        link, target = folder / "images" / f"{prefix}{image.name}", folder / "masks" / f"{prefix}{stem}.png"
        if not link.exists():
            link.symlink_to(image.absolute())
        if not target.exists():
            Image.fromarray(table[np.asarray(Image.open(mask))]).save(target)


def train_config(row: dict[str, Any], weights: Path, options: argparse.Namespace) -> TrainConfig:
    """Return the settings of one row."""
    tile = row["tile"]
    stride = 16 if tile >= 128 else 8
    size = 32 * round(HALO * tile / 32) if row["way"] == "halo" else tile
    network = {
        "width": 128,
        "top_down": True,
        "finest_skip": 2,
        "gate_init": 1.0,
        "context_border": "shift",
        "correlation_stride": stride,
        "tile_size": size,
        **WAYS[row["way"]],
    }
    return TrainConfig(
        name="row",
        seed=row["seed"],
        network=network,
        encoder_weights=str(weights.absolute()),
        data={"sample": True} if SETS[row["set"]].get("sample") else {"layout": "pairs"},
        augment={
            "brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "channel_gain": 0.1, "gamma": 0.3, "scale": 1.4,
            **(COLOR if row["way"].startswith("color") else {}),
        },
        steps=row["steps"],
        batch=max(1, PIXELS // tile**2),
        learning_rate=1e-3,
        encoder_factor=0.2,
        gate_factor=5.0,
        loss="cross_entropy",
        class_weights="inverse_sqrt",
        balanced_tiles=1.0,
        frozen=[*SHALLOW, *(["encoders.medium", "encoders.large"] if row["way"] == "frozen" else [])],
        save_every=10**6,
        precision=options.precision,
    )  # fmt: skip


def blocks(scenes: Sequence[Scene], most: int = BLOCKS) -> list[tuple[Scene, list[IntWindow]]]:
    """Draw the blocks that are measured, from all that have labels on a tenth of their px or more."""
    found = []
    for index, scene in enumerate(scenes):
        ground_truth = np.asarray(scene.ground_truth[: scene.ground_truth.shape[0], :])
        rows, cols = (length // BLOCK for length in ground_truth.shape)
        labelled = ground_truth[: rows * BLOCK, : cols * BLOCK].reshape(rows, BLOCK, cols, BLOCK) != IGNORE
        for r, c in np.argwhere(labelled.mean((1, 3)) >= 0.1):
            y, x = int(r) * BLOCK, int(c) * BLOCK
            found.append((index, (y, x, y + BLOCK, x + BLOCK)))
    chosen = np.random.default_rng(0).choice(len(found), min(most, len(found)), replace=False)
    return [
        (scene, [found[i][1] for i in sorted(chosen) if found[i][0] == index]) for index, scene in enumerate(scenes)
    ]


def _bands(scene: Scene) -> Scene:
    """Leave of a scene's ground truth only what is for tests."""
    ground_truth = np.full(scene.ground_truth.shape, IGNORE, np.uint8)
    for y0, x0, y1, x1 in scene.test:
        ground_truth[y0:y1, x0:x1] = scene.ground_truth[y0:y1, x0:x1]
    return replace(scene, ground_truth=ground_truth)


def measure(trainer: Trainer, parts: Sequence[tuple[Scene, list[IntWindow]]], tile: int) -> Scores:
    """Compute the figures on blocks: each tile decides its core of 3/4 of the tile's side."""
    step, size = 3 * tile // 4, trainer.model.config.tile_size
    matrix = np.zeros((len(trainer.table.names),) * 2, np.int64)
    predictor = Predictor(trainer.model, precision=trainer.config.precision)
    for scene, regions in parts:
        height, width = scene.pyramid.shape
        cores = [(y, x) for y0, x0, y1, x1 in regions for y in range(y0, y1, step) for x in range(x0, x1, step)]
        margin = (size - step) // 2
        tops = [(min(max(y - margin, 0), height - size), min(max(x - margin, 0), width - size)) for y, x in cores]
        windows = [(float(y), float(x), float(y + size), float(x + size)) for y, x in tops]
        for index, labels, _ in predictor.classify(scene.pyramid, windows):
            (y, x), (top, left) = cores[index], tops[index]
            predicted = labels[y - top : y - top + step, x - left : x - left + step] - np.uint8(1)
            matrix += confusion_matrix(
                scene.ground_truth[y : y + step, x : x + step], predicted, len(trainer.table.names)
            )
    predictor.close()
    return Scores.from_confusion(matrix, trainer.table.names)


def pretrain(config: TrainConfig, images: Sequence[str], out: Path) -> Path:
    """Pretrain the network of a row on images, and return its checkpoint."""
    return train(config.model_copy(update={"data": DataSettings(images=tuple(images))}), out)


def run(row: dict[str, Any], folder: Path, weights: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one row."""
    entry = SETS[row["set"]]
    held_out = entry["folds"][row["fold"]]
    if not entry.get("sample"):
        stems = sorted(path.stem for path in (folder / "images").iterdir())
        training = [stem for stem in stems if stem not in held_out]
        order = np.random.default_rng([row["seed"], 11]).permutation(training)
        (folder / "train.txt").write_text("\n".join(order[: row["scenes"] or len(order)]))
        (folder / "val.txt").write_text("\n".join(held_out))
    config = train_config(row, weights, options)
    measured, _ = open_scenes(config.data, folder)
    parts = blocks([_bands(scene) for scene in measured] if entry.get("sample") else [s for s in measured if s.val])
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        if row["way"].startswith("pretrained"):
            images = [str(one) for one in sorted((folder / "images").iterdir()) if one.stem not in held_out]
            config = config.model_copy(update={"init_from": str(pretrain(config, images, Path(out) / "pretrained"))})
        trainer = MeasuredTrainer(config, out, data_folder=folder)
        trainer.scenes = [replace(scene, val=()) for scene in trainer.scenes]
        trainer.run()
    seconds = time.perf_counter() - started
    reliance = reliance_on_scenes(trainer.model, parts)
    scores = measure(trainer, parts, row["tile"])
    return row | {
        "miou": round(scores.miou, 5),
        "accuracy": round(scores.accuracy, 5),
        "iou": json.dumps({k: None if math.isnan(v) else round(v, 4) for k, v in scores.iou.items()}),
        "reliance": round(reliance, 4),
        "parameters": count_parameters(trainer.model.config, config.frozen).live,
        "seconds": round(seconds, 1),
    }


def read_rows(table: Path) -> list[dict[str, str]]:
    """Read the rows that are in the table."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def append(table: Path, fields: Sequence[str], row: dict[str, Any]) -> None:
    """Add a row to the table."""
    fresh = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, fields)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def report(rows: Sequence[dict[str, str]], against: str) -> None:
    """Print the gain of every way over another one, paired by fold and seed, with the 95 % interval of its mean.

    Gains of one seed are averaged over folds first, so that the interval is one over seeds.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, str], float]] = {}
    for row in rows:
        group = groups.setdefault(tuple(row[key] for key in ("set", "scenes", "tile", "steps", "way")), {})
        group[row["fold"], row["seed"]] = 100 * float(row["miou"])
    print(f"| set | scenes | tile | steps | way | mIoU | over {against} | 95 % interval | runs |")
    print("|---|---|---:|---:|---|---:|---:|---:|---:|")
    for (*setting, way), own in sorted(groups.items()):
        other = groups.get((*setting, against), {}) if way != against else {}
        by_seed: dict[str, list[float]] = {}
        for fold, seed in own.keys() & other.keys():
            by_seed.setdefault(seed, []).append(own[fold, seed] - other[fold, seed])
        gains = [statistics.mean(found) for found in by_seed.values()]
        gain = f"{statistics.mean(gains):+.2f}" if gains else ""
        interval = ""
        if len(gains) > 1:
            half = stats.t.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
            interval = f"{statistics.mean(gains) - half:+.2f} to {statistics.mean(gains) + half:+.2f}"
        cells = (*setting, way, f"{statistics.mean(own.values()):.2f}", gain, interval, str(len(own)))
        print(f"| {' | '.join(cells)} |")


def table_parser(description: str) -> argparse.ArgumentParser:
    """Make a parser of what a table of trained networks needs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--prepared", type=Path, default=Path("runs/when_contexts_pay"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser


def main() -> None:
    """Train the rows that are missing, or print the table."""
    parser = table_parser(__doc__)
    parser.add_argument("--against", default="none", choices=list(WAYS))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--folds", nargs="+", type=int)
    parser.add_argument("--tiles", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--ways", nargs="+", default=["none", "same", "halo", "contexts"], choices=list(WAYS))
    parser.add_argument("--scenes", nargs="+", type=int, default=[0], help="Training scenes; 0: all of them.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    if options.report:
        report(read_rows(options.csv), options.against)
        return
    if options.weights is None or (options.data is None and options.sets != ["earth"]):
        parser.error("--data and --weights are needed")
    torch.set_num_threads(1)
    for name in options.sets:
        folder = prepare(name, options.data, options.prepared)
        for seed in options.seeds:
            for fold in options.folds or range(len(SETS[name]["folds"])):
                for tile in options.tiles:
                    for scenes in options.scenes:
                        for way in options.ways:
                            values = (name, fold, scenes, tile, way, seed, options.steps)
                            row = dict(zip(KEY, values, strict=True))
                            done = {tuple(r[key] for key in KEY) for r in read_rows(options.csv)}
                            if tuple(map(str, values)) in done or fold >= len(SETS[name]["folds"]):
                                continue
                            found = run(row, folder, options.weights, options)
                            append(options.csv, FIELDS, found)
                            print(*(found[key] for key in FIELDS), flush=True)


if __name__ == "__main__":
    main()
