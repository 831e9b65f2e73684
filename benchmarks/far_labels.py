"""What contexts bring where only contexts can tell: mIoU against the distance at which a label is decided.

    python benchmarks/far_labels.py run --kinds markers --distances 0.5 1.5 3 --csv far.csv
    python benchmarks/far_labels.py table --csv far.csv

Each row is one network, trained for the same number of steps on the same made scenes (``fctl data make far-labels``)
and scored on scenes that it has not seen. Blind px are those that no tile decides; who knows nothing is right in half
of them. For contexts the share of the attention of blind px is measured that falls on the cell of the location that
decides the px and on its eight neighbors, beside the share of cells that these are. FCtL's encoders start from those of
the built-in earth network's first stage, trained without contexts; U-Net, SegFormer and GLNet have no such encoders and
start at random. Rows that are in the table already are not trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fctl_napari.ablation.first_encoder import write_first_encoder
from fctl_napari.datasets.far_labels.data_set import make_far_labels
from fctl_napari.datasets.far_labels.record import FarLabels, nearest_locations, read_far_labels
from fctl_napari.datasets.far_labels.scenes import CLASSES
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.explain import Explanation, explain
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.inference.tile_cutting import read_inputs
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.train import train
from fctl_napari.windows import FloatWindow, IntWindow

TILE = 64
SCENES = 32
EXPLAINED = 8
"""Tiles of each test scene whose attention is measured, centered on blind px."""

LOCAL, MEDIUM, LARGE = {"name": "local"}, {"name": "medium", "scale": 3.0}, {"name": "large", "scale": 8.0}
LITE: dict[str, Any] = {"tile_size": TILE, "width": 64, "correlation_stride": 8, "top_down": True, "ale": "none"}
ALL = LITE | {"contexts": [LOCAL, MEDIUM, LARGE]}
BASELINE = {"tile_size": TILE}

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "no context": ("fctl_lite", LITE | {"contexts": []}),
    "local": ("fctl_lite", LITE | {"contexts": [LOCAL]}),
    "medium": ("fctl_lite", LITE | {"contexts": [MEDIUM]}),
    "large": ("fctl_lite", LITE | {"contexts": [LARGE]}),
    "all": ("fctl_lite", ALL),
    "all, no GPE": ("fctl_lite", ALL | {"gpe": False}),
    "all, no top-down": ("fctl_lite", ALL | {"top_down": False}),
    "all, no top-down, no GPE": ("fctl_lite", ALL | {"top_down": False, "gpe": False}),
    "all, average": ("fctl_lite", ALL | {"fusion": "average"}),
    "all, weighted": ("fctl_lite", ALL | {"fusion": "weighted"}),
    "all, ALE (b)": ("fctl_lite", ALL | {"ale": "b"}),
    "all, ALE (d)": ("fctl_lite", ALL | {"ale": "d"}),
    "GLNet": ("glnet", BASELINE),
    "SegFormer": ("segformer_b0", BASELINE),
    "U-Net": ("unet", BASELINE),
}
"""Preset and network of each row. ``all`` fuses adaptively and has no ALE."""

KEYS = ("kind", "distance", "way", "seed", "steps")


def config_of(way: str, folder: Path, seed: int, steps: int, encoder: Path) -> TrainConfig:
    """Return the settings of a training on the training scenes alone."""
    preset, network = WAYS[way]
    names = (folder / "train.txt").read_text("utf-8").split()
    return TrainConfig.model_validate(
        {
            "name": "far",
            "preset": preset,
            "network": network,
            "init_from": str(encoder.resolve()) if preset == "fctl_lite" else "",
            "data": {
                "classes": json.loads((folder / "classes.json").read_text("utf-8")),
                "scenes": [{"image": f"images/{name}.png", "truth": f"masks/{name}.png"} for name in names],
            },
            "augment": {"brightness": 0, "contrast": 0, "saturation": 0},
            "seed": seed,
            "steps": steps,
            "batch": 8,
            "learning_rate": 2e-3,
            "loss": "cross_entropy",
            "batch_norm": "trained",
            "precision": "bf16",
            "save_every": steps,
        }
    )


def test_scenes(folder: Path, record: FarLabels) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield name, mask and blind px of the test scenes."""
    for name in (folder / "test.txt").read_text("utf-8").split():
        mask = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
        yield name, mask, record.blind(name, mask)


