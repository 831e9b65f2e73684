"""What the tests of the tab Explore do and look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox

from fctl_napari.plugin.explore.widget import ExploreWidget
from fctl_napari.plugin.layers.explanation_layers import MARKER, OUTLINES
from fctl_napari.plugin.layers.image_source import EXPLORE

OpenExplore = Callable[..., tuple[napari.Viewer, ExploreWidget]]
NAMES = ("local", "medium", "large")


def on_canvas(viewer: napari.Viewer, layer: napari.layers.Layer, y: float, x: float) -> QPoint:
    """Where the middle of pixel (y, x) is on the canvas."""
    world = layer.data_to_world((y, x))
    camera, (height, width) = viewer.scene.camera, viewer.canvas.size
    return QPoint(
        round((world[-1] - camera.center[-1]) * camera.zoom + width / 2),
        round((world[-2] - camera.center[-2]) * camera.zoom + height / 2),
    )


def canvas(viewer: napari.Viewer) -> Any:
    return viewer.window._qt_viewer.canvas.native


def click(viewer: napari.Viewer, layer: napari.layers.Layer, y: float, x: float) -> None:
    QTest.mouseClick(canvas(viewer), Qt.MouseButton.LeftButton, pos=on_canvas(viewer, layer, y, x))


def choose(combo: QComboBox, text: str) -> None:
    """As a user does."""
    combo.setCurrentText(text)
    assert combo.currentText() == text
    combo.textActivated.emit(text)


def layer(viewer: napari.Viewer, name: str) -> Any:
    return viewer.layers[EXPLORE + name]


def shown(viewer: napari.Viewer) -> set[str]:
    """What of ours is visible, outlines and marker apart."""
    found = {entry.name.removeprefix(EXPLORE) for entry in viewer.layers if entry.visible and EXPLORE in entry.name}
    return found - {OUTLINES, MARKER}


def covers(viewer: napari.Viewer, widget: ExploreWidget, name: str, footprint: tuple[float, ...]) -> bool:
    """Whether a layer lies where its cells do, by napari's own transforms."""
    entry, image = layer(viewer, name), widget.image
    rows, columns = entry.data.shape[:2]
    y0, x0, y1, x1 = footprint
    corners = {(-0.5, -0.5): (y0, x0), (rows - 0.5, columns - 0.5): (y1, x1), (-0.5, columns - 0.5): (y0, x1)}
    return all(
        np.allclose(entry.data_to_world(cell), image.data_to_world(np.subtract(pixel, 0.5)), atol=1e-6)
        for cell, pixel in corners.items()
    )
