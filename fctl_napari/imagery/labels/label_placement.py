"""Placement of the labels of an OME-Zarr image over its pixels, by the metadata of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ngff_axes import LevelPlacement, axis_unit, level_placements
from fctl_napari.imagery.labels.placed_labels import PlacedLabels

METERS = {
    "angstrom": 1e-10,
    "picometer": 1e-12,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "decimeter": 1e-1,
    "meter": 1.0,
    "kilometer": 1e3,
    "inch": 0.0254,
    "foot": 0.3048,
    "yard": 0.9144,
    "mile": 1609.344,
}
"""Lengths of units, m."""

OFF_PX = 0.05
"""Largest distance of labels from whole px of their image, px, where both have px of one size."""

NEUTRAL = LevelPlacement((1.0, 1.0), (0.0, 0.0))


@dataclass(frozen=True)
class LabelPlacement:
    """The placement of labels in px of their image.

    Attributes
    ----------
    step : tuple of 2 float
        Size of a px of the labels, (y, x), px of the image.
    start : tuple of 2 float
        Position of the center of their first px, (y, x), px of the image from the center of its first px.
    shape : tuple of 2 int
        (height, width) of the labels, px.
    image_shape : tuple of 2 int
        (height, width) of the image, px.
    """

    step: tuple[float, float]
    start: tuple[float, float]
    shape: tuple[int, int]
    image_shape: tuple[int, int]

    @property
    def same_px(self) -> bool:
        """True if the px of the labels are those of the image."""
        return self.shape == self.image_shape and self.step == (1.0, 1.0) and self.start == (0.0, 0.0)


def label_placement(labels: zarr.Group, path: Path | str, image: zarr.Group, image_path: Path | str) -> LabelPlacement:
    """Read where labels lie over their image.

    Their scale and translation count. Labels that state neither, and have a whole fraction of the image's px, cover it
    from corner to corner. Labels that are as large as the image and state no translation have the one of the image.

    Parameters
    ----------
    labels : zarr.Group
        Group of the labels.
    path : Path or str
        Its location, for messages.
    image : zarr.Group
        Group of the image.
    image_path : Path or str
        Its location, for messages.

    Returns
    -------
    LabelPlacement
        Where they lie.

    Raises
    ------
    InputError
        The metadata of one of the two cannot be read, or their units cannot be compared.
    """
    shape, own, own_unit = _placed(labels, path)
    image_shape, other, unit = _placed(image, image_path)
    extent = np.divide(image_shape, shape)  # px of the image in a px of labels that cover all of it
    silent = own is None or (own == NEUTRAL and own_unit is None)
    if silent and _whole_fraction(shape, image_shape):
        return _covering(extent, shape, image_shape)
    if own is None or other is None or (silent and (other, unit) != (NEUTRAL, None)):
        return _covering(extent, shape, image_shape)
    ratio = _unit_ratio(own_unit, unit, path)
    step = np.multiply(own.size, ratio) / other.size
    start = (np.multiply(own.translation, ratio) - other.translation) / other.size
    covers = bool((np.abs(np.multiply(step, shape) - image_shape) < np.maximum(step, 1.0)).all())
    if covers and (not any(own.translation) or np.abs(start).max() < OFF_PX):
        if shape == image_shape:
            return _covering(step, shape, image_shape)
        start = np.zeros(2)
    return LabelPlacement((float(step[0]), float(step[1])), (float(start[0]), float(start[1])), shape, image_shape)


def over_image(array: Any, axes: str, placement: LabelPlacement, path: Path | str, *, fill: int) -> PlacedLabels:
    """Return labels in the px of their image: in each px the label that is nearest to its center.

    Parameters
    ----------
    array : array_like
        The labels, behind axes of length 1. Anything that is read by slices will do.
    axes : str
        One letter per axis of the array.
    placement : LabelPlacement
        Where they lie.
    path : Path or str
        Location of the labels, for messages.
    fill : int
        Value beside them.

    Returns
    -------
    PlacedLabels
        Labels of the image's size.

    Raises
    ------
    InputError
        They lie between the px of the image, beside it, or have their axes in another order.
    """
    if not axes.endswith("yx"):
        raise InputError(f"{path}: its last axes are not y and x, in this order; write it so, or in its image's px.")
    parts = []
    for axis in (0, 1):
        step, start, size = placement.step[axis], placement.start[axis], placement.shape[axis]
        times = step if step >= 1 else 1 / step
        off = abs(times / round(times) - 1) * size
        if round(times) == 1:
            off = max(abs(start - round(start)), abs(start + (step - 1) * size - round(start))) / OFF_PX
        if off >= 1:
            raise InputError(
                f"{path}: its px lie between those of its image (one is {placement.step[0]:.6g} x "
                f"{placement.step[1]:.6g} px of it, and the first lies at {placement.start[0]:.6g}, "
                f"{placement.start[1]:.6g}); resample it to the image's grid."
            )
        parts.append(_nearest(step, start, size, placement.image_shape[axis]))
    if any((part < 0).all() for part in parts):
        raise InputError(f"{path}: lies beside its image by its translation; correct that, or give other labels.")
    return PlacedLabels(array, parts[0], parts[1], fill=fill)


def _nearest(step: float, start: float, size: int, count: int) -> NDArray[np.int64]:
    """Return for each px of the image the index of the label at its center, -1 beside them."""
    # Of two that are equally near, the first: so px of labels made by leaving out every second one stay whole.
    index = np.ceil((np.arange(count) - start) / step - 0.5 - 1e-6).astype(np.int64)
    return np.where((index >= 0) & (index < size), index, -1)


def _covering(step: Any, shape: tuple[int, int], image_shape: tuple[int, int]) -> LabelPlacement:
    """Return the placement of labels whose first corner is that of the image."""
    if shape == image_shape:
        return LabelPlacement((1.0, 1.0), (0.0, 0.0), shape, image_shape)
    y, x = map(float, step)
    return LabelPlacement((y, x), ((y - 1) / 2, (x - 1) / 2), shape, image_shape)


def _placed(group: zarr.Group, path: Path | str) -> tuple[tuple[int, int], LevelPlacement | None, str | None]:
    """Return the shape of level 0, its placement if it is stated, and its unit."""
    levels, axes, multiscale = ngff.open_levels(group, path)
    placements = level_placements(group, multiscale, axes, path)
    height, width = (int(levels[0].shape[axes.index(axis)]) for axis in "yx")
    return (height, width), placements[0] if placements else None, axis_unit(multiscale)


def _whole_fraction(shape: tuple[int, int], image_shape: tuple[int, int]) -> bool:
    """Return whether labels have the image's shape divided by one whole number."""
    times = max(1, round(image_shape[0] / shape[0]))
    return all(own in (side // times, math.ceil(side / times)) for own, side in zip(shape, image_shape, strict=True))


def _unit_ratio(own: str | None, other: str | None, path: Path | str) -> float:
    """Return the number of one unit in another. One that is not stated is the same."""
    if own is None or other is None or own == other:
        return 1.0
    if own not in METERS or other not in METERS:
        raise InputError(f"{path}: is measured in {own} and its image in {other}; state both in one unit.")
    return METERS[own] / METERS[other]
