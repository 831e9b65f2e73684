"""Drawing of maps over pictures, for figures of explanations, at their positions in the image (px)."""

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
"""Colors of the windows' outlines, which color-blind people can tell apart, too."""


def _over_picture(name: str, start: float, opacity: NDArray[np.float64]) -> ListedColormap:
    """Make a perceptual color map of the upper part of another one, through which the picture below shows."""
    colors = colormaps[name](np.linspace(start, 1, len(opacity)))
    colors[:, 3] = opacity
    return ListedColormap(colors, name=f"{name} over a picture")


ATTENTION = _over_picture("inferno", 0.3, 0.9 * np.linspace(0, 1, 256) ** 0.5)
WEIGHT = _over_picture("viridis", 0.0, np.full(256, 0.7))

PANEL = 2.7
"""Side of a panel, inches."""

PICTURE = 512
"""Side of the pictures that are read, px."""

UNITS = {"meter": "m", "kilometer": "km", "millimeter": "mm", "micrometer": "µm", "nanometer": "nm", "degree": "°"}


def read_gray(image: Pyramid, window: FloatWindow) -> NDArray[np.uint8]:
    """Read a window as a gray picture on which colors show up.

    Parameters
    ----------
    image : Pyramid
        The image.
    window : FloatWindow
        Window (y0, x0, y1, x1), px.

    Returns
    -------
    ndarray of uint8 [512, 512, 3]
        Gray picture.

    Raises
    ------
    InputError
        The image is damaged or cannot be shown as RGB.
    """
    picture = image.read_resized(window, PICTURE).mean(axis=-1)
    return np.repeat(picture[..., None], 3, axis=-1).astype(np.uint8)


def show(axes: Axes, picture: NDArray[np.uint8], window: FloatWindow) -> None:
    """Show a picture alone, at its window's position in the image, in px.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    picture : ndarray of uint8 [h, w, 3]
        RGB.
    window : FloatWindow
        Window (y0, x0, y1, x1) of the picture, px.
    """
    draw_array(axes, picture, window, interpolation="antialiased")
    look_at(axes, window)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_map(axes: Axes, found: NDArray[np.float32], footprint: FloatWindow, colors: Colormap) -> AxesImage:
    """Draw a map over the region that its cells cover, without smoothing.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    found : ndarray of float32 [h, w]
        Map.
    footprint : FloatWindow
        Region (y0, x0, y1, x1) of the cells, px.
    colors : Colormap
        Color map.

    Returns
    -------
    AxesImage
        The drawn map, whose limits can be set.
    """
    return draw_array(axes, found, footprint, interpolation="nearest", cmap=colors)


def draw_array(axes: Axes, values: NDArray[Any], window: FloatWindow, **how: Any) -> AxesImage:
    """Draw an array over a window.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    values : ndarray [h, w] or [h, w, 3 or 4]
        Values or colors.
    window : FloatWindow
        Window (y0, x0, y1, x1), px.
    **how : object
        Arguments of ``imshow``.

    Returns
    -------
    AxesImage
        The drawn array.
    """
    y0, x0, y1, x1 = window
    return axes.imshow(values, extent=(x0, x1, y1, y0), **how)


def look_at(axes: Axes, window: FloatWindow) -> None:
    """Limit the axes to a window.

    Parameters
    ----------
    axes : Axes
        Axes to limit.
    window : FloatWindow
        Window (y0, x0, y1, x1), px.
    """
    y0, x0, y1, x1 = window
    axes.set_xlim(x0, x1)
    axes.set_ylim(y1, y0)


def stroke(width: float) -> list[patheffects.AbstractPathEffect]:
    """Make a black rim with which white lines and words show up on anything.

    Parameters
    ----------
    width : float
        Width of the rim, points.

    Returns
    -------
    list of patheffects.AbstractPathEffect
        Path effects.
    """
    return [patheffects.withStroke(linewidth=width, foreground="black")]


def say(axes: Axes, words: str) -> None:
    """Write words into the middle.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    words : str
        Text.
    """
    axes.text(0.5, 0.5, words, color="white", ha="center", transform=axes.transAxes, path_effects=stroke(3))


def outline(axes: Axes, window: FloatWindow, color: str, style: str = "-") -> None:
    """Draw the edge of a window.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    window : FloatWindow
        Window (y0, x0, y1, x1), px.
    color : str
        Color of the line.
    style : str, optional
        Line style of matplotlib; a solid line gets a black rim.
    """
    y0, x0, y1, x1 = window
    box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linestyle=style, linewidth=1.2)
    if style == "-":
        box.set_path_effects(stroke(2.4))
    axes.add_patch(box)


def mark_pixel(axes: Axes, explanation: TileExplanation) -> None:
    """Mark the middle of the query pixel.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    explanation : TileExplanation
        Explanation of the pixel.
    """
    y, x = explanation.pixel
    axes.plot(x + 0.5, y + 0.5, "+", color="white", markersize=7, path_effects=stroke(2.6))


def draw_scale_bar(axes: Axes, view: FloatWindow, image: Pyramid) -> None:
    """Draw a bar of a round length, in the image's unit if that is known, else in px.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    view : FloatWindow
        Window (y0, x0, y1, x1) that the axes show, px.
    image : Pyramid
        Image that gives the size of a pixel.
    """
    draw_bar(axes, view, image.pixel_size[1] if image.unit is not None else 1.0, image.unit)


def draw_bar(axes: Axes, view: FloatWindow, size: float, unit: str | None) -> None:
    """Draw a bar of a round length.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    view : FloatWindow
        Window (y0, x0, y1, x1) that the axes show, px.
    size : float
        Width of a px, in ``unit``.
    unit : str or None
        Name of a unit that pint knows; None for px.
    """
    y0, x0, y1, x1 = view
    length, words = round_length((x1 - x0) / 4 * size, unit)
    left, y = x0 + 0.05 * (x1 - x0), y1 - 0.06 * (y1 - y0)
    ends = [left, left + length / size]
    axes.plot(ends, [y, y], color="white", linewidth=2.5, path_effects=stroke(4.5), solid_capstyle="butt")
    axes.annotate(
        words, (left, y), (0, 4), textcoords="offset points", color="white", fontsize="x-small", path_effects=stroke(2)
    )


def round_length(length: float, unit: str | None) -> tuple[float, str]:
    """Choose a length of 1, 2 or 5 times a power of ten, at most as long as asked.

    Parameters
    ----------
    length : float
        Approximate length, in ``unit``.
    unit : str or None
        Name of a unit that pint knows; None for px.

    Returns
    -------
    length : float
        Chosen length, in ``unit``.
    words : str
        Text of the length with its unit.
    """
    power = 10.0 ** math.floor(math.log10(length))
    chosen = max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))
    if unit == "meter" and chosen >= 1000:
        return chosen, f"{chosen / 1000:g} km"
    return chosen, f"{chosen:g} {'px' if unit is None else UNITS.get(unit, unit)}"
