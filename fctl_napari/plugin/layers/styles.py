"""Styles of layers: scales and units, colormaps, and protection from painting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap

NOT_SURE_COLOR = (128, 128, 128)


_only_shown: WeakSet[Layer] = WeakSet()


def pixel_scale(
    pixel_size: tuple[float, float] | None, unit: str | None, translation: tuple[float, float] = (0.0, 0.0)
) -> dict[str, Any]:
    """Return the ``scale``, ``units`` and ``translate`` of a layer with pixels of a size.

    napari does not mix units, so an unknown one counts as pixels.

    Parameters
    ----------
    pixel_size : tuple of 2 float or None
        Size of a px, (y, x), in ``unit``.
    unit : str or None
        Name of the unit.
    translation : tuple of 2 float, optional
        Position of the center of the first px, (y, x), in ``unit``.

    Returns
    -------
    dict of str to object
        Arguments of the layer, without those that napari has by default. Without a unit a px has the size 1.
    """
    if pixel_size is None:
        return {}
    if unit is None:
        moved = tuple(start / size for start, size in zip(translation, pixel_size, strict=True))
        return {"translate": moved} if any(moved) else {}
    import pint

    placement: dict[str, Any] = {"scale": tuple(pixel_size)}
    if any(translation):
        placement["translate"] = tuple(translation)
    try:
        pint.get_application_registry().Unit(unit)
    except (pint.UndefinedUnitError, AttributeError, ValueError):
        return placement
    return {**placement, "units": (unit, unit)}


def class_style(classes: Iterable[tuple[str, tuple[int, int, int]]]) -> dict[str, Any]:
    """Return the ``colormap`` and ``features`` of a labels layer.

    Parameters
    ----------
    classes : iterable of tuple of (str, tuple of 3 int)
        (name, (red, green, blue) 0..255) by class index; class k is label k + 1, label 0 is transparent.

    Returns
    -------
    dict of str to object
        Arguments of the layer.
    """
    classes = list(classes)
    colors: dict[int | None, np.ndarray] = {None: np.zeros(4, np.float32), 0: np.zeros(4, np.float32)}
    for index, (_, color) in enumerate(classes):
        colors[index + 1] = np.array([*(channel / 255 for channel in color), 1.0], np.float32)
    # Row i of the features belongs to label i; napari shows it in the status bar.
    features = {"class": ["", *(name for name, _ in classes)]}
    return {"colormap": DirectLabelColormap(color_dict=colors), "features": features}


def recolor(viewer: Any, name: str, color: tuple[int, int, int]) -> None:
    """Show the new color of a class in all labels layers that name it.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    name : str
        Name of the class.
    color : tuple of 3 int
        (red, green, blue), 0..255.
    """
    for layer in viewer.layers:
        features = getattr(layer, "features", None)
        if not isinstance(layer, Labels) or features is None or "class" not in features:
            continue
        labels = features.get("index", features.index)
        colors = dict(layer.colormap.color_dict)
        for label, known in zip(labels, features["class"], strict=True):
            if known == name and label in colors:
                colors[int(label)] = np.array([*(channel / 255 for channel in color), 1.0], np.float32)
        layer.colormap = DirectLabelColormap(color_dict=colors)


def only_show(layer: Layer) -> None:
    """Protect a layer that shows a file from painting, because napari would not keep what is painted there.

    Parameters
    ----------
    layer : Layer
        The layer.
    """
    if layer in _only_shown:
        return
    _only_shown.add(layer)

    def refuse(_event: Any = None) -> None:
        if layer.editable:  # napari sets it with all new data
            layer.editable = False

    refuse()
    layer.events.editable.connect(refuse)


def confidence_colormap() -> Colormap:
    """Return the colormap of a confidence layer: 0 (not computed) is clear, 1..255 run from low to high."""
    return byte_colormap("fctl confidence", "viridis")


def byte_colormap(name: str, colors: str, limits: tuple[float, float] = (0.0, 1.0)) -> Colormap:
    """Return a colormap for a layer of bytes with the contrast limits 0 and 255, where 0 (not computed) is clear.

    Parameters
    ----------
    name : str
        Name of the colormap in napari.
    colors : str
        Name of napari's colormap whose colors stand for 1..255.
    limits : tuple of 2 float, optional
        Values between which the colors run, 0..1 for 0..255. Beyond them the first and the last color continue.

    Returns
    -------
    Colormap
        The colormap.
    """
    from napari.utils.colormaps import ensure_colormap

    low, high = limits
    position = np.clip((np.linspace(0, 1, 256) - low) / max(high - low, 1 / 255), 0, 1)
    table = ensure_colormap(colors).map(position).astype(np.float32)
    table[0] = 0
    return Colormap(table, name=name, interpolation="zero", controls=np.linspace(0, 1, 257))
