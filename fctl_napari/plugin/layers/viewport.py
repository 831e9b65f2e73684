"""Where the user looks or has drawn, in pixels of an image layer."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from fctl_napari.errors import InputError
from fctl_napari.plugin.layers.transforms import seen_pixels, to_pixels, units_between
from fctl_napari.windows import IntWindow


def view_region(viewer: ViewerModel, layer: Image) -> IntWindow:
    """Return the part of ``layer`` that the canvas shows.

    Parameters
    ----------
    viewer
        Its canvas size, camera centre and zoom say what is in view, whatever was drawn last.
    layer
        An image layer; its scale, translation, rotation and affine are undone.

    Returns
    -------
    IntWindow
        (y0, x0, y1, x1) in level 0 px, cut to the image.

    Raises
    ------
    InputError
        Nothing of the layer is in view, or the viewer shows three dimensions.
    """
    if viewer.dims.ndisplay != 2:
        raise InputError(f"{layer.name}: the viewer shows three dimensions; switch it to two to use the view.")
    camera = viewer.scene.camera
    # in grid mode each layer has a box of its own, and all look at the same place
    half = np.asarray(viewer.canvas.viewbox_size(viewer.layers), dtype=float) / camera.zoom / 2
    center = np.asarray(camera.center[-2:], dtype=float)
    displayed = list(viewer.dims.displayed)
    corners = []
    for sign in product((-1, 1), repeat=2):
        world = np.asarray(viewer.dims.point, dtype=float)
        world[displayed] = center + half * sign
        corners.append(seen_pixels(viewer, layer, world))
    seen = np.array(corners)
    across = np.ptp(seen, axis=0) < 1e-6  # an axis that is not displayed: one px of it is seen
    seen[:, across] = np.floor(seen[:, across] + 1e-6) + np.array([[0.0], [1.0]] * 2)
    return _cut(seen, layer, "the view shows nothing of it; move the view over the image")


def drawn_region(shapes: Shapes, layer: Image) -> IntWindow:
    """Return the part of ``layer`` under the selected shape of ``shapes``, or else its last one.

    Returns
    -------
    IntWindow
        The bounding box of the shape, (y0, x0, y1, x1) in level 0 px, cut to the image.

    Raises
    ------
    InputError
        There is no shape, or it lies beside the image.
    """
    if len(shapes.data) == 0:
        raise InputError(f"{shapes.name}: nothing is drawn yet; draw a rectangle over the image.")
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    corners = shape_pixels(shapes, shapes.data[chosen], layer)
    return _cut(corners, layer, "the drawn rectangle lies beside it; draw one over the image")


def shape_pixels(shapes: Shapes, vertices: np.ndarray, layer: Image) -> np.ndarray:
    """Return the places (y, x) of vertices of a shape in level 0 px of ``layer``, (n, 2)."""
    units = units_between(shapes, layer.units)
    vertices_px = [to_pixels(layer, np.asarray(shapes.data_to_world(vertex)) * units) for vertex in vertices]
    return np.array(vertices_px)


def image_shape(layer: Image | Labels) -> tuple[int, int]:
    """Return the (height, width) of the layer's level 0, px."""
    shape = layer.level_shapes[0]
    return int(shape[-2]), int(shape[-1])


def _cut(corners: np.ndarray, layer: Image, complaint: str) -> IntWindow:
    height, width = image_shape(layer)
    # a corner within a thousandth of a pixel of an edge is on it
    y0, x0 = (max(0, math.floor(v + 1e-3)) for v in corners.min(axis=0))
    y1, x1 = (min(size, math.ceil(v - 1e-3)) for v, size in zip(corners.max(axis=0), (height, width), strict=True))
    if y0 >= y1 or x0 >= x1:
        raise InputError(f"{layer.name}: {complaint}.")
    return y0, x0, y1, x1
