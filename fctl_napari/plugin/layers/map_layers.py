"""Image layers of the maps beside a segmentation: their colors and the limits of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fctl_napari.plugin.layers.styles import byte_colormap
from fctl_napari.segmentation.store.map_names import ENTROPY, MARGIN, WEIGHT

MAP_KEY = "fctl_map"
"""Key of a layer's ``metadata`` that holds the name of the segmentation's map that it shows."""

COLORS = {ENTROPY: "magma", MARGIN: "viridis"}
"""napari's names of colormaps whose lightness grows evenly; the weights of all contexts have ``WEIGHT_COLORS``."""

WEIGHT_COLORS = "plasma"

SPREAD = (1, 99)
"""Percentiles between which the colors of weights run, because weights of a network differ by some hundredths."""


def color_limits(name: str, maps: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Choose the limits of a map's colors.

    Parameters
    ----------
    name : str
        Name of the map.
    maps : mapping of str to ndarray of uint8 [h, w]
        The coarsest levels of a segmentation's maps, 0 = not computed.

    Returns
    -------
    tuple of 2 float
        Values between which the colors run, 0..1. The whole range for entropy and margin; for weights the same for
        every context, by what is computed so far.
    """
    if not name.startswith(WEIGHT):
        return 0.0, 1.0
    return spread(values for key, values in maps.items() if key.startswith(WEIGHT))


def spread(maps: Iterable[np.ndarray]) -> tuple[float, float]:
    """Find the values between which nearly all that is computed of some maps lies.

    Parameters
    ----------
    maps : iterable of ndarray of uint8
        Values of the maps, 0 = not computed.

    Returns
    -------
    tuple of 2 float
        Percentiles ``SPREAD`` of the values, 0..1; 0 and 1 if nothing is computed.
    """
    # 256 counts in place of the values, because a coarsest level has up to a million px.
    counts = sum((np.bincount(values.ravel(), minlength=256) for values in maps), np.zeros(256, np.int64))
    counts[0] = 0
    total = counts.sum()
    if not total:
        return 0.0, 1.0
    low, high = np.searchsorted(counts.cumsum(), np.array(SPREAD) / 100 * total)
    return float(low / 255), float(high / 255)


def map_style(name: str, limits: tuple[float, float]) -> dict[str, Any]:
    """Return the style of a map's layer.

    Parameters
    ----------
    name : str
        Name of the map.
    limits : tuple of 2 float
        Values between which the colors run, 0..1.

    Returns
    -------
    dict of str to object
        ``colormap`` and ``contrast_limits``.
    """
    colors = COLORS.get(name, WEIGHT_COLORS)
    title = f"fctl {colors} {limits[0]:.3f} {limits[1]:.3f}"
    return {"colormap": byte_colormap(title, colors, limits), "contrast_limits": (0, 255)}
