"""Color scales of explanations, in which low values let the image through."""

from __future__ import annotations

from functools import cache

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap

STEPS = 256
"""Number of colors of a scale."""
DIM = 0.35
"""Opacity at the low end of the scale of a single map, which dims the image over the map's footprint."""


@cache
def scale(color: tuple[int, int, int] | None) -> np.ndarray:
    """Return a color scale from low to high.

    Parameters
    ----------
    color : tuple of 3 int or None
        (red, green, blue) 0..255 for a scale that runs from clear to this color, for maps that lie over each other.
        None means magma, whose lightness grows evenly, from dim to opaque.

    Returns
    -------
    ndarray of float32 [256, 4]
        Colors, RGBA 0..1.
    """
    position = np.linspace(0, 1, STEPS)
    if color is None:
        colors = np.asarray(ensure_colormap("magma").map(position), np.float32).copy()
        colors[:, 3] = DIM + (1 - DIM) * position
        return colors
    tint = np.tile(np.array([*(channel / 255 for channel in color), 1.0], np.float32), (STEPS, 1))
    tint[:, 3] = np.sqrt(position)  # so that even a tenth, an even share of ten cells, is seen
    return tint


@cache
def colormap(color: tuple[int, int, int] | None) -> Colormap:
    """Return a color scale as a colormap of napari.

    Parameters
    ----------
    color : tuple of 3 int or None
        As for :func:`scale`.

    Returns
    -------
    Colormap
        The colormap.
    """
    name = "fctl heat" if color is None else "fctl #{:02x}{:02x}{:02x}".format(*color)
    return Colormap(scale(color), name=name)
