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


def resize_box(crop: NDArray[np.uint8], box: Box, size: int) -> NDArray[np.uint8]:
    """Resize a box of a crop to a square.

    Parameters
    ----------
    crop : ndarray of uint8 [y, x, 3 or 4]
        RGB; RGBA where px are without data. Pillow weighs colors by their opacity.
    box : Box
        Part of the crop.
    size : int
        Side of the result, px.

    Returns
    -------
    ndarray of uint8 [size, size, 3]
        RGB, filled where there is no data (see ``fill_invalid``).
    """
    height, width = crop.shape[:2]
    if box != (0.0, 0.0, float(width), float(height)) or not height == width == size:
        crop = np.array(Image.fromarray(crop).resize((size, size), Image.Resampling.BILINEAR, box=box))
    return fill_invalid(crop) if crop.shape[2] == 4 else crop


def resize_box_of_strips(
    read: Callable[[IntWindow], NDArray[np.uint8]], outer: IntWindow, box: Box, size: int, rows: int
) -> NDArray[np.uint8]:
    """Resize a box of a large crop: rows strip by strip, then columns.

    Pillow rounds to uint8 between the two as well, but may choose the other order, so a value may differ by 1.

    Parameters
    ----------
    read : callable
        Reads a window, RGB or RGBA.
    outer : IntWindow
        Window of the crop (y0, x0, y1, x1), px.
    box : Box
        Part of the crop.
    size : int
        Side of the result, px.
    rows : int
        Number of rows of a strip. Strips end at multiples of it, where chunks end.

    Returns
    -------
    ndarray of uint8 [size, size, 3]
        RGB, filled where there is no data (see ``fill_invalid``).
    """
    top, left, bottom, right = outer
    strips = []
    start = top
    while start < bottom:
        stop = min(bottom, (start // rows + 1) * rows)
        strip = Image.fromarray(read((start, left, stop, right)))
        part = (box[0], 0.0, box[2], float(stop - start))
        strips.append(np.asarray(strip.resize((size, stop - start), Image.Resampling.BILINEAR, box=part)))
        start = stop
    return resize_box(np.concatenate(strips), (0.0, box[1], float(size), box[3]), size)
