"""Maps over pictures: what figures of explanations are drawn with. Everything lies where it is in the image, in px."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage

    from fctl_napari.imagery.pyramid import Pyramid
    from fctl_napari.segmentation.jobs.explanation import TileExplanation
    from fctl_napari.windows import FloatWindow

COLORS = {"tile": "#ffffff", "local": "#ffffff", "medium": "#ffb000", "large": "#5ec8ff"}
"""Outlines of the windows; told apart by the colour-blind too."""


def _over_picture(name: str, start: float, opacity: NDArray[np.float64]) -> ListedColormap:
    """Make a perceptual colour map of the upper part of another one, that lets the picture below show through."""
    colors = colormaps[name](np.linspace(start, 1, len(opacity)))
    colors[:, 3] = opacity
    return ListedColormap(colors, name=f"{name} over a picture")


ATTENTION = _over_picture("inferno", 0.3, 0.9 * np.linspace(0, 1, 256) ** 0.5)
WEIGHT = _over_picture("viridis", 0.0, np.full(256, 0.7))

PANEL = 2.7
"""Side of a panel, inches."""

PICTURE = 512
"""Pictures are read with this many px a side."""

UNITS = {"meter": "m", "kilometer": "km", "millimeter": "mm", "micrometer": "µm", "nanometer": "nm", "degree": "°"}


def read_grey(image: Pyramid, window: FloatWindow) -> NDArray[np.uint8]:
    """Read a window as a picture in grey that colours show up on."""
    picture = image.read_resized(window, PICTURE).mean(axis=-1)
    return np.repeat(picture[..., None], 3, axis=-1).astype(np.uint8)


def show(axes: Axes, picture: NDArray[np.uint8], window: FloatWindow) -> None:
    """Show a picture where its window lies in the image, in px, and nothing else."""
    draw_array(axes, picture, window, interpolation="antialiased")
    look_at(axes, window)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_map(axes: Axes, found: NDArray[np.float32], footprint: FloatWindow, colors: Colormap) -> AxesImage:
    """Draw a map over what its cells cover, each cell as it is."""
    return draw_array(axes, found, footprint, interpolation="nearest", cmap=colors)


def draw_array(axes: Axes, values: NDArray[Any], window: FloatWindow, **how: Any) -> AxesImage:
    """Draw an array over a window; ``how`` goes to ``imshow``."""
    y0, x0, y1, x1 = window
    return axes.imshow(values, extent=(x0, x1, y1, y0), **how)


def look_at(axes: Axes, window: FloatWindow) -> None:
    """Show a window and nothing else."""
    y0, x0, y1, x1 = window
    axes.set_xlim(x0, x1)
    axes.set_ylim(y1, y0)


def stroke(width: float) -> list[patheffects.AbstractPathEffect]:
    """Draw a black rim, so that white lines and words show up on anything."""
    return [patheffects.withStroke(linewidth=width, foreground="black")]


def say(axes: Axes, words: str) -> None:
    """Write words into the middle."""
    axes.text(0.5, 0.5, words, color="white", ha="center", transform=axes.transAxes, path_effects=stroke(3))


def outline(axes: Axes, window: FloatWindow, color: str, style: str = "-") -> None:
    """Draw a window's edge."""
    y0, x0, y1, x1 = window
    box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linestyle=style, linewidth=1.2)
    if style == "-":
        box.set_path_effects(stroke(2.4))
    axes.add_patch(box)


def mark_pixel(axes: Axes, explanation: TileExplanation) -> None:
    """Mark the middle of the query pixel."""
    y, x = explanation.pixel
    axes.plot(x + 0.5, y + 0.5, "+", color="white", markersize=7, path_effects=stroke(2.6))


def draw_scale_bar(axes: Axes, view: FloatWindow, image: Pyramid) -> None:
    """Draw a bar of a round length, in the image's unit where that is known, else in px."""
    y0, x0, y1, x1 = view
    size = image.pixel_size[1] if image.unit is not None else 1.0
    length, words = round_length((x1 - x0) / 4 * size, image.unit)
    left, y = x0 + 0.05 * (x1 - x0), y1 - 0.06 * (y1 - y0)
    ends = [left, left + length / size]
    axes.plot(ends, [y, y], color="white", linewidth=2.5, path_effects=stroke(4.5), solid_capstyle="butt")
    axes.annotate(
        words, (left, y), (0, 4), textcoords="offset points", color="white", fontsize="x-small", path_effects=stroke(2)
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
