"""What the tests of final maps share: a prediction with corrections of its image, and the map as arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation

NAMES = ("red", "green", "blue")
TABLE = ClassTable(
    classes=(
        ClassInfo(name="blue", color=(9, 9, 9)),
        ClassInfo(name="kelp", color=(0, 80, 80)),
        ClassInfo(name="red", color=(8, 8, 8)),
        ClassInfo(name="ice", color=(250, 250, 255)),
        ClassInfo(name="cloud", color=(1, 1, 1), ignored=True),
    )
)
"""Classes of the corrections: two of the segmentation's in another order, and two of their own."""
VALUES = np.zeros(256, np.uint8)
VALUES[[1, 2, 3, 4, 255]] = 3, 4, 1, 5, 255
"""Values of the map by those of the corrections: red, green, blue, kelp, ice."""


def random_labels(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Patches of three classes, and of nothing."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 4, (shape[0] // 37 + 1, shape[1] // 37 + 1))
    return np.kron(small, np.ones((37, 37), int))[: shape[0], : shape[1]].astype(np.uint8)


def paint(corrections: Corrections, seed: int, strokes: int = 4) -> None:
    """Paint strokes of random shapes, classes and "not sure"."""
    rng = np.random.default_rng(seed)
    height, width = corrections.shape
    for _ in range(strokes):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        shape = min(int(rng.integers(1, 400)), height - y), min(int(rng.integers(1, 400)), width - x)
        block = rng.choice(np.array([1, 2, 3, 4, 255], np.uint8), shape)
        corrections.write(y, x, block, author="ann", mask=rng.random(shape) < 0.7)


def composed(labels: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The final map and its provenance, from the labels of the prediction and the values of corrections."""
    values = VALUES[drawn]
    decided = (values > 0) & (values < 255)
    provenance = (labels > 0).astype(np.uint8)
    provenance[decided] = np.where(values == labels, 3, 2)[decided]
    provenance[values == 255] = 4
    return np.where(decided, values, labels), provenance


def window_of(array: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """A window of an array that may reach outside, where it is 0."""
    y0, x0, y1, x1 = window
    wide = np.pad(array, ((2000, 2000), (2000, 2000)))
    return wide[y0 + 2000 : y1 + 2000, x0 + 2000 : x1 + 2000]


def make_both(
    folder: Path, image: Pyramid, labels: np.ndarray, make_segmentation: Callable[..., Segmentation], seed: int = 0
) -> tuple[Segmentation, Corrections]:
    """A segmentation of an image, and corrections of it that are open for reading."""
    store = make_segmentation(labels, names=NAMES, path=folder / "land.ome.zarr", image=image)
    with Corrections.create(folder / "scene.corrections.ome.zarr", image, TABLE) as corrections:
        paint(corrections, seed)
    return store, Corrections.open(folder / "scene.corrections.ome.zarr")
