"""Labels of a layer in the pixels of another one over which they are seen, by location and not by index."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.plugin.layers.transforms import pixels_to_world, units_to_world
from fctl_napari.plugin.layers.viewport import image_shape

CLEAR = 0.05
"""Distance that the center of a px must have from the borders of others, in the smaller of both px."""


def placed_labels(viewer: ViewerModel, layer: Labels, over: Image | Labels) -> Any:
    """Return the labels of a layer in the px of another one, by where both are seen.

    Nothing is read yet.

    To be used on the main thread.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer that shows both.
    layer : Labels
        The labels; axes before the last two have length 1.
    over : Image or Labels
        A layer with two dimensions (and colors).

    Returns
    -------
    array_like [y, x]
        The array that the layer shows at full resolution, if its px are those of ``over``; else a ``PlacedLabels``.

    Raises
    ------
    InputError
        Its px do not each lie over px of ``over``, or it lies beside it, or has further axes.
    """
    array = layer.data[0] if layer.multiscale else layer.data
    if any(size != 1 for size in array.shape[:-2]):
        sizes = " x ".join(map(str, array.shape))
        raise InputError(f"{layer.name}: has more than one plane ({sizes}); make a layer of the one that is meant.")
    shape = image_shape(over)
    matrix, offset = _between(viewer, layer, over)
    # Shift that the other axis adds from one end of the image to the other.
    drift = np.abs(matrix) * (np.array(shape) - 1)
    straight, swapped = drift[[0, 1], [1, 0]].max() < CLEAR / 2, drift[[0, 1], [0, 1]].max() < CLEAR / 2
    if not (straight or swapped):
        raise InputError(
            f"{layer.name}: is rotated or sheared against {over.name}, so that its px are not px there; "
            f"resample it to {over.name}, or give both the same rotation and shear."
        )
    axes = (0, 1) if straight else (1, 0)  # axes of the labels along which the rows and columns of the other run
    steps, starts = matrix[axes, (0, 1)], offset[list(axes)]
    lengths = [array.shape[-2:][own] for own in axes]
    rows, columns = (_along(*each) for each in zip(steps, starts, shape, lengths, strict=True))
    if rows is None or columns is None:
        raise _not_on_px(viewer, layer, over, steps, starts)
    if (rows < 0).all() or (columns < 0).all():
        raise InputError(f"{layer.name}: lies beside {over.name}; move it over it.")
    whole = [np.arange(size) for size in shape]
    same = len(array.shape) == 2 and tuple(array.shape) == shape and straight
    if same and np.array_equal(rows, whole[0]) and np.array_equal(columns, whole[1]):
        return array
    return PlacedLabels(array, rows, columns, swapped=not straight)


def lies_over(viewer: ViewerModel, layer: Labels | Image, image: Image | Labels) -> bool:
    """Return whether two layers have as many px, and the same px at the same locations.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer that shows both.
    layer, image : Labels or Image
        The layers.

    Returns
    -------
    bool
        True if they do.
    """
    shape = image_shape(image)
    if image_shape(layer) != shape or layer.ndim != 2:
        return False
    matrix, offset = _between(viewer, layer, image)
    corners = np.array([(0, 0), (0, shape[1]), (shape[0], 0), shape], float) - 0.5
    return bool(np.abs(corners @ matrix.T + offset - corners).max() < 0.5 - CLEAR)


def _between(viewer: ViewerModel, layer: Labels | Image, over: Image | Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return matrix and offset that give the data coordinates in ``layer`` of those in ``over``, both (y, x)."""
    (own, own_origin), (other, other_origin) = (pixels_to_world(viewer, each) for each in (layer, over))
    inverse = np.linalg.inv(own)
    return inverse @ other, inverse @ (other_origin - own_origin)


def _along(step: float, start: float, count: int, size: int) -> NDArray[np.int64] | None:
    """Return the indices of the ``size`` px that hold the centers of ``count`` others.

    An index is -1 beside them. None is returned if a center is too near to a border.
    """
    positions = start + step * np.arange(count) + 0.5  # px i from i to i + 1
    near = (positions > -CLEAR) & (positions < size + CLEAR)
    if np.abs(positions[near] - np.rint(positions[near])).min(initial=1.0) < CLEAR * min(1.0, abs(step)):
        return None
    return np.where(near, np.floor(positions), -1).astype(np.int64)


def _not_on_px(viewer: ViewerModel, layer: Labels, over: Image | Labels, steps: Any, starts: Any) -> InputError:
    """Return an error that px lie on the borders of others, with a placement for the layer if that helps."""
    words = f"{layer.name}: its px lie between those of {over.name}"
    if image_shape(layer) == image_shape(over):
        return InputError(
            f"{words}, though it has as many; if they are the same, give it the scale {_numbers(over.scale)} and the "
            f"translate {_numbers(over.translate)} of {over.name}, else resample it."
        )
    per_px = 1 / np.abs(steps)
    if np.abs(per_px - np.rint(per_px)).max() > 1e-6 or not np.allclose(layer.affine.linear_matrix, np.eye(layer.ndim)):
        return InputError(f"{words}; resample it to the px of {over.name}.")
    # The beginning of its first px, in px of the other, is moved to the nearest border there.
    begin = (-0.5 - starts) / steps + 0.5
    aside = np.rint(begin + 1e-9) - begin
    world = pixels_to_world(viewer, over)[0] @ aside
    key = np.asarray(layer.translate, float)[-2:] + world / units_to_world(viewer, layer)[-2:]
    return InputError(f"{words}; set its translate to {_numbers(key)}, or resample it to the px of {over.name}.")


def _numbers(values: Any) -> str:
    """Format the last two numbers for a sentence."""
    return f"({', '.join(f'{value:.6g}' for value in values[-2:])})"
