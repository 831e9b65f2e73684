"""Coordinates of the cursor in the status bar of a window, and images that are brought into view."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image, Labels
from qtpy.QtWidgets import QLabel

from fctl_napari.imagery.geodesy.ground_words import position_words
from fctl_napari.plugin.layers.ground import on_ground
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.navigation import bring_into_view
from fctl_napari.plugin.layers.transforms import seen_pixels
from fctl_napari.plugin.layers.viewport import image_shape

NAME = "fctl ground"
"""Qt's name of the text."""


class GroundStatus(QLabel):
    """Easting and northing, or longitude and latitude, of the point under the cursor.

    Those of the px that is seen count: of the uppermost visible layer that has a location on the ground and a px there.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.setObjectName(NAME)
        viewer.cursor.events.position.connect(self._show_position)
        viewer.layers.events.removed.connect(self._show_position)
        viewer.layers.events.inserted.connect(self._inserted)

    def _show_position(self, _event: Any = None) -> None:
        self.setText(self._words())

    def _inserted(self, event: Any) -> None:
        """Bring an image into view that was opened elsewhere on the ground."""
        layer = event.value
        if isinstance(layer, Image) and on_ground(layer) is not None and image_source(layer) is not None:
            bring_into_view(self._viewer, layer)

    def _words(self) -> str:
        """Return the coordinates of the px under the cursor, or nothing where no layer with a location has one."""
        for layer in reversed(self._viewer.layers):
            location = on_ground(layer)
            if location is None or not layer.visible or not isinstance(layer, Image | Labels):
                continue
            pixel = seen_pixels(self._viewer, layer, self._viewer.cursor.position)
            height, width = image_shape(layer)
            if 0 <= pixel[0] < height and 0 <= pixel[1] < width:
                return position_words(location.georeference, (float(pixel[0]), float(pixel[1])), location.unit)
        return ""


def show_ground(viewer: napari.Viewer) -> None:
    """Say in a viewer's status bar where on the ground the cursor is, show a scale bar, and bring new images into view.

    It is done once: the scale bar can be hidden.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    bar = viewer.window._qt_window.statusBar()
    if bar.findChild(QLabel, NAME) is None:
        bar.addPermanentWidget(GroundStatus(viewer))
        viewer.canvas.overlays.scale_bar.visible = True
