"""Figures of ALE's enhancement by block and window size: maps over a tile, and the windows themselves (Figs. 7, 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fctl_napari.exceptions import ConfigError
from fctl_napari.figures.drawing import (
    PANEL,
    WEIGHT,
    draw_array,
    draw_map,
    look_at,
    mark_pixel,
    outline,
    read_gray,
    show,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import SubFigure

    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.segmentation.jobs.explanation import Enhancement, TileExplanation
    from fctl_napari.windows import FloatWindow


WINDOW = "#ffb000"
"""Color of a single window."""

SHADE = 0.65
"""Opacity of the shade over the rest of a tile, 0..1."""


def lfi_window(explanation: TileExplanation, size: int) -> FloatWindow:
    """Compute the region of the cells that a depthwise convolution takes into the pixel's cell (Eq. 6).

    Parameters
    ----------
    explanation : TileExplanation
        Explanation of a tile; its ``cell`` is the one in the middle.
    size : int
        Size of the window, cells, odd.

    Returns
    -------
    FloatWindow
        Region (y0, x0, y1, x1), px. It may reach outside the tile, where the convolution sees zeros.
    """
    y0, x0, y1, x1 = explanation.cell_window
    height, width, reach = y1 - y0, x1 - x0, size // 2
    return y0 - reach * height, x0 - reach * width, y1 + reach * height, x1 + reach * width


def enhancement_figure(explanation: TileExplanation, image: Pyramid) -> Figure:
    """Draw the windows of ALE around the pixel, and the enhancement of each block by window size.

    Parameters
    ----------
    explanation : TileExplanation
        Explanation of a tile by a network with ALE.
    image : Pyramid
        Its image.

    Returns
    -------
    Figure
        On the left the tile with the windows. On the right a row for each block of Alg. 1 and a column for each window
        size, with the mean of abs(E) over that group's channels. A row has one scale, which starts at 0.

    Raises
    ------
    InputError
        The image is damaged or cannot be shown as RGB.
    ConfigError
        The network has no such blocks.
    """
    blocks = _blocks(explanation)
    sizes = list(blocks[0].maps)
    inches = (PANEL * (1.6 + len(sizes)), PANEL * max(len(blocks), 2) * 0.95)
    figure = Figure(figsize=inches, layout="constrained", dpi=90)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.6, len(sizes)])[0]
    _draw_windows(left, explanation, image, sizes)
    picture = read_gray(image, explanation.tile)
    axes = right.subplots(len(blocks), len(sizes), squeeze=False)
    for line, block in zip(axes, blocks, strict=True):
        high = max(float(found.max()) for found in block.maps.values())
        for one, (size, found) in zip(line, block.maps.items(), strict=True):
            show(one, picture, explanation.tile)
            heat = draw_map(one, found, explanation.footprint, WEIGHT)
            heat.set_clim(0, high or 1e-6)
            look_at(one, explanation.tile)
            mark_pixel(one, explanation)
            if block is blocks[0]:
                one.set_title(f"{size} x {size} cells", fontsize="small")
        line[0].set_ylabel(f"step {block.step}: {block.target}", fontsize="small")
        bar = right.colorbar(heat, ax=list(line), location="right", pad=0.01)
        bar.ax.tick_params(labelsize="xx-small")
        bar.set_label("mean |E|", fontsize="x-small")
    return figure


def strongest_figure(explanation: TileExplanation, image: Pyramid, sizes: Sequence[int], share: float = 0.2) -> Figure:
    """Draw the cells where windows of some sizes add most to the tile's own features, as Fig. 7.

    Parameters
    ----------
    explanation : TileExplanation
        Explanation of a tile by a network with ALE.
    image : Pyramid
        Its image.
    sizes : sequence of int
        Window sizes, cells.
    share : float, optional
        Share of the tile's cells that are kept: those with the largest mean abs(E) of the last step.

    Returns
    -------
    Figure
        A picture for each size. Outside the kept cells the tile is dimmed. The box is the window around the pixel.

    Raises
    ------
    InputError
        The image is damaged or cannot be shown as RGB.
    ConfigError
        The network has no such blocks or windows.
    """
    block = _blocks(explanation)[-1]
    missing = [size for size in sizes if size not in block.maps]
    if missing or not sizes:
        raise ConfigError(f"this network has no window of {missing or sizes} cells; it has {list(block.maps)}.")
    figure = Figure(figsize=((PANEL + 0.2) * len(sizes), PANEL + 0.4), layout="constrained", dpi=100)
    colors = image.read(explanation.tile)
    for one, size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        found = block.maps[size]
        show(one, colors, explanation.tile)
        shade = np.zeros((*found.shape, 4))
        shade[..., 3] = SHADE * (found < np.quantile(found, 1 - share))
        draw_array(one, shade, explanation.footprint, interpolation="nearest")
        look_at(one, explanation.tile)
        outline(one, lfi_window(explanation, size), WINDOW)
        mark_pixel(one, explanation)
        one.set_title(f"{size} x {size} cells: the strongest {share:.0%}", fontsize="small")
    return figure


def _blocks(explanation: TileExplanation) -> tuple[Enhancement, ...]:
    """Return ALE's blocks.

    Raises
    ------
    ConfigError
        There are none.
    """
    if not explanation.enhancements:
        raise ConfigError("this network has no blocks of local enhancement (ALE) to draw.")
    return explanation.enhancements


def _draw_windows(part: SubFigure, explanation: TileExplanation, image: Pyramid, sizes: Sequence[int]) -> None:
    """Draw the windows around the pixel's cell over the tile."""
    axes = part.subplots()
    show(axes, image.read(explanation.tile), explanation.tile)
    colors = colormaps["plasma"](np.linspace(0.4, 1, len(sizes)))
    for size, color in zip(sizes, colors, strict=True):
        outline(axes, lfi_window(explanation, size), to_hex(color))
    mark_pixel(axes, explanation)
    axes.set_title("windows of ALE around the pixel", fontsize="small")
    side = explanation.cell_window[3] - explanation.cell_window[1]
    handles = [
        Patch(facecolor=color, label=f"{size} x {size} cells, {size * side:.0f} px")
        for size, color in zip(sizes, colors, strict=True)
    ]
    axes.legend(
        handles=handles, fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, frameon=False
    )
