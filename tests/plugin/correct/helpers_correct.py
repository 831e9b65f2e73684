"""What the tests of the tab Correct do and look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
from helpers_window import shown
from napari.layers import Labels
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.plugin.correct.widget import CorrectWidget

OpenCorrect = Callable[..., tuple[napari.Viewer, CorrectWidget]]
Until = Callable[..., None]
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def edit(widget: CorrectWidget, until: Until, y: float, x: float) -> Labels:
    """Put the edit window there."""
    widget.edit_here((y, x))
    until(lambda: not widget.busy and widget.edit_layer is not None)
    layer = widget.edit_layer
    assert layer is not None
    return layer


def rest(widget: CorrectWidget, until: Until) -> None:
    until(lambda: not widget.busy)


def canvas(viewer: napari.Viewer) -> Any:
    return viewer.window._qt_viewer.canvas.native


def on_canvas(viewer: napari.Viewer, layer: Any, y: float, x: float) -> QPoint:
    """Where px (y, x) of a layer is on the canvas."""
    world = np.asarray(layer.data_to_world((y, x)))[-2:]
    camera = viewer.scene.camera
    height, width = viewer.canvas.size
    down, right = (world - camera.center[-2:]) * camera.zoom
    return QPoint(round(width / 2 + right), round(height / 2 + down))


def look_at(viewer: napari.Viewer, layer: Any, y: float, x: float, zoom: float = 4.0) -> np.ndarray:
    """The color on the screen at px (y, x) of a layer."""
    world = np.asarray(layer.data_to_world((y, x)))[-2:]
    viewer.scene.camera.zoom = zoom
    viewer.scene.camera.center = (0, *world)
    QApplication.processEvents()
    return shown(viewer, *world)


def synchronized(corrections: Corrections) -> np.ndarray:
    """Level 0, once it is sure that the others follow from it."""
    whole = np.asarray(corrections.labels.levels[0][:])
    for index, array in enumerate(corrections.labels.levels):
        assert np.array_equal(array[:], whole[:: 2**index, :: 2**index])
    return whole


def layer_window(widget: CorrectWidget) -> tuple[slice, slice]:
    """Where the edit window lies in its image, whose px are the world's."""
    layer = widget.edit_layer
    assert layer is not None
    y0, x0 = (int(v) for v in layer.translate[-2:])
    return slice(y0, y0 + layer.data.shape[0]), slice(x0, x0 + layer.data.shape[1])
