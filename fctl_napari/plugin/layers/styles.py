"""Looks of layers: scales and units, colormaps, and whether they can be painted on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import numpy as np
import pandas as pd
from napari.layers import Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap

NOT_SURE_COLOR = (128, 128, 128)


_only_shown: WeakSet[Layer] = WeakSet()


def pixel_scale(pixel_size: tuple[float, float] | None, unit: str | None) -> dict[str, Any]:
    """Return the ``scale`` and ``units`` of a layer with pixels of that size, (y, x).

    napari does not mix units, so an unknown one counts as pixels.
    """
    if pixel_size is None or unit is None:
        return {}
    import pint

    try:
        pint.get_application_registry().Unit(unit)
    except (pint.UndefinedUnitError, AttributeError, ValueError):
        return {"scale": tuple(pixel_size)}
    return {"scale": tuple(pixel_size), "units": (unit, unit)}


def class_style(classes: Iterable[tuple[str, tuple[int, int, int]]]) -> dict[str, Any]:
    """Return the ``colormap`` and ``features`` of a labels layer.

    Parameters
    ----------
    classes
        (name, (red, green, blue) 0..255) by class index; class k is label k + 1, label 0 is transparent.
    """
    classes = list(classes)
    colors: dict[int | None, np.ndarray] = {None: np.zeros(4, np.float32), 0: np.zeros(4, np.float32)}
    for index, (_, color) in enumerate(classes):
        colors[index + 1] = np.array([*(channel / 255 for channel in color), 1.0], np.float32)
    # row i of the features belongs to label i; napari shows it in the status bar
    features = pd.DataFrame({"class": ["", *(name for name, _ in classes)]})
    return {"colormap": DirectLabelColormap(color_dict=colors), "features": features}


def only_show(layer: Layer) -> None:
    """Let nobody paint on a layer that shows a file: what napari painted there would not be kept."""
    if layer in _only_shown:
        return
    _only_shown.add(layer)

    def refuse(_event: Any = None) -> None:
        if layer.editable:  # as napari sets it with every new data
            layer.editable = False

    refuse()
    layer.events.editable.connect(refuse)


def confidence_colormap() -> Colormap:
    """Return the colours of a confidence layer: 0 (not computed) is clear, 1..255 run from low to high."""
    return byte_colormap("fctl confidence", "viridis")


def byte_colormap(name: str, colors: str, limits: tuple[float, float] = (0.0, 1.0)) -> Colormap:
    """Return colours for a layer of bytes with the contrast limits 0 and 255, where 0 (not computed) is clear.

    Parameters
    ----------
    name
        What napari calls it.
    colors
        napari's name of the colours for 1..255.
    limits
        Where they begin and end, 0..1 for 0..255; beyond, the first and the last one go on.
    """
    from napari.utils.colormaps import ensure_colormap

    low, high = limits
    position = np.clip((np.linspace(0, 1, 256) - low) / max(high - low, 1 / 255), 0, 1)
    table = ensure_colormap(colors).map(position).astype(np.float32)
    table[0] = 0
    return Colormap(table, name=name, interpolation="zero", controls=np.linspace(0, 1, 257))
