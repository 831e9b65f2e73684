"""Small data sets in the layouts in which the large ones are published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from fctl_napari.datasets.layouts import deepglobe_table
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid

SIDE = 96
TABLE = {"classes": [{"name": "dark", "color": [10, 20, 30]}, {"name": "bright", "color": [200, 210, 220]}]}


def blocks(seed: int, classes: int, side: int = SIDE) -> np.ndarray:
    """Class indices in blocks of 16 px."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, classes, (side // 16, side // 16)), np.ones((16, 16))).astype(np.uint8)


def picture(ground_truth: np.ndarray) -> np.ndarray:
    """An RGB image that shows its truth, smoothly enough for JPEG."""
    return np.stack([ground_truth * 30 + 20, 120 - ground_truth * 10, np.full_like(ground_truth, 90)], -1).astype(
        np.uint8
    )


def deepglobe_colors(ground_truth: np.ndarray) -> np.ndarray:
    """A mask as DeepGlobe has it, its values not quite 0 and 255."""
    colors = np.array([info.color for info in deepglobe_table()], np.int16)[ground_truth]
    return np.where(colors == 255, 250, 3).astype(np.uint8)


def deepglobe(folder: Path, names: Sequence[str], *, side: int = SIDE) -> None:
    """``train/ID_sat.jpg`` with ``ID_mask.png``, and a validation set without masks."""
    for part in ("train", "valid"):
        (folder / part).mkdir(parents=True)
    for seed, name in enumerate(names):
        ground_truth = blocks(seed, 7, side)
        Image.fromarray(picture(ground_truth)).save(folder / "train" / f"{name}_sat.jpg", quality=95)
        Image.fromarray(deepglobe_colors(ground_truth)).save(folder / "train" / f"{name}_mask.png")
    Image.fromarray(picture(blocks(99, 7, side))).save(folder / "valid" / "5_sat.jpg")


def inria(folder: Path, names: Sequence[str]) -> None:
    """``AerialImageDataset/train/{images,gt}/CITY1.tif``, buildings 255, and a test set without truth."""
    for part in ("train/images", "train/gt", "test/images"):
        (folder / "AerialImageDataset" / part).mkdir(parents=True)
    for seed, name in enumerate(names):
        ground_truth = blocks(seed, 2)
        tifffile.imwrite(
            folder / f"AerialImageDataset/train/images/{name}.tif", picture(ground_truth), photometric="rgb"
        )
        tifffile.imwrite(folder / f"AerialImageDataset/train/gt/{name}.tif", ground_truth * np.uint8(255))
    tifffile.imwrite(folder / "AerialImageDataset/test/images/sfo1.tif", picture(blocks(99, 2)), photometric="rgb")


def pairs(folder: Path, names: Sequence[str], *, colors: bool = False) -> None:
    """``images/NAME.png`` with ``masks/NAME.png`` (class indices, or colours) and a class table."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps(TABLE))
    for seed, name in enumerate(names):
        ground_truth = blocks(seed, 2)
        mask = np.array([row["color"] for row in TABLE["classes"]], np.uint8)[ground_truth] if colors else ground_truth
        Image.fromarray(picture(ground_truth)).save(folder / f"images/{name}.png")
        Image.fromarray(mask).save(folder / f"masks/{name}.png")


def omezarr(folder: Path, names: Sequence[str]) -> None:
    """``NAME.ome.zarr`` with ``labels/truth``."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        ground_truth = blocks(seed, 2)
        image = convert(pyramid_from_array(picture(ground_truth), name=name), folder / f"{name}.ome.zarr", chunk=32)
        labels = LabelPyramid.create(image / "labels" / "truth", ground_truth.shape, chunk=32, classes=TABLE["classes"])
        labels.write(0, 0, ground_truth + np.uint8(1))
        labels.update_levels((0, 0, *ground_truth.shape))


MAKERS = {"deepglobe": deepglobe, "inria": inria, "pairs": pairs, "omezarr": omezarr}
NAMES = {
    "deepglobe": ("100694", "10233", "455374", "10452"),  # two of the published training set, one of each of the others
    "inria": ("austin2", "vienna27", "austin8", "austin1"),
    "pairs": tuple("abcde"),
    "omezarr": tuple("abcde"),
}


def make(layout: str, folder: Path) -> Path:
    """Make a data set of a layout."""
    MAKERS[layout](folder, NAMES[layout])
    return folder
