"""Parts of an image layer that are in view or under drawn shapes, in its pixels."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.transforms import seen_pixels, to_pixels, units_between
from fctl_napari.windows import IntWindow


def view_region(viewer: ViewerModel, layer: Image) -> IntWindow:
    """Return the part of a layer that the canvas shows.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer whose canvas size, camera center and zoom determine the part in view, whatever was drawn last.
    layer : Image
        An image layer; its scale, translation, rotation and affine are undone.

    Returns
    -------
    IntWindow
        (y0, x0, y1, x1), px of level 0, cut to the image.

    Raises
    ------
    InputError
        Nothing of the layer is in view, or the viewer shows three dimensions.
    """
    if viewer.dims.ndisplay != 2:
        raise InputError(f"{layer.name}: the viewer shows three dimensions; switch it to two to use the view.")
    camera = viewer.scene.camera
    # In grid mode each layer has a box of its own, and all show the same location.
    half = np.asarray(viewer.canvas.viewbox_size(viewer.layers), dtype=float) / camera.zoom / 2
    center = np.asarray(camera.center[-2:], dtype=float)
    displayed = list(viewer.dims.displayed)
    corners = []
    for sign in product((-1, 1), repeat=2):
        world = np.asarray(viewer.dims.point, dtype=float)
        world[displayed] = center + half * sign
        corners.append(seen_pixels(viewer, layer, world))
    seen = np.array(corners)
    across = np.ptp(seen, axis=0) < 1e-6  # one px of an axis that is not displayed is seen
    seen[:, across] = np.floor(seen[:, across] + 1e-6) + np.array([[0.0], [1.0]] * 2)
    return _cut(seen, layer, "the view shows nothing of it; move the view over the image")


def drawn_region(shapes: Shapes, layer: Image) -> IntWindow:
    """Return the part of a layer under the selected shape, or else the last one.

    Parameters
    ----------
    shapes : Shapes
        Layer of the shapes.
    layer : Image
        The image layer.

    Returns
    -------
    IntWindow
        Bounding box of the shape, (y0, x0, y1, x1), px of level 0, cut to the image.

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
    """Convert the vertices of a shape to px of level 0 of a layer.

    Parameters
    ----------
    shapes : Shapes
        Layer of the shape.
    vertices : ndarray [n, ndim]
        Vertices in the data coordinates of ``shapes``.
    layer : Image
        The image layer.

    Returns
    -------
    ndarray of float64 [n, 2]
        Vertices (y, x), px.
    """
    units = units_between(shapes, layer.units)
    vertices_px = [to_pixels(layer, np.asarray(shapes.data_to_world(vertex)) * units) for vertex in vertices]
    return np.array(vertices_px)


def image_shape(layer: Image | Labels) -> tuple[int, int]:
    """Return the shape of a layer's level 0.

    Parameters
    ----------
    layer : Image or Labels
        The layer.

    Returns
    -------
    tuple of 2 int
        (height, width), px.
    """
    shape = layer.level_shapes[0]
    return int(shape[-2]), int(shape[-1])


def _cut(corners: np.ndarray, layer: Image, complaint: str) -> IntWindow:
    """Cut the bounding box of corners to the image, or raise the complaint if nothing is left."""
    height, width = image_shape(layer)
    # A corner within a thousandth of a pixel of an edge counts as on it.
    y0, x0 = (max(0, math.floor(v + 1e-3)) for v in corners.min(axis=0))
    y1, x1 = (min(size, math.ceil(v - 1e-3)) for v, size in zip(corners.max(axis=0), (height, width), strict=True))
    if y0 >= y1 or x0 >= x1:
        raise InputError(f"{layer.name}: {complaint}.")
    return y0, x0, y1, x1
