"""Resampling of windows of an image to squares, with Pillow's antialiased bilinear filter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fctl_napari.imagery.validity import fill_invalid
from fctl_napari.windows import IntWindow

Box = tuple[float, float, float, float]
"""Part of a crop as Pillow takes it: (left, top, right, bottom), px, perhaps fractional."""


def resize_box(crop: NDArray[np.uint8], box: Box, size: int, *, opacity: bool = False) -> NDArray[np.uint8]:
    """Resize a box of a crop to a square.

    Parameters
    ----------
    crop : ndarray of uint8 [y, x, C]
        Colors or bands, with opacity as the last channel where px are without data.
    box : Box
        Part of the crop.
    size : int
        Side of the result, px.
    opacity : bool, optional
        If True, the last channel is opacity, by which Pillow weighs the others.

    Returns
    -------
    ndarray of uint8 [size, size, C]
        Colors or bands without opacity, filled where there is no data (see ``fill_invalid``).
    """
    height, width = crop.shape[:2]
    if box != (0.0, 0.0, float(width), float(height)) or not height == width == size:
        crop = _resize(crop, (size, size), box, opacity)
    return fill_invalid(crop) if opacity else crop


def _resize(crop: NDArray[np.uint8], size: tuple[int, int], box: Box, opacity: bool) -> NDArray[np.uint8]:
    """Resize a box of a crop to (width, height)."""

    def resized(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box=box))

    if crop.shape[2] - opacity == 3:  # as Pillow knows them
        return resized(crop)
    if not opacity:
        return np.dstack([resized(np.ascontiguousarray(band)) for band in np.moveaxis(crop, 2, 0)])
    parts = [resized(np.ascontiguousarray(crop[..., [band, -1]])) for band in range(crop.shape[2] - 1)]
    return np.dstack([*(part[..., 0] for part in parts), parts[0][..., 1]])


def resize_box_of_strips(
    read: Callable[[IntWindow], NDArray[np.uint8]],
    outer: IntWindow,
    box: Box,
    size: int,
    rows: int,
    *,
    opacity: bool = False,
) -> NDArray[np.uint8]:
    """Resize a box of a large crop: rows strip by strip, then columns.

    Pillow rounds to uint8 between the two as well, but may choose the other order, so a value may differ by 1.

    Parameters
    ----------
    read : callable
        Reads a window, see ``resize_box``.
    outer : IntWindow
        Window of the crop (y0, x0, y1, x1), px.
    box : Box
        Part of the crop.
    size : int
        Side of the result, px.
    rows : int
        Number of rows of a strip. Strips end at multiples of it, where chunks end.
    opacity : bool, optional
        If True, the last channel is opacity.

    Returns
    -------
    ndarray of uint8 [size, size, C]
        Colors or bands without opacity, filled where there is no data (see ``fill_invalid``).
    """
    top, left, bottom, right = outer
    strips = []
    start = top
    while start < bottom:
        stop = min(bottom, (start // rows + 1) * rows)
        part = (box[0], 0.0, box[2], float(stop - start))
        strips.append(_resize(read((start, left, stop, right)), (size, stop - start), part, opacity))
        start = stop
    return resize_box(np.concatenate(strips), (0.0, box[1], float(size), box[3]), size, opacity=opacity)
