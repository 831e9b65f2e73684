"""Corrections as a multiscale labels layer over their image, at any zoom."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.layers.correction_marks import mark_corrections
from fctl_napari.plugin.layers.segmentation_layers import StoredLevels, above
from fctl_napari.plugin.layers.styles import NOT_SURE_COLOR, class_style, only_show
from fctl_napari.plugin.layers.transforms import placed_like


def correction_style(table: ClassTable) -> dict[str, Any]:
    """Return the style of a layer of corrections: the classes' colors, and gray for not sure.

    Parameters
    ----------
    table : ClassTable
        The classes.

    Returns
    -------
    dict of str to object
        ``colormap`` and ``features`` of the layer.
    """
    style = class_style((info.name, info.color) for info in displayed(table).scored)
    colors = dict(style["colormap"].color_dict)
    colors[NOT_SURE] = np.array([*(channel / 255 for channel in NOT_SURE_COLOR), 1.0], np.float32)
    names = [*style["features"]["class"], "not sure"]
    index = [*range(len(names) - 1), NOT_SURE]
    return {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": {"index": index, "class": names},
    }


def outline_style(table: ClassTable) -> dict[str, Any]:
    """Return the style of a layer of outlines: one color that no class has.

    Parameters
    ----------
    table : ClassTable
        The classes.

    Returns
    -------
    dict of str to object
        ``colormap`` of the layer.
    """
    color = np.array([*(channel / 255 for channel in outline_color(table)), 1.0], np.float32)
    nothing = np.zeros(4, np.float32)
    labels = dict.fromkeys([*range(1, len(table.scored) + 1), NOT_SURE], color)
    return {"colormap": DirectLabelColormap(color_dict={None: nothing, 0: nothing, **labels})}


def dress(layer: Labels, style: dict[str, Any]) -> None:
    """Give a layer another style.

    Parameters
    ----------
    layer : Labels
        The layer.
    style : dict of str to object
        Attributes to set, by name.
    """
    for name, value in style.items():
        setattr(layer, name, value)


def add_corrections(viewer: napari.Viewer, image: Image, levels: StoredLevels, table: ClassTable) -> Labels:
    """Add the layer of corrections over an image and the layers that lie on it.

    The selection of layers is kept.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image
        The image layer.
    levels : StoredLevels
        Levels of the corrections.
    table : ClassTable
        The classes.

    Returns
    -------
    Labels
        The layer.
    """
    layer = Labels(
        levels.data,
        name=f"corrections of {image.name}",
        opacity=0.6,
        multiscale=len(levels.levels) > 1,
        **placed_like(image),
        **correction_style(table),
    )
    mark_corrections(layer)
    only_show(layer)
    _insert(viewer, image, layer)
    return layer


def add_outlines(viewer: napari.Viewer, image: Image, levels: StoredLevels, table: ClassTable) -> Labels:
    """Add outlines of the corrections over an image and the layers that lie on it.

    They show corrections where a mask has the same class. The selection of layers is kept.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image
        The image layer.
    levels : StoredLevels
        Levels of the corrections.
    table : ClassTable
        The classes.

    Returns
    -------
    Labels
        The layer.
    """
    layer = Labels(
        levels.data,
        name=f"outlines of corrections of {image.name}",
        multiscale=len(levels.levels) > 1,
        opacity=1.0,
        **placed_like(image),
        **outline_style(table),
    )
    mark_corrections(layer)
    only_show(layer)
    layer.contour = 1
    _insert(viewer, image, layer)
    return layer


def outline_color(table: ClassTable) -> tuple[int, int, int]:
    """Return the one of some plain colors that is farthest from all colors of classes.

    Parameters
    ----------
    table : ClassTable
        The classes.

    Returns
    -------
    tuple of 3 int
        (red, green, blue), 0..255.
    """
    taken = np.array([info.color for info in displayed(table).scored] + [NOT_SURE_COLOR], float)
    plain = np.array([(255, 255, 255), (0, 0, 0), (255, 0, 255), (0, 255, 255)], float)
    distance = np.linalg.norm(plain[:, None] - taken, axis=2).min(axis=1)
    red, green, blue = (int(channel) for channel in plain[distance.argmax()])
    return red, green, blue


def _insert(viewer: napari.Viewer, image: Image, layer: Labels) -> None:
    """Add a layer above all layers that lie on an image, and keep the selection."""
    chosen = set(viewer.layers.selection)
    viewer.layers.insert(above(viewer, image), layer)
    viewer.layers.selection = chosen
