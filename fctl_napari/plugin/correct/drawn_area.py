"""Px of an image under a drawn shape, where a prediction is to be accepted."""

from __future__ import annotations

import math

import napari
import numpy as np
from napari.layers import Image, Shapes

from fctl_napari.correcting.acceptance import DrawnArea
from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.roi import region_layer
from fctl_napari.plugin.layers.viewport import drawn_region, shape_pixels


def drawn(shapes: Shapes, image: Image) -> DrawnArea:
    """Return the px of an image under the selected shape of a layer, or else under its last one.

    Parameters
    ----------
    shapes : Shapes
        The layer of shapes.
    image : Image
        The image layer.

    Returns
    -------
    DrawnArea
        The px under the shape.

    Raises
    ------
    InputError
        There is no shape, it holds no area, or it lies beside the image.
    """
    window = drawn_region(shapes, image)
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    kind, vertices = shapes.shape_type[chosen], np.asarray(shapes.data[chosen], float)
    if kind in ("line", "path"):
        raise InputError(f"{shapes.name}: a {kind} has no area; draw a rectangle, an ellipse or a polygon.")
    if kind == "ellipse":  # napari keeps the corners of its bounding box
        turn = np.linspace(0, 2 * math.pi, 128, endpoint=False)[:, None]
        middle = vertices.mean(0)
        down, right = (vertices[3] - vertices[0]) / 2, (vertices[1] - vertices[0]) / 2
        vertices = middle + np.sin(turn) * down + np.cos(turn) * right
    return DrawnArea(window, shape_pixels(shapes, vertices, image))


def drawn_here(viewer: napari.Viewer, image: Image | None) -> DrawnArea:
    """Return the px of an image under the shape that is drawn in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image or None
        The image layer. None if there is none.

    Returns
    -------
    DrawnArea
        The px under the shape; see :func:`drawn`.

    Raises
    ------
    InputError
        Nothing is drawn, there is no image, or see :func:`drawn`.
    """
    shapes = region_layer(viewer)
    if shapes is None or image is None:
        raise InputError("no region is drawn; press Draw and drag a rectangle over the image.")
    return drawn(shapes, image)
