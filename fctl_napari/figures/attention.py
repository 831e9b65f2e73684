"""Parts of the attention, and fusion weights, as figures: with and without GPE side by side (Figs. 9 to 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fctl_napari.errors import ConfigError
from fctl_napari.figures.drawing import (
    ATTENTION,
    COLOURS,
    PANEL,
    WEIGHT,
    draw_map,
    look_at,
    mark_place,
    outline,
    read_grey,
    say,
    show,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.segmentation.jobs.explanation import TileExplanation

PARTS = ("content", "positional", "combined")

WINNER = {"local": "#e69f00", "medium": "#009e73", "large": "#56b4e9"}
"""From the palette of Okabe and Ito."""


def attention_figure(told: TileExplanation, image: Pyramid, other: TileExplanation | None = None) -> Figure:
    """Draw what the attention of a pixel is made of, a row for each context.

    Parameters
    ----------
    told
        Of a network with contexts.
    image
        Its image.
    other
        The same pixel of another network, such as one that was trained without GPE; its attention comes last.

    Returns
    -------
    Figure
        Content, position and both, each on a scale of its own that starts at 0: the attention falls far more quickly
        from a cell to the next in some than in others. A cross marks the pixel, a box the tile.

    Raises
    ------
    ConfigError
        The network has no contexts.
    """
    rows = _contexts(told)
    width = len(PARTS) + (other is not None)
    heights = [(c.window[2] - c.window[0]) / (c.window[3] - c.window[1]) for c in told.contexts]
    inches = (PANEL * width, PANEL * sum(heights) + 0.25 * rows + 0.3)
    figure = Figure(figsize=inches, layout="constrained", dpi=100)
    axes = figure.subplots(rows, width, squeeze=False, height_ratios=heights)
    titles = ["content", "position", "both", "trained without GPE"]
    for first, title in zip(axes[0], titles, strict=False):
        first.set_title(title, fontsize="small")
    for row, context in enumerate(told.contexts):
        maps = [(context, getattr(context, part)) for part in PARTS]
        if other is not None:
            same = next((c for c in other.contexts if c.name == context.name), None)
            maps.append((same or context, None if same is None else same.combined))
        picture = read_grey(image, context.window)
        for one, (whose, found) in zip(axes[row], maps, strict=True):
            show(one, picture, context.window)
            if found is None:
                say(one, "none")
            else:
                heat = draw_map(one, found, whose.footprint, ATTENTION)
                heat.set_clim(0, float(found.max()))
                look_at(one, context.window)
                one.set_xlabel(f"largest {found.max():.3f}, a mean cell {found.mean():.3f}", fontsize="x-small")
            if context.window != told.tile:
                outline(one, told.tile, COLOURS["tile"])
            mark_place(one, told)
        gate = "no GPE" if context.positional is None else f"content {context.gate:.0%}"
        axes[row, 0].set_ylabel(f"{context.name}\n{gate}", fontsize="small")
    return figure


def weights_figure(told: TileExplanation, image: Pyramid) -> Figure:
    """Draw how the fusion weighs the contexts over a tile (Eq. 3).

    Parameters
    ----------
    told
        Of a network with contexts; the request names the channel, or none for the mean over channels.
    image
        Its image.

    Returns
    -------
    Figure
        The tile, the weight of each context on one scale for all, and where which one weighs most.

    Raises
    ------
    ConfigError
        The network has no contexts.
    """
    number = _contexts(told)
    figure = Figure(figsize=(PANEL * (number + 2), PANEL + 1.0), layout="constrained", dpi=100)
    axes = figure.subplots(1, number + 2)
    picture = read_grey(image, told.tile)
    show(axes[0], image.read(told.tile), told.tile)
    axes[0].set_title("tile", fontsize="small")
    weights = np.stack([context.weight for context in told.contexts])
    low, high = float(weights.min()), float(weights.max())
    for one, context in zip(axes[1:], told.contexts, strict=False):
        show(one, picture, told.tile)
        heat = draw_map(one, context.weight, told.footprint, WEIGHT)
        heat.set_clim(low, max(high, low + 1e-6))
        look_at(one, told.tile)
        one.set_title(f"{context.name}, mean {context.weight.mean():.2f}", fontsize="small")
    bar = figure.colorbar(heat, ax=list(axes[1:-1]), location="bottom", shrink=0.6, aspect=40)
    bar.ax.tick_params(labelsize="x-small")
    bar.set_label("fusion weight", fontsize="x-small")
    show(axes[-1], _winner(weights, [c.name for c in told.contexts]), told.footprint)
    look_at(axes[-1], told.tile)
    axes[-1].set_title("which weighs most", fontsize="small")
    handles = [Patch(facecolor=WINNER[c.name], label=c.name) for c in told.contexts]
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.02), "ncols": number, "frameon": False}
    axes[-1].legend(handles=handles, fontsize="x-small", **below)
    return figure


def _winner(weights: NDArray[np.float32], names: list[str]) -> NDArray[np.uint8]:
    """Colour each cell by the context that weighs most there: [n, n, 3]."""
    return (255 * np.array([to_rgb(WINNER[name]) for name in names])).round().astype(np.uint8)[weights.argmax(0)]


def _contexts(told: TileExplanation) -> int:
    """Count the contexts.

    Raises
    ------
    ConfigError
        There are none.
    """
    if not told.contexts:
        raise ConfigError("this network has no contexts, so there is no attention and no fusion to draw.")
    return len(told.contexts)
