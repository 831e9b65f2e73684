"""What the tests of the window look at."""

from __future__ import annotations

from collections.abc import Callable

import napari
import numpy as np

from fctl_napari.plugin.segment.widget import SegmentWidget

Open = Callable[..., tuple[napari.Viewer, SegmentWidget]]
"""The fixture ``open_scene``."""


def mask_of(viewer: napari.Viewer) -> napari.layers.Labels:
    (mask,) = (layer for layer in viewer.layers if isinstance(layer, napari.layers.Labels))
    return mask


def level(layer: napari.layers.Layer) -> np.ndarray:
    """Full resolution, as the layer has it."""
    return np.array(layer.data[0] if layer.multiscale else layer.data)


def errors(notes: list[tuple[str, str]]) -> list[str]:
    return [message for severity, message in notes if severity == "error"]


def shown(viewer: napari.Viewer, y: float, x: float) -> np.ndarray:
    """The canvas' color at the centre of pixel (y, x) of the image."""
    picture = viewer.screenshot(canvas_only=True, flash=False)
    camera = viewer.scene.camera
    height, width = viewer.canvas.size
    ratio = picture.shape[0] / height
    row = ((y - camera.center[-2]) * camera.zoom + height / 2) * ratio
    column = ((x - camera.center[-1]) * camera.zoom + width / 2) * ratio
    return picture[int(row), int(column), :3].astype(int)
