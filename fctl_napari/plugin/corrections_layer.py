"""Corrections as a multiscale labels layer over their image, at any zoom."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
import pandas as pd
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.plugin.growing import GrowingLevels, above
from fctl_napari.plugin.layers import OVERLAY_KEY, class_style
from fctl_napari.plugin.placement import placed_like

NOT_SURE_COLOR = (128, 128, 128)


def correction_style(table: ClassTable) -> dict[str, Any]:
    """Return ``colormap`` and ``features`` of a layer of corrections: the classes' colours, grey for not sure."""
    style = class_style((info.name, info.color) for info in table.scored)
    colors = dict(style["colormap"].color_dict)
    colors[NOT_SURE] = np.array([*(channel / 255 for channel in NOT_SURE_COLOR), 1.0], np.float32)
    names = [*style["features"]["class"], "not sure"]
    index = [*range(len(names) - 1), NOT_SURE]
    return {
        "colormap": DirectLabelColormap(color_dict=colors),
        "features": pd.DataFrame({"index": index, "class": names}),
    }


def add_corrections(viewer: napari.Viewer, image: Image, levels: GrowingLevels, table: ClassTable) -> Labels:
    """Add the layer over ``image`` and what lies on it; what is selected stays so."""
    layer = Labels(
        levels.data,
        name=f"corrections of {image.name}",
        opacity=0.6,
        multiscale=len(levels.levels) > 1,
        metadata={OVERLAY_KEY: True},
        **placed_like(image),
        **correction_style(table),
    )
    layer.editable = False  # one that is painted on is not kept; the edit window is
    chosen = set(viewer.layers.selection)
    viewer.layers.insert(above(viewer, image), layer)
    viewer.layers.selection = chosen
    return layer
