"""What the tests of the tab Errors do and look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from helpers_window import shown

from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.segmentation.store.store import Segmentation

CROP = (250, 2500, 550, 3600)
NAMES = ("water", "forest", "rangeland", "agriculture", "barren")
Judged = tuple[Path, Segmentation, np.ndarray, np.ndarray]
OpenErrors = Callable[..., tuple[napari.Viewer, ErrorWidget]]


def write_ground_truth(scene: Path, ground_truth: np.ndarray) -> None:
    """Store class indices as the ground truth of an OME-Zarr."""
    labels = LabelPyramid.create(
        scene / "labels" / "truth",
        ground_truth.shape,
        chunk=128,
        classes=[{"name": name, "color": (10 * k, 20, 30)} for k, name in enumerate(NAMES)],
    )
    labels.write(0, 0, ground_truth + np.uint8(1))
    labels.update_levels((0, 0, *ground_truth.shape))


def called(ground_truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The predicted class of errors plus 1, by definition."""
    wrong = (ground_truth != predicted) & (ground_truth != 255) & (predicted != 255)
    return np.where(wrong, predicted + np.uint8(1), 0)


def some(where: np.ndarray) -> tuple[int, int]:
    """A pixel whose neighbours, too, are of the kind."""
    inner = where[1:-1, 1:-1].copy()
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            inner &= where[dy : dy + inner.shape[0], dx : dx + inner.shape[1]]
    inner[:, :40] = inner[:, -40:] = False
    y, x = np.argwhere(inner)[len(np.argwhere(inner)) // 2]
    return int(y) + 1, int(x) + 1


def look(viewer: napari.Viewer, y: int, x: int) -> np.ndarray:
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, y, x)
    return shown(viewer, y, x)


def find(widget: ErrorWidget, until: Callable[..., None]) -> None:
    widget.form.regions.find.click()
    until(lambda: not widget.running)


def canvas(viewer: napari.Viewer) -> Any:
    return viewer.window._qt_viewer.canvas.native