def predicted(predictor: Predictor, image: Path, tile: int) -> NDArray[np.uint8]:
    """Predict the classes of a whole scene as ``fctl segment`` does."""
    pyramid = open_image(image)
    grid = TileGrid(pyramid.shape, tile, default_overlap(tile))
    cells = list(grid.cells_in((0, 0, *pyramid.shape)))
    out = np.full(pyramid.shape, IGNORE, np.uint8)
    for index, labels, _ in predictor.classify(pyramid, [grid.window(cell) for cell in cells]):
        y0, x0, y1, x1 = grid.core(cells[index])
        top, left = grid.window(cells[index])[:2]
        out[y0:y1, x0:x1] = labels[y0 - top : y1 - top, x0 - left : x1 - left] - np.uint8(1)
    return out


def score(checkpoint: Path, folder: Path) -> dict[str, float]:
    """Compute mIoU and blind accuracy, the mean over the classes of the share of blind px that are right."""
    record = read_far_labels(folder)
    model, card = load_checkpoint(checkpoint)
    predictor = Predictor(model)
    whole, blind_px = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    try:
        for name, mask, blind in test_scenes(folder, record):
            labels = predicted(predictor, folder / "images" / f"{name}.png", card.config.tile_size)
            whole += confusion_matrix(mask, labels, 2)
            blind_px += confusion_matrix(np.where(blind, mask, IGNORE), labels, 2)
    finally:
        predictor.close()
    rows = blind_px.sum(1)
    return {
        "miou": Scores.from_confusion(whole, card.classes.names).miou,
        "blind px": rows.sum() / whole.sum(),
        "blind accuracy": float((np.diag(blind_px) / rows).mean()) if rows.all() else float("nan"),
    }


