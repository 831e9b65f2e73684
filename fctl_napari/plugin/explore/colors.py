"""Colour scales of explanations: what is low lets the image through."""

from __future__ import annotations

from functools import cache

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap

STEPS = 256
DIM = 0.35
"""Opacity at the low end of the scale of a single map: its footprint is the part of the image that is dimmed."""


@cache
def scale(color: tuple[int, int, int] | None) -> np.ndarray:
    """Return a colour scale from low to high.

    Parameters
    ----------
    color
        (red, green, blue) 0..255 for one that runs from clear to this colour, for maps that lie over each other;
        None: magma, whose lightness grows evenly, from dim to opaque.

    Returns
    -------
    numpy.ndarray
        float32 (256, 4), RGBA 0..1.
    """
    position = np.linspace(0, 1, STEPS)
    if color is None:
        colors = np.asarray(ensure_colormap("magma").map(position), np.float32).copy()
        colors[:, 3] = DIM + (1 - DIM) * position
        return colors
    tint = np.tile(np.array([*(channel / 255 for channel in color), 1.0], np.float32), (STEPS, 1))
    tint[:, 3] = np.sqrt(position)  # an even share of ten cells is seen as well
    return tint


@cache
def colormap(color: tuple[int, int, int] | None) -> Colormap:
    """Return ``scale`` as napari takes it."""
    name = "fctl heat" if color is None else "fctl #{:02x}{:02x}{:02x}".format(*color)
    return Colormap(scale(color), name=name)
