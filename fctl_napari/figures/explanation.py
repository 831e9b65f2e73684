"""Figure of an explanation, like the paper's Fig. 10 and 11 (matplotlib without a display)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fctl_napari.figures.comparison import colorize
from fctl_napari.figures.drawing import (
    ATTENTION,
    COLORS,
    PANEL,
    PICTURE,
    WEIGHT,
    draw_map,
    draw_scale_bar,
    look_at,
    mark_pixel,
    outline,
    read_gray,
    say,
    show,
)
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import shown_classes
from fctl_napari.model.model_card import read_card, resolve_checkpoint
from fctl_napari.segmentation.inference.network_image import shown_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

    from fctl_napari.segmentation.jobs.explanation import ContextMaps, TileExplanation

Limits = Literal["shared", "each"]
Part = Literal["combined", "content", "positional"]


@dataclass(frozen=True)
class _Column:
    """Column of the figure, with one map of every context.

    Attributes
    ----------
    title : str
        Title for people.
    kind : {"attention", "received", "weight"}
        Kind of the maps; maps of one kind share their limits.
    field : str
        Field of ``ContextMaps``.
    without : bool
        If True, the maps are those of the network without the parts that are left out.
    """

    title: str
    kind: Literal["attention", "received", "weight"]
    field: str
    without: bool = False


def explanation_figure(
    explanation: TileExplanation,
    image: Pyramid | Path | str | None = None,
    *,
    limits: Limits = "shared",
    part: Part = "combined",
) -> Figure:
    """Draw the contribution of a tile's contexts.

    Above are the image around the tile with the window of each context, the tile's mask and the pixel's class
    probabilities. Below there is a row per context: its own pixels with the attention of the query pixel over them,
    with the attention that each of its cells receives from the whole tile, and the weight map of the fusion over the
    tile's pixels. With an explanation that leaves GPE out, attention with and without it are side by side (Fig. 11).
    Masks, probabilities and weights are side by side, too, if the explanation leaves out any part of the network.

    Parameters
    ----------
    explanation : TileExplanation
        Explanation from ``explain`` or ``Engine.explain``.
    image : Pyramid, Path, str or None, optional
        The image, opened or by its path; None opens the request's.
    limits : Limits, optional
        ``shared``: the same color limits for all contexts in a column. ``each``: every map from its smallest to its
        largest value.
    part : Part, optional
        Part of the attention: ``combined``, ``content`` or ``positional`` (left empty where there is no GPE).

    Returns
    -------
    matplotlib.figure.Figure
        The figure; save it with ``save_figure``.

    Raises
    ------
    InputError
        The image is gone or damaged, or cannot be shown as RGB.
    """
    request = explanation.request
    if not isinstance(image, Pyramid):
        source = request.image if image is None else image
        opened = open_image(source, value_range=request.value_range, bands=request.bands)
        image = shown_image(opened, read_card(resolve_checkpoint(request.checkpoint)).config)
    columns = _columns(explanation, part)
    rows = len(explanation.contexts)
    upper = 3 + (explanation.without is not None)
    width = PANEL * max(upper + 0.6, len(columns) * 1.2) + 0.3
    heights = [PANEL * 1.25, *([(PANEL + 0.15) * rows + 0.3] if columns and rows else [])]
    figure = Figure(figsize=(width, sum(heights) + 0.4), layout="constrained", dpi=110)
    figure.suptitle(_headline(explanation), fontsize="medium")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_upper(parts[0].subplots(1, upper, width_ratios=[1.6, *[1] * (upper - 1)]), explanation, image)
    if len(parts) > 1:
        _draw_contexts(parts[1], explanation, image, columns, limits)
    return figure


def _headline(explanation: TileExplanation) -> str:
    y, x = explanation.pixel
    best = int(explanation.probabilities.argmax())
    words = f"pixel ({y}, {x}): {explanation.class_table.names[best]}, {100 * explanation.probabilities[best]:.0f} %"
    if explanation.without is not None:
        other = int(explanation.without.probabilities.argmax())
        share = 100 * explanation.without.probabilities[other]
        left_out = ", ".join(explanation.request.without.names)
        words += f"; without {left_out}: {explanation.class_table.names[other]}, {share:.0f} %"
    return f"{words}   |   {Path(explanation.request.checkpoint).stem}, {explanation.where}"


# -- the upper row -------------------------------------------------------------------------------------------------


def _draw_upper(axes: Sequence[Axes], explanation: TileExplanation, image: Pyramid) -> None:
    around, *masks, bars = axes
    _draw_around(around, explanation, image)
    for one, view in zip(masks, (explanation, explanation.without), strict=False):
        assert view is not None
        title = "mask"
        show(one, colorize(view.labels - np.uint8(1), explanation.class_table), explanation.tile)
        if view is explanation.without:
            changed = (explanation.labels != view.labels).mean()
            title = f"without {', '.join(explanation.request.without.names)}: {100 * changed:.1f} % changed"
        one.set_title(title, fontsize="small")
        outline(one, explanation.core, "0.2", ":")
        mark_pixel(one, explanation)
    _draw_probabilities(bars, explanation)


def _draw_around(axes: Axes, explanation: TileExplanation, image: Pyramid) -> None:
    """Draw the image with the windows of the tile and its contexts."""
    windows = {
        "tile": explanation.tile,
        **{c.name: c.window for c in explanation.contexts if c.window != explanation.tile},
    }
    y0, x0 = (min(w[i] for w in windows.values()) for i in (0, 1))
    y1, x1 = (max(w[i] for w in windows.values()) for i in (2, 3))
    margin = 0.04 * max(y1 - y0, x1 - x0)
    view = (y0 - margin, x0 - margin, y1 + margin, x1 + margin)
    show(axes, image.read_resized(view, 2 * PICTURE), view)
    for name, window in windows.items():
        outline(axes, window, COLORS[name])
    mark_pixel(axes, explanation)
    draw_scale_bar(axes, view, image)
    axes.set_title("tile and contexts", fontsize="small")
    handles = [Patch(facecolor="none", edgecolor=COLORS[name], label=name) for name in windows]
    axes.legend(
        handles=handles,
        fontsize="x-small",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=len(handles),
        facecolor="0.2",
        labelcolor="white",
    )


def _draw_probabilities(axes: Axes, explanation: TileExplanation) -> None:
    entries = shown_classes(explanation.class_table).scored
    colors = [tuple(value / 255 for value in entry.color) for entry in entries]
    positions = np.arange(len(entries), dtype=float)
    if explanation.without is None:
        axes.barh(positions, explanation.probabilities, 0.7, color=colors, edgecolor="0.3")
    else:
        style: dict[str, Any] = {"height": 0.38, "color": colors, "edgecolor": "0.3"}
        axes.barh(positions - 0.2, explanation.probabilities, **style, label="whole")
        axes.barh(positions + 0.2, explanation.without.probabilities, **style, label="without", hatch="////", alpha=0.5)
        axes.legend(fontsize="x-small", loc="lower right")
    axes.set_yticks(positions, [entry.name for entry in entries], fontsize="x-small")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.tick_params(axis="x", labelsize="x-small")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("probabilities at the pixel", fontsize="small")


# -- a row for each context ----------------------------------------------------------------------------------------


def _columns(explanation: TileExplanation, part: Part) -> list[_Column]:
    """List the columns that are drawn of each context."""
    received = "received" if part == "combined" else f"received_{part}"
    words = "" if part == "combined" else f", {part}"
    gpe = explanation.without is not None and explanation.request.without.gpe
    columns = [_Column(f"attention of the pixel{words}", "attention", part)]
    if gpe:
        columns.append(_Column("attention of the pixel, no GPE", "attention", "combined", without=True))
    columns.append(_Column(f"attention received{words}", "received", received))
    if gpe:
        columns.append(_Column("attention received, no GPE", "received", "received", without=True))
    columns.append(_Column("fusion weight", "weight", "weight"))
    if explanation.without is not None:
        columns.append(_Column("fusion weight, without", "weight", "weight", without=True))
    return columns


def _draw_contexts(
    part: SubFigure, explanation: TileExplanation, image: Pyramid, columns: list[_Column], limits: Limits
) -> None:
    axes = part.subplots(len(explanation.contexts), len(columns), squeeze=False)
    pictures = {
        window: read_gray(image, window) for window in {explanation.tile, *(c.window for c in explanation.contexts)}
    }
    heats: dict[int, list[AxesImage]] = {number: [] for number in range(len(columns))}
    for row, context in enumerate(explanation.contexts):
        for number, column in enumerate(columns):
            one = axes[row, number]
            over_tile = column.kind == "weight"
            view, footprint = (
                (explanation.tile, explanation.footprint) if over_tile else (context.window, context.footprint)
            )
            show(one, pictures[view], view)
            maps = _same(explanation.without, context.name) if column.without else context
            found = None if maps is None else getattr(maps, column.field)
            if found is None:
                say(one, "left out" if maps is None else "no GPE")
            else:
                heats[number].append(draw_map(one, found, footprint, WEIGHT if over_tile else ATTENTION))
                look_at(one, view)
            if view != explanation.tile:
                outline(one, explanation.tile, COLORS["tile"])
            mark_pixel(one, explanation)
        axes[row, 0].set_ylabel(_label(context), fontsize="small")
        draw_scale_bar(axes[row, 0], context.window, image)
    for one, column in zip(axes[0], columns, strict=True):
        one.set_title(column.title, fontsize="small")
    _set_limits(heats, columns, limits)
    _draw_bars(part, axes, heats, limits)


def _set_limits(heats: dict[int, list[AxesImage]], columns: list[_Column], limits: Limits) -> None:
    """Fix the color limits, for all maps of a kind or for each map.

    Those of attention start at 0, those of weights at the smallest value.
    """
    for kind in ("attention", "received", "weight"):
        group = [heat for number, found in heats.items() if columns[number].kind == kind for heat in found]
        together = [group] if limits == "shared" else [[heat] for heat in group]
        for some in together:
            values = [np.asarray(heat.get_array()) for heat in some]
            low = min(float(v.min()) for v in values) if kind == "weight" else 0.0
            high = max(float(v.max()) for v in values)
            for heat in some:
                heat.set_clim(low, high if high > low else low + 1e-6)


def _draw_bars(part: SubFigure, axes: NDArray[Any], heats: dict[int, list[AxesImage]], limits: Limits) -> None:
    """Draw the color bars: one below a column, or one beside each map."""
    for number, found in heats.items():
        if limits == "shared" and found:
            below = part.colorbar(found[0], ax=list(axes[:, number]), location="bottom", pad=0.01, aspect=30)
            bars = [below]
        else:
            bars = [part.colorbar(heat, ax=heat.axes, location="right", shrink=0.8, pad=0.01) for heat in found]
        for bar in bars:
            bar.ax.tick_params(labelsize="xx-small")
            bar.ax.set_facecolor("0.35")
    for one in axes.flat:
        one.set_anchor("C")


def _same(explanation: TileExplanation | None, name: str) -> ContextMaps | None:
    """Find a context by its name."""
    return next((c for c in explanation.contexts if c.name == name), None) if explanation is not None else None


def _label(context: ContextMaps) -> str:
    y0, x0, y1, x1 = context.window
    gate = "no GPE" if context.positional is None else f"$\\sigma(z)$ = {context.gate:.2f}"
    return f"{context.name}, {x1 - x0:.0f} x {y1 - y0:.0f} px\n{gate}, $\\gamma$ = {context.gamma:.2f}"
