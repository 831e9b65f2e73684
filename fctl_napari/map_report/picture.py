"""Picture of a map over its image, with legend and scale bar (matplotlib without a display)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.figures.drawing import draw_bar
from fctl_napari.imagery.geodesy.ground_size import ground_size
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassInfo, shown_classes
from fctl_napari.segmentation.store.store import Segmentation

SIDE = 1600
"""Longest side of the picture of the map, px."""
BAND = 512
"""Rows of the picture that are read at once."""
LEGEND = 96
"""Width of the legend, characters."""
LONGEST = 40
"""Longest name in the legend, characters."""
OPACITY = 0.6
"""Opacity of the map over the image."""


def coarse_labels(source: Segmentation | FinalMap, side: int) -> NDArray[np.uint8]:
    """Read a map at a coarse level.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map.
    side : int
        Longest side of what is returned, px.

    Returns
    -------
    ndarray of uint8 [y, x]
        Values of the map.
    """
    stored = source.labels if isinstance(source, Segmentation) else source.segmentation.labels
    shapes = [(int(level.shape[0]), int(level.shape[1])) for level in stored.levels]
    if isinstance(source, FinalMap):
        shapes = source.labels.level_shapes
    level = next((k for k, shape in enumerate(shapes) if max(shape) <= side), len(shapes) - 1)
    height, width = shapes[level]
    step = max(1, -(-max(height, width) // side))
    strip = BAND * step
    return np.concatenate(
        [
            source.labels.read((y, 0, min(y + strip, height), width), level)[::step, ::step]
            for y in range(0, height, strip)
        ]
    )


def map_figure(source: Segmentation | FinalMap, image: Pyramid | None) -> Figure:
    """Draw a map over its image.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map.
    image : Pyramid or None
        Its image. None draws the map alone, without a scale.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    labels = coarse_labels(source, SIDE)
    height, width = source.shape
    table = shown_classes(source.class_table)
    palette = np.zeros((256, 4))
    palette[1 : len(table) + 1, :3] = np.array(table.colors) / 255
    palette[1 : len(table) + 1, 3] = 1 if image is None else OPACITY
    figure = Figure(figsize=(8, min(max(8 * height / width, 2), 9) + 0.6), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    axes.set_facecolor("0.2")
    extent = (0, width, height, 0)
    if image is not None:
        picture = image.read_resized((0, 0, height, width), min(SIDE, max(height, width)))
        axes.imshow(picture, extent=extent, interpolation="antialiased")
    axes.imshow(palette[labels], extent=extent, interpolation="nearest")
    axes.set(aspect="equal", xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    if image is not None:
        size = ground_size(image)
        draw_bar(axes, (0, 0, height, width), size or 1.0, None if size is None else "meter")
    there = np.unique(labels)
    _draw_legend(figure, [info for value, info in enumerate(table.scored, 1) if value in there])
    return figure


def _draw_legend(figure: Figure, classes: list[ClassInfo]) -> None:
    if not classes:
        return
    names = [info.name if len(info.name) <= LONGEST else f"{info.name[: LONGEST - 1]}…" for info in classes]
    columns = max(1, min(len(names), LEGEND // (max(map(len, names)) + 7)))
    # A label that begins with _ would be left out, and one with $ taken for mathematics.
    handles = [
        Patch(facecolor="#{:02x}{:02x}{:02x}".format(*info.color), edgecolor="0.3", label=" ") for info in classes
    ]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
