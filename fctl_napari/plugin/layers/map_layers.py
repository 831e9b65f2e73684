"""Maps beside a segmentation as image layers: their colours and the limits of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fctl_napari.plugin.layers.styles import byte_colormap
from fctl_napari.segmentation.store.map_names import ENTROPY, MARGIN, WEIGHT

MAP_KEY = "fctl_map"
"""Key of a layer's ``metadata`` that holds which of the segmentation's maps it shows."""

COLORS = {ENTROPY: "magma", MARGIN: "viridis"}
"""napari's names of colours whose lightness grows evenly; the weights of all contexts have ``WEIGHT_COLORS``."""

WEIGHT_COLORS = "plasma"

SPREAD = (1, 99)
"""Colours of weights run between these percentiles: weights of a network differ by some hundredths."""


def color_limits(name: str, maps: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Choose where the colours of a map begin and end, 0..1.

    Parameters
    ----------
    name
        Which map.
    maps
        The coarsest levels of a segmentation's maps, uint8, 0 = not computed.

    Returns
    -------
    The whole range for entropy and margin; for weights the same for every context, by what is computed so far.
    """
    if not name.startswith(WEIGHT):
        return 0.0, 1.0
    return spread(values for key, values in maps.items() if key.startswith(WEIGHT))


def spread(maps: Iterable[np.ndarray]) -> tuple[float, float]:
    """Find between which values, 0..1, nearly all that is computed of some maps lies; 0 and 1 if nothing is."""
    # 256 counts instead of the values: a coarsest level has up to a million px
    counts = sum((np.bincount(values.ravel(), minlength=256) for values in maps), np.zeros(256, np.int64))
    counts[0] = 0
    total = counts.sum()
    if not total:
        return 0.0, 1.0
    low, high = np.searchsorted(counts.cumsum(), np.array(SPREAD) / 100 * total)
    return float(low / 255), float(high / 255)


def map_style(name: str, limits: tuple[float, float]) -> dict[str, Any]:
    """Return the ``colormap`` and ``contrast_limits`` of a map's layer, for colours between limits of 0..1."""
    colors = COLORS.get(name, WEIGHT_COLORS)
    title = f"fctl {colors} {limits[0]:.3f} {limits[1]:.3f}"
    return {"colormap": byte_colormap(title, colors, limits), "contrast_limits": (0, 255)}
