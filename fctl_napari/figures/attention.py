"""Figures of the parts of the attention and of fusion weights, with and without GPE side by side (Figs. 9 to 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fctl_napari.exceptions import ConfigError
from fctl_napari.figures.drawing import (
    ATTENTION,
    COLORS,
    PANEL,
    WEIGHT,
    draw_map,
    look_at,
    mark_pixel,
    outline,
    read_gray,
    say,
    show,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.segmentation.jobs.explanation import TileExplanation

PARTS = ("content", "positional", "combined")

WINNER = {"local": "#e69f00", "medium": "#009e73", "large": "#56b4e9"}
"""Colors of the contexts, from the palette of Okabe and Ito."""


def attention_figure(explanation: TileExplanation, image: Pyramid, other: TileExplanation | None = None) -> Figure:
    """Draw the parts of a pixel's attention, with a row for each context.

    Parameters
    ----------
    explanation : TileExplanation
        Explanation of a tile by a network with contexts.
    image : Pyramid
        Its image.
    other : TileExplanation or None, optional
        Explanation of the same pixel by another network, such as one that was trained without GPE. Its attention comes
        last.

    Returns
    -------
    Figure
        Content, position and both, each on a scale of its own that starts at 0: the attention falls far more quickly
        from a cell to the next in some than in others. A cross marks the pixel, a box the tile.

    Raises
    ------
    InputError
        The image is damaged or cannot be shown as RGB.
    ConfigError
        The network has no contexts.
    """
    rows = _contexts(explanation)
    width = len(PARTS) + (other is not None)
    heights = [(c.window[2] - c.window[0]) / (c.window[3] - c.window[1]) for c in explanation.contexts]
    inches = (PANEL * width, PANEL * sum(heights) + 0.25 * rows + 0.3)
    figure = Figure(figsize=inches, layout="constrained", dpi=100)
    axes = figure.subplots(rows, width, squeeze=False, height_ratios=heights)
    titles = ["content", "position", "both", "trained without GPE"]
    for first, title in zip(axes[0], titles, strict=False):
        first.set_title(title, fontsize="small")
    for row, context in enumerate(explanation.contexts):
        maps = [(context, getattr(context, part)) for part in PARTS]
        if other is not None:
            same = next((c for c in other.contexts if c.name == context.name), None)
            maps.append((same or context, None if same is None else same.combined))
        picture = read_gray(image, context.window)
        for one, (whose, found) in zip(axes[row], maps, strict=True):
            show(one, picture, context.window)
            if found is None:
                say(one, "none")
            else:
                heat = draw_map(one, found, whose.footprint, ATTENTION)
                heat.set_clim(0, float(found.max()))
                look_at(one, context.window)
                one.set_xlabel(f"largest {found.max():.3f}, a mean cell {found.mean():.3f}", fontsize="x-small")
            if context.window != explanation.tile:
                outline(one, explanation.tile, COLORS["tile"])
            mark_pixel(one, explanation)
        gate = "no GPE" if context.positional is None else f"content {context.gate:.0%}"
        axes[row, 0].set_ylabel(f"{context.name}\n{gate}", fontsize="small")
    return figure


def weights_figure(explanation: TileExplanation, image: Pyramid) -> Figure:
    """Draw the weights of the contexts in the fusion over a tile (Eq. 3).

    Parameters
    ----------
    explanation : TileExplanation
        Explanation of a tile by a network with contexts. Its request names the channel, or none for the mean over
        channels.
    image : Pyramid
        Its image.

    Returns
    -------
    Figure
        The tile, the weight of each context on one scale for all, and the context that weighs most in each cell.

    Raises
    ------
    InputError
        The image is damaged or cannot be shown as RGB.
    ConfigError
        The network has no contexts.
    """
    number = _contexts(explanation)
    figure = Figure(figsize=(PANEL * (number + 2), PANEL + 1.0), layout="constrained", dpi=100)
    axes = figure.subplots(1, number + 2)
    picture = read_gray(image, explanation.tile)
    show(axes[0], image.read(explanation.tile), explanation.tile)
    axes[0].set_title("tile", fontsize="small")
    weights = np.stack([context.weight for context in explanation.contexts])
    low, high = float(weights.min()), float(weights.max())
    for one, context in zip(axes[1:], explanation.contexts, strict=False):
        show(one, picture, explanation.tile)
        heat = draw_map(one, context.weight, explanation.footprint, WEIGHT)
        heat.set_clim(low, max(high, low + 1e-6))
        look_at(one, explanation.tile)
        one.set_title(f"{context.name}, mean {context.weight.mean():.2f}", fontsize="small")
    bar = figure.colorbar(heat, ax=list(axes[1:-1]), location="bottom", shrink=0.6, aspect=40)
    bar.ax.tick_params(labelsize="x-small")
    bar.set_label("fusion weight", fontsize="x-small")
    show(axes[-1], _winner(weights, [c.name for c in explanation.contexts]), explanation.footprint)
    look_at(axes[-1], explanation.tile)
    axes[-1].set_title("which weighs most", fontsize="small")
    handles = [Patch(facecolor=WINNER[c.name], label=c.name) for c in explanation.contexts]
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "ncols": number, "frameon": False}
    axes[-1].legend(handles=handles, fontsize="x-small", **below)
    return figure


def _winner(weights: NDArray[np.float32], names: list[str]) -> NDArray[np.uint8]:
    """Color each cell by the context that weighs most there: [n, n, 3]."""
    return (255 * np.array([to_rgb(WINNER[name]) for name in names])).round().astype(np.uint8)[weights.argmax(0)]


def _contexts(explanation: TileExplanation) -> int:
    """Count the contexts.

    Raises
    ------
    ConfigError
        There are none.
    """
    if not explanation.contexts:
        raise ConfigError("this network has no contexts, so there is no attention and no fusion to draw.")
    return len(explanation.contexts)
