"""Placement of layers: grids of cells over an image layer, and conversions between napari's coordinates and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from fctl_napari.exceptions import InputError
from fctl_napari.windows import FloatWindow

MOVED = ("scale", "translate", "rotate", "shear", "affine", "units")
"""Arguments of a placement that may change after the layer was made."""


def placed_like(image: Image) -> dict[str, Any]:
    """Return the arguments of a layer whose coordinates are those of an image: a mask, or shapes in its pixels.

    Parameters
    ----------
    image : Image
        The image layer.

    Returns
    -------
    dict of str to object
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units``.
    """
    return {
        "scale": image.scale[-2:],
        "translate": image.translate[-2:],
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units[-2:],
    }


def placed_over(image: Image, footprint: FloatWindow, cells: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments of a layer of cells that cover a footprint of an image, however that is placed.

    Cell i of n covers ``[a + i s, a + (i + 1) s)`` px with ``s = (b - a) / n``, and napari counts from the center of
    pixel 0. An image with scale S, rotation R, shear H and translation T maps its coordinate p to ``R H S p + T``
    before its affine; the cells then have the scale ``S s`` and the translation ``T + R H S (a + (s - 1) / 2)``.

    Parameters
    ----------
    image : Image
        A layer with two dimensions (and colors).
    footprint : FloatWindow
        Window that the grid covers, px of level 0; it may reach outside the image.
    cells : tuple of 2 int
        Number of cells along (y, x).

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units``.
    """
    start, stop = np.asarray(footprint[:2], float), np.asarray(footprint[2:], float)
    pitch = (stop - start) / np.asarray(cells)
    like = placed_like(image)
    scale = np.asarray(like["scale"], float)
    linear = np.asarray(image.rotate, float)[-2:, -2:] @ shear_matrix(image)
    corner = linear @ (scale * (start + (pitch - 1) / 2))
    return {**like, "scale": scale * pitch, "translate": np.asarray(like["translate"], float) + corner}


def shear_matrix(image: Image) -> np.ndarray:
    """Return the shear of a layer with two dimensions as a matrix.

    Parameters
    ----------
    image : Image
        The layer.

    Returns
    -------
    ndarray of float64 [2, 2]
        The shear, for (y, x).
    """
    shear = np.asarray(image.shear, float)
    if shear.shape == (2, 2):
        return shear
    return np.array([[1.0, float(shear.ravel()[0])], [0.0, 1.0]])  # napari's upper triangular vector


def moves(layer: Layer | None) -> list[Any]:
    """Return the emitters of a layer's placement.

    Parameters
    ----------
    layer : Layer or None
        A layer, or None.

    Returns
    -------
    list of napari.utils.events.EventEmitter
        Emitters that fire when the layer is placed anew; none without a layer.
    """
    return [] if layer is None else [getattr(layer.events, name) for name in MOVED]


def move(layer: Layer, placement: dict[str, Any]) -> None:
    """Place an existing layer.

    Arguments that stay the same are not set again, because each costs a refresh.

    Parameters
    ----------
    layer : Layer
        The layer.
    placement : dict of str to object
        Arguments, as :func:`placed_like` gives them.
    """
    for name in MOVED:
        if name not in placement:
            continue
        now, then = getattr(layer, name), placement[name]
        same = tuple(now) == tuple(then) if name == "units" else np.array_equal(np.asarray(now), np.asarray(then))
        if not same:
            setattr(layer, name, then)


def to_pixels(layer: Layer, world: Sequence[float] | np.ndarray) -> np.ndarray:
    """Convert a point to level-0 px of a layer.

    Pixel i covers [i, i + 1).

    Parameters
    ----------
    layer : Layer
        The layer.
    world : sequence of float or ndarray
        The point, (..., y, x), in the units of the layer; see :func:`seen_pixels` for points of a viewer.

    Returns
    -------
    ndarray of float64 [2]
        (y, x), px.
    """
    # napari's data coordinate 0 is the center of pixel 0; ours is its corner
    return np.asarray(layer.world_to_data(np.asarray(world, float)[-layer.ndim :]), dtype=float)[-2:] + 0.5


def seen_pixels(viewer: ViewerModel, layer: Layer, world: Sequence[float] | np.ndarray) -> np.ndarray:
    """Convert a point of the viewer's world to level-0 px of a layer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    layer : Layer
        The layer.
    world : sequence of float or ndarray
        The point, (..., y, x), in the units of the viewer's world.

    Returns
    -------
    ndarray of float64 [2]
        (y, x), px; pixel i covers [i, i + 1).
    """
    return to_pixels(layer, np.asarray(world, float)[-layer.ndim :] / units_to_world(viewer, layer))


def units_to_world(viewer: ViewerModel, layer: Layer) -> np.ndarray:
    """Return the number of units of the viewer's world in one unit of a layer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    layer : Layer
        The layer.

    Returns
    -------
    ndarray of float64 [ndim]
        Factor along each of the layer's axes.
    """
    if all(other.units[-2:] == layer.units[-2:] for other in viewer.layers):
        return np.ones(layer.ndim)
    world = viewer.layers.units
    if world is None:
        return np.ones(layer.ndim)  # with units of different kinds napari takes the numbers as they are
    return units_between(layer, world)


def units_between(layer: Layer, units: Sequence[Any]) -> np.ndarray:
    """Return the number of given units in one unit of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    units : sequence of object
        Units of the last axes.

    Returns
    -------
    ndarray of float64 [ndim]
        Factor along each of the layer's axes; 1 where the kinds of units differ.
    """
    own = layer.units[-len(units) :]
    pairs = zip(own, units[-len(own) :], strict=True)
    found = [float((1 * one).to(other).magnitude) if one.is_compatible_with(other) else 1.0 for one, other in pairs]
    return np.array([1.0] * (layer.ndim - len(found)) + found)


def pixels_to_world(viewer: ViewerModel, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return the affine map from napari's data coordinates of a layer to the viewer's world.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    layer : Layer
        The layer.

    Returns
    -------
    tuple of 2 ndarray of float64
        Matrix [2, 2] and offset [2], for (y, x).

    Raises
    ------
    InputError
        The layer is turned out of the plane.
    """
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), float)
    steps = np.stack([np.asarray(layer.data_to_world(axis), float) - origin for axis in np.eye(layer.ndim)[-2:]], 1)
    if np.abs(steps[:-2]).max(initial=0.0) > 1e-9 * np.abs(steps).max():
        raise InputError(f"{layer.name}: is turned out of the plane of its last two axes; turn it back.")
    units = units_to_world(viewer, layer)[-2:]
    return steps[-2:] * units[:, None], origin[-2:] * units


def outline(window: FloatWindow) -> np.ndarray:
    """Return the corners of a window, in the coordinates of a layer placed like the image.

    Parameters
    ----------
    window : FloatWindow
        (y0, x0, y1, x1), px of level 0.

    Returns
    -------
    ndarray of float64 [4, 2]
        Corners (y, x), in napari's data coordinates.
    """
    y0, x0, y1, x1 = window
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]]) - 0.5
