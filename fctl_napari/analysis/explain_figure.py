"""An explanation as a figure like the paper's Fig. 10 and 11 (matplotlib without a display)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from fctl_napari.analysis.figures import colorize
from fctl_napari.errors import OutputError
from fctl_napari.files import atomic_write
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.pyramid import Pyramid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

    from fctl_napari.model.windows import Window
    from fctl_napari.segmentation.explanation import ContextMaps, TileExplanation

FORMATS = ("png", "svg")
"""Kinds of files that a figure is saved as, by their ending."""

COLOURS = {"tile": "#ffffff", "local": "#ffffff", "medium": "#ffb000", "large": "#5ec8ff"}
"""Outlines of the windows; told apart by the colour-blind too."""


def _over_picture(name: str, start: float, opacity: NDArray[np.float64]) -> ListedColormap:
    """Make a perceptual colour map of the upper part of another one, that lets the picture below show through."""
    colours = colormaps[name](np.linspace(start, 1, len(opacity)))
    colours[:, 3] = opacity
    return ListedColormap(colours, name=f"{name} over a picture")


ATTENTION = _over_picture("inferno", 0.3, 0.9 * np.linspace(0, 1, 256) ** 0.5)
WEIGHT = _over_picture("viridis", 0.0, np.full(256, 0.7))

PANEL = 2.7
"""Side of a panel, inches."""

PICTURE = 512
"""Pictures are read with this many px a side."""

UNITS = {"meter": "m", "kilometer": "km", "millimeter": "mm", "micrometer": "µm", "nanometer": "nm", "degree": "°"}

Limits = Literal["shared", "each"]
Part = Literal["combined", "content", "positional"]


@dataclass(frozen=True)
class _Column:
    """One map of every context.

    Attributes
    ----------
    title
        For people.
    kind
        Maps of one kind share their limits.
    field
        Of ``ContextMaps``.
    without
        Of the network without what is left out.
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
    """Draw what a tile drew from its contexts.

    Above: the image around the tile with the window of each context; the tile's mask; the pixel's class probabilities.
    Below, a row per context: its own pixels with the attention of the query pixel over them, with the attention that
    each of its cells receives from the whole tile, and the weight map of the fusion over the tile's pixels. With an
    explanation that leaves GPE out, attention with and without it stand side by side (Fig. 11); with one that leaves
    anything out, so do masks, probabilities and weights.

    Parameters
    ----------
    explanation
        From ``explain`` or ``Engine.explain``.
    image
        The image, opened or by its place; None: the request's.
    limits
        ``shared``: the same colour limits for all contexts in a column; ``each``: every map from its smallest to its
        largest value.
    part
        Of the attention: ``combined``, ``content`` or ``positional`` (left empty where there is no GPE).

    Returns
    -------
    matplotlib.figure.Figure
        Save it with :func:`save_figure`.

    Raises
    ------
    InputError
        The image is gone or damaged.
    """
    request = explanation.request
    if not isinstance(image, Pyramid):
        place = request.image if image is None else image
        image = open_image(place, value_range=request.value_range, bands=request.bands)
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


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG or SVG, whole or not at all.

    Raises
    ------
    OutputError
        The name ends in neither ``.png`` nor ``.svg``, the disk is full, or the place is not writable.
    """
    path = Path(path)
    check_figure_place(path)
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix.lower()[1:])


def check_figure_place(path: Path | str) -> None:
    """Refuse a name that :func:`save_figure` cannot write to.

    Raises
    ------
    OutputError
        It ends in neither ``.png`` nor ``.svg``.
    """
    if Path(path).suffix.lower()[1:] not in FORMATS:
        raise OutputError(f"{path}: figures are saved as PNG or SVG; end the name in .png or .svg.")


def _headline(told: TileExplanation) -> str:
    y, x = told.pixel
    best = int(told.probabilities.argmax())
    words = f"pixel ({y}, {x}): {told.class_table.names[best]}, {100 * told.probabilities[best]:.0f} %"
    if told.without is not None:
        other = int(told.without.probabilities.argmax())
        share = 100 * told.without.probabilities[other]
        left_out = ", ".join(told.request.without.names)
        words += f"; without {left_out}: {told.class_table.names[other]}, {share:.0f} %"
    return f"{words}   |   {Path(told.request.checkpoint).stem}, {told.where}"


# -- the upper row -------------------------------------------------------------------------------------------------


def _draw_upper(axes: Sequence[Axes], told: TileExplanation, image: Pyramid) -> None:
    around, *masks, bars = axes
    _draw_around(around, told, image)
    for one, view in zip(masks, (told, told.without), strict=False):
        assert view is not None
        title = "mask"
        _show(one, colorize(view.labels - np.uint8(1), told.class_table), told.tile)
        if view is told.without:
            changed = (told.labels != view.labels).mean()
            title = f"without {', '.join(told.request.without.names)}: {100 * changed:.1f} % changed"
        one.set_title(title, fontsize="small")
        _outline(one, told.core, "0.2", ":")
        _mark(one, told)
    _draw_probabilities(bars, told)


def _draw_around(axes: Axes, told: TileExplanation, image: Pyramid) -> None:
    """Draw the image with the windows of the tile and its contexts."""
    windows = {"tile": told.tile, **{c.name: c.window for c in told.contexts if c.window != told.tile}}
    y0, x0 = (min(w[i] for w in windows.values()) for i in (0, 1))
    y1, x1 = (max(w[i] for w in windows.values()) for i in (2, 3))
    margin = 0.04 * max(y1 - y0, x1 - x0)
    view = (y0 - margin, x0 - margin, y1 + margin, x1 + margin)
    _show(axes, image.read_resized(view, 2 * PICTURE), view)
    for name, window in windows.items():
        _outline(axes, window, COLOURS[name])
    _mark(axes, told)
    _scale_bar(axes, view, image)
    axes.set_title("tile and contexts", fontsize="small")
    handles = [Patch(facecolor="none", edgecolor=COLOURS[name], label=name) for name in windows]
    axes.legend(
        handles=handles,
        fontsize="x-small",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=len(handles),
        facecolor="0.2",
        labelcolor="white",
    )


def _draw_probabilities(axes: Axes, told: TileExplanation) -> None:
    entries = told.class_table.scored
    colours = [tuple(value / 255 for value in entry.color) for entry in entries]
    places = np.arange(len(entries), dtype=float)
    if told.without is None:
        axes.barh(places, told.probabilities, 0.7, color=colours, edgecolor="0.3")
    else:
        style: dict[str, Any] = {"height": 0.38, "color": colours, "edgecolor": "0.3"}
        axes.barh(places - 0.2, told.probabilities, **style, label="whole")
        axes.barh(places + 0.2, told.without.probabilities, **style, label="without", hatch="////", alpha=0.5)
        axes.legend(fontsize="x-small", loc="lower right")
    axes.set_yticks(places, [entry.name for entry in entries], fontsize="x-small")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.tick_params(axis="x", labelsize="x-small")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("probabilities at the pixel", fontsize="small")


# -- a row for each context ----------------------------------------------------------------------------------------


def _columns(told: TileExplanation, part: Part) -> list[_Column]:
    """Say what is drawn of each context."""
    received = "received" if part == "combined" else f"received_{part}"
    words = "" if part == "combined" else f", {part}"
    gpe = told.without is not None and told.request.without.gpe
    columns = [_Column(f"attention of the pixel{words}", "attention", part)]
    if gpe:
        columns.append(_Column("attention of the pixel, no GPE", "attention", "combined", without=True))
    columns.append(_Column(f"attention received{words}", "received", received))
    if gpe:
        columns.append(_Column("attention received, no GPE", "received", "received", without=True))
    columns.append(_Column("fusion weight", "weight", "weight"))
    if told.without is not None:
        columns.append(_Column("fusion weight, without", "weight", "weight", without=True))
    return columns


def _draw_contexts(
    part: SubFigure, told: TileExplanation, image: Pyramid, columns: list[_Column], limits: Limits
) -> None:
    axes = part.subplots(len(told.contexts), len(columns), squeeze=False)
    pictures = {window: _grey(image, window) for window in {told.tile, *(c.window for c in told.contexts)}}
    heats: dict[int, list[AxesImage]] = {number: [] for number in range(len(columns))}
    for row, context in enumerate(told.contexts):
        for number, column in enumerate(columns):
            one = axes[row, number]
            over_tile = column.kind == "weight"
            view, footprint = (told.tile, told.footprint) if over_tile else (context.window, context.footprint)
            _show(one, pictures[view], view)
            maps = _same(told.without, context.name) if column.without else context
            found = None if maps is None else getattr(maps, column.field)
            if found is None:
                _say(one, "left out" if maps is None else "no GPE")
            else:
                heats[number].append(_draw_map(one, found, footprint, WEIGHT if over_tile else ATTENTION))
                _look_at(one, view)
            if view != told.tile:
                _outline(one, told.tile, COLOURS["tile"])
            _mark(one, told)
        axes[row, 0].set_ylabel(_label(context), fontsize="small")
        _scale_bar(axes[row, 0], context.window, image)
    for one, column in zip(axes[0], columns, strict=True):
        one.set_title(column.title, fontsize="small")
    _set_limits(heats, columns, limits)
    _draw_bars(part, axes, heats, limits)


def _set_limits(heats: dict[int, list[AxesImage]], columns: list[_Column], limits: Limits) -> None:
    """Fix the colour limits: of attention from 0, of weights from the least; for all maps of a kind, or for each."""
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
    """Draw the colour bars: one below a column, or one beside each map."""
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


def _same(told: TileExplanation | None, name: str) -> ContextMaps | None:
    """Find a context by its name."""
    return next((c for c in told.contexts if c.name == name), None) if told is not None else None


def _label(context: ContextMaps) -> str:
    y0, x0, y1, x1 = context.window
    gate = "no GPE" if context.positional is None else f"$\\sigma(z)$ = {context.gate:.2f}"
    return f"{context.name}, {x1 - x0:.0f} x {y1 - y0:.0f} px\n{gate}, $\\gamma$ = {context.gamma:.2f}"


# -- small things --------------------------------------------------------------------------------------------------


def _grey(image: Pyramid, window: Window) -> NDArray[np.uint8]:
    """Read a window as a picture in grey that colours show up on."""
    picture = image.read_resized(window, PICTURE).mean(axis=-1)
    return np.repeat(picture[..., None], 3, axis=-1).astype(np.uint8)


def _show(axes: Axes, picture: NDArray[np.uint8], window: Window) -> None:
    """Show a picture where its window lies in the image, in px, and nothing else."""
    _draw(axes, picture, window, interpolation="antialiased")
    _look_at(axes, window)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_map(axes: Axes, found: NDArray[np.float32], footprint: Window, colours: Colormap) -> AxesImage:
    """Draw a map over what its cells cover, each cell as it is."""
    return _draw(axes, found, footprint, interpolation="nearest", cmap=colours)


def _draw(axes: Axes, values: NDArray[Any], window: Window, **how: Any) -> AxesImage:
    y0, x0, y1, x1 = window
    return axes.imshow(values, extent=(x0, x1, y1, y0), **how)


def _look_at(axes: Axes, window: Window) -> None:
    y0, x0, y1, x1 = window
    axes.set_xlim(x0, x1)
    axes.set_ylim(y1, y0)


def _stroke(width: float) -> list[patheffects.AbstractPathEffect]:
    """Draw a black rim, so that white lines and words show up on anything."""
    return [patheffects.withStroke(linewidth=width, foreground="black")]


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, color="white", ha="center", transform=axes.transAxes, path_effects=_stroke(3))


def _outline(axes: Axes, window: Window, colour: str, style: str = "-") -> None:
    y0, x0, y1, x1 = window
    box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linestyle=style, linewidth=1.2)
    if style == "-":
        box.set_path_effects(_stroke(2.4))
    axes.add_patch(box)


def _mark(axes: Axes, told: TileExplanation) -> None:
    """Mark the middle of the query pixel."""
    y, x = told.pixel
    axes.plot(x + 0.5, y + 0.5, "+", color="white", markersize=7, path_effects=_stroke(2.6))


def _scale_bar(axes: Axes, view: Window, image: Pyramid) -> None:
    """Draw a bar of a round length, in the image's unit where that is known, else in px."""
    y0, x0, y1, x1 = view
    size = image.pixel_size[1] if image.unit is not None else 1.0
    length, words = round_length((x1 - x0) / 4 * size, image.unit)
    left, y = x0 + 0.05 * (x1 - x0), y1 - 0.06 * (y1 - y0)
    ends = [left, left + length / size]
    axes.plot(ends, [y, y], color="white", linewidth=2.5, path_effects=_stroke(4.5), solid_capstyle="butt")
    axes.annotate(
        words, (left, y), (0, 4), textcoords="offset points", color="white", fontsize="x-small", path_effects=_stroke(2)
    )


def round_length(length: float, unit: str | None) -> tuple[float, str]:
    """Choose a length of 1, 2 or 5 times a power of ten, at most as long as asked, and its words.

    Parameters
    ----------
    length
        About how long, in ``unit``.
    unit
        A name that pint knows, or None: px.
    """
    power = 10.0 ** math.floor(math.log10(length))
    chosen = max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))
    if unit == "meter" and chosen >= 1000:
        return chosen, f"{chosen / 1000:g} km"
    return chosen, f"{chosen:g} {'px' if unit is None else UNITS.get(unit, unit)}"