def attention(checkpoint: Path, folder: Path) -> dict[str, float]:
    """Measure the attention of blind px around the location that decides them, where the context reaches it.

    The px are the centers of the cells of some tiles of each test scene.
    """
    record = read_far_labels(folder)
    model, card = load_checkpoint(checkpoint)
    found: dict[str, list[tuple[float, float, float]]] = {"medium": [], "large": []}
    for name, mask, blind in test_scenes(folder, record) if card.config.lcf else ():
        pyramid = open_image(folder / "images" / f"{name}.png")
        locations = nearest_locations(record.scenes[name], mask.shape)[1]
        tiles = np.argwhere(blind)[:: max(1, np.count_nonzero(blind) // EXPLAINED)]
        for center in tiles:
            top, left = np.clip(center - TILE // 2, 0, np.array(mask.shape) - TILE)
            explained, windows = explanation(model, pyramid, (top, left, top + TILE, left + TILE))
            for cell in np.ndindex(model.grid.size, model.grid.size):
                y, x = (int(v) for v in np.array([top, left]) + (np.array(cell) + 0.5) * model.grid.stride)
                for context in (found.keys() & explained.attention.keys()) if blind[y, x] else ():
                    y0, x0, y1, x1 = model.grid.footprint(windows[context])
                    row, column = (locations[y, x] - [y0, x0]) / [y1 - y0, x1 - x0] * model.grid.size // 1
                    if 0 <= row < model.grid.size and 0 <= column < model.grid.size:
                        maps = explained.attention[context].row(cell)
                        near = np.s_[max(int(row) - 1, 0) : int(row) + 2, max(int(column) - 1, 0) : int(column) + 2]
                        size = maps.combined[near].numel() / maps.combined.numel()
                        found[context].append((float(maps.combined[near].sum()), float(maps.content[near].sum()), size))
    out = {}
    for context, shares in found.items():
        figures = np.mean(shares, 0) if shares else [float("nan")] * 3
        out |= dict(zip((f"attention {context}", f"content {context}", f"chance {context}"), figures, strict=True))
    return out


def explanation(model: Network, pyramid: Pyramid, window: IntWindow) -> tuple[Explanation, dict[str, FloatWindow]]:
    """Explain a tile, and return the windows of its contexts."""
    inputs = read_inputs(pyramid, window, model.config)
    with torch.no_grad():
        tile = model.encode_tile(torch.from_numpy(inputs.tile)[None])
        contexts = {
            name: model.encode_context(name, torch.from_numpy(pixels)[None]) for name, pixels in inputs.contexts.items()
        }
    windows = {name: torch.from_numpy(found)[None] for name, found in inputs.windows.items()}
    return explain(model, tile, contexts, windows), {name: tuple(w) for name, w in inputs.windows.items()}


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Train and measure the rows that are not in the table yet."""
    done = {tuple(row[key] for key in KEYS) for row in read_rows(options.csv)}
    encoder = write_first_encoder("earth", folder / "encoder.safetensors")
    torch.set_num_threads(options.threads)
    for kind in options.kinds:
        for distance in options.distances:
            data = folder / f"{kind} {distance}"
            for seed in range(options.seeds):
                for way in options.ways:
                    row: dict[str, Any] = dict(zip(KEYS, (kind, distance, way, seed, options.steps), strict=True))
                    if tuple(map(str, row.values())) in done:
                        continue
                    if not data.exists():
                        make_far_labels(data, kind, distance=distance, tile=TILE, scenes=SCENES)
                    out = folder / f"{kind} {distance} {way} {seed}"
                    used = time.process_time()
                    config = config_of(way, data, seed, options.steps, encoder)
                    checkpoint = train(config, out, data_folder=data, device="cpu")
                    row["cpu seconds"] = round(time.process_time() - used)
                    row |= score(checkpoint, data) | attention(checkpoint, data)
                    write_row(options.csv, {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
                    print(line(row), flush=True)
                    shutil.rmtree(out)


def line(row: Mapping[str, Any]) -> str:
    """Format a row for people."""
    return " | ".join(f"{v:.3f}" if isinstance(v, float) and k not in KEYS else str(v) for k, v in row.items())


def read_rows(table: Path) -> list[dict[str, str]]:
    """Read the rows that were measured already."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def write_row(table: Path, row: Mapping[str, Any]) -> None:
    """Append a row to the table."""
    fresh = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def summary(rows: Sequence[Mapping[str, str]], figure: str) -> Iterator[str]:
    """Format one figure of each way against the distance, as mean and standard deviation over seeds."""
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        distances = sorted({float(row["distance"]) for row in own})
        yield f"| {kind}, {figure} | {' | '.join(f'{d:g}' for d in distances)} |\n|---|{'---:|' * len(distances)}"
        for way in dict.fromkeys(row["way"] for row in own):
            cells = []
            for distance in distances:
                found = [float(r[figure]) for r in own if r["way"] == way and float(r["distance"]) == distance]
                values = [value for value in found if value == value]
                spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
                cells.append(f"{np.mean(values):.3f}{spread}" if values else "")
            yield f"| {way} | {' | '.join(cells)} |"
        yield ""


def main() -> None:
    """Run the benchmark, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=list(CLASSES), default=list(CLASSES))
    parser.add_argument("--distances", nargs="+", type=float, default=[0.5, 1.5, 3.0])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.what == "table":
        shares = [f"{part} {context}" for context in ("medium", "large") for part in ("attention", "content", "chance")]
        for figure in ("miou", "blind accuracy", *shares):
            print("\n".join(summary(read_rows(options.csv), figure)))
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
