"""Navigation to a part of an image, and its outline."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer, Shapes

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.transforms import move, outline, placed_like, units_to_world
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.windows import IntWindow

SHARE = 1 / 3
"""Share of the canvas that a part fills after flying to it, along its longer side."""
WHOLE_SHARE = 0.95
"""Share of the canvas that an image fills after it was brought into view, as in napari."""
MOST_ZOOM = 12.0
"""Largest number of screen px of a px of the image: a few px without their surroundings show nothing."""

LINE_PX = 2.0
"""Width of the outline on the screen, px."""
MARGIN_PX = 1.0
"""Distance between a part and its outline, px of the image."""


def fly_to(viewer: ViewerModel, layer: Layer, window: IntWindow) -> None:
    """Move the camera so that a part of a layer fills a third of the canvas.

    It works with whatever axes are displayed, in whatever order: along an axis that is not displayed, the viewer goes
    to the part's slice.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    layer : Layer
        The layer.
    window : IntWindow
        Window of the part, (y0, x0, y1, x1) px of level 0.
    """
    units = units_to_world(viewer, layer)
    corners = np.array([(np.asarray(layer.data_to_world(corner)) * units)[-2:] for corner in outline(window)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle = dict(zip((viewer.dims.ndim - 2, viewer.dims.ndim - 1), (low + high) / 2, strict=True))
    size = dict(zip(middle, high - low, strict=True))
    for axis, placement in middle.items():
        if axis not in viewer.dims.displayed:  # one looks along it, so go to the slice that meets the part
            viewer.dims.set_point(axis, placement)
    shown = list(viewer.dims.displayed)[-3:]
    y0, x0, y1, x1 = window
    pixel = np.linalg.norm(corners[1] - corners[0]) / (x1 - x0), np.linalg.norm(corners[3] - corners[0]) / (y1 - y0)
    canvas = np.asarray(viewer.canvas.viewbox_size(viewer.layers), dtype=float)
    # The last two displayed axes run down and across the canvas.
    ratios = [length / size[axis] for length, axis in zip(canvas, shown[-2:], strict=True) if axis in size]
    center = np.asarray(viewer.scene.camera.center, dtype=float)
    for placement, axis in enumerate(shown, len(center) - len(shown)):
        center[placement] = middle.get(axis, center[placement])
    viewer.scene.camera.center = tuple(center)
    if ratios:
        viewer.scene.camera.zoom = min(SHARE * min(ratios), MOST_ZOOM / max(pixel))


def bring_into_view(viewer: ViewerModel, layer: Image) -> None:
    """Move the camera so that an image is seen whole, if nothing of it is in view.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, of two dimensions.
    layer : Image
        The image layer.
    """
    with suppress(InputError):
        view_region(viewer, layer)
        return
    low, high = np.array(layer.extent.world)[:, -2:] * units_to_world(viewer, layer)[-2:]
    center = np.asarray(viewer.scene.camera.center, dtype=float)
    center[-2:] = (low + high) / 2
    viewer.scene.camera.center = tuple(center)
    canvas = np.asarray(viewer.canvas.viewbox_size(viewer.layers), dtype=float)
    viewer.scene.camera.zoom = WHOLE_SHARE * float(min(canvas / (high - low)))


class RegionMarker:
    """Rectangle around a part of a layer, made when it is first shown.

    No other layer is touched.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer where it is shown.
    name : str
        Name of its layer.
    """

    def __init__(self, viewer: ViewerModel, name: str) -> None:
        self._viewer = viewer
        self._name = name
        self._layer: Shapes | None = None

    @property
    def layer(self) -> Shapes | None:
        """Layer of the rectangle, or None if it is not there."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def show(self, layer: Layer, window: IntWindow) -> None:
        """Outline a part of a layer, with a line whose width fits the present zoom.

        Parameters
        ----------
        layer : Layer
            The layer.
        window : IntWindow
            Window of the part, (y0, x0, y1, x1) px of level 0 of the layer.
        """
        y0, x0, y1, x1 = window
        rectangle = outline((y0 - MARGIN_PX, x0 - MARGIN_PX, y1 + MARGIN_PX, x1 + MARGIN_PX))
        width = LINE_PX / (self._viewer.scene.camera.zoom * float(np.max(np.abs(layer.scale[-2:]))))
        placement = placed_like(layer)
        there = self.layer
        if there is not None:
            move(there, placement)
            there.data = [rectangle]
            there.edge_width = [width]
            return
        self._layer = Shapes(
            [rectangle],
            shape_type="rectangle",
            name=self._name,
            edge_color="yellow",
            face_color="transparent",
            edge_width=width,
            metadata={OVERLAY_KEY: True},
            **placement,
        )
        chosen = set(self._viewer.layers.selection)
        self._viewer.add_layer(self._layer)
        self._viewer.layers.selection = chosen

    def hide(self) -> None:
        """Remove the rectangle."""
        if self.layer is not None:
            chosen = set(self._viewer.layers.selection) - {self._layer}
            remove_layers(self._viewer, [self._layer])
            self._viewer.layers.selection = chosen
        self._layer = None
