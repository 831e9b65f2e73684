"""Tiles of images and maps as pictures, for the viewer in a notebook."""

from __future__ import annotations

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.readable import ReadableLabels
from fctl_napari.imagery.pyramid import Pyramid

SIDE = 512
"""Side of a tile, px."""
QUALITY = 88
"""Quality of JPEG tiles of images."""

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Tile:
    """A tile as a picture.

    Attributes
    ----------
    data : bytes
        The file.
    type : str
        Its media type.
    """

    data: bytes
    type: str


class TileSource(ABC):
    """Image that is shown tile by tile."""

    @abstractmethod
    def tile(self, scale: int, x: int, y: int) -> Tile:
        """Draw a tile.

        Parameters
        ----------
        scale : int
            Px of full resolution for each px of the tile.
        x, y : int
            Column and row of the tile. Those at the right and lower borders are smaller.

        Returns
        -------
        Tile
            The picture.
        """


def window_of(shape: tuple[int, int], scale: int, x: int, y: int) -> tuple[int, int, int, int]:
    """Return the part of an image that a tile shows.

    Parameters
    ----------
    shape : tuple of 2 int
        (height, width) of the image, px.
    scale : int
        Px of full resolution for each px of the tile.
    x, y : int
        Column and row of the tile.

    Returns
    -------
    tuple of 4 int
        (y0, x0, y1, x1) px of full resolution, inside the image.

    Raises
    ------
    InputError
        There is no such tile.
    """
    side = SIDE * scale
    if not (0 <= y * side < shape[0] and 0 <= x * side < shape[1]):
        raise InputError(f"tile ({y}, {x}) of {side} px: lies outside of the image of {shape[0]} x {shape[1]} px.")
    return y * side, x * side, min((y + 1) * side, shape[0]), min((x + 1) * side, shape[1])


class ImageTiles(TileSource):
    """Tiles of an image in its colors.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    """

    def __init__(self, pyramid: Pyramid) -> None:
        self._pyramid = pyramid

    def tile(self, scale: int, x: int, y: int) -> Tile:
        """Draw a tile.

        Parameters
        ----------
        scale, x, y : int
            See ``TileSource.tile``.

        Returns
        -------
        Tile
            The picture.
        """
        pyramid, side = self._pyramid, SIDE * scale
        y0, x0, y1, x1 = window_of(pyramid.shape, scale, x, y)
        if (y1 - y0, x1 - x0) == (side, side):
            return picture(pyramid.read_resized((y0, x0, y1, x1), SIDE), "JPEG")
        # the black around the image, which a square would hold, must not show at its border
        level = max(k for k, (factor, _) in enumerate(pyramid.factors) if round(factor) <= scale)
        fy, fx = pyramid.factors[level]
        height, width = pyramid.levels[level].shape[:2]
        rows = min(int(y0 / fy), height - 1), min(math.ceil(y1 / fy), height)
        columns = min(int(x0 / fx), width - 1), min(math.ceil(x1 / fx), width)
        window = rows[0], columns[0], rows[1], columns[1]
        there = Pillow.fromarray(pyramid.read(window, level))
        small = there.resize((-(-(x1 - x0) // scale), -(-(y1 - y0) // scale)), Pillow.Resampling.BOX)
        return picture(np.asarray(small), "JPEG")


class PaletteTiles(TileSource):
    """Tiles of values 0..255 in the colors of a palette. A subclass says which values.

    Parameters
    ----------
    palette : ndarray of uint8 [256, 4]
        Red, green, blue and opacity of each value.
    """

    def __init__(self, palette: NDArray[np.uint8]) -> None:
        self._palette = palette

    def tile(self, scale: int, x: int, y: int) -> Tile:
        """Draw a tile.

        Parameters
        ----------
        scale, x, y : int
            See ``TileSource.tile``.

        Returns
        -------
        Tile
            The picture.
        """
        return picture(self._palette[self._values(scale, x, y)], "PNG")

    @abstractmethod
    def _values(self, scale: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return the values of a tile."""


class LabelTiles(PaletteTiles):
    """Tiles of a label image.

    Parameters
    ----------
    labels : ReadableLabels
        The values.
    levels : sequence of tuple of 2 int
        (height, width) of its levels, px, the finest first.
    palette : ndarray of uint8 [256, 4]
        Red, green, blue and opacity of each value.
    """

    def __init__(self, labels: ReadableLabels, levels: Sequence[tuple[int, int]], palette: NDArray[np.uint8]) -> None:
        super().__init__(palette)
        self._labels, self._levels = labels, levels

    def _values(self, scale: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return the values of a tile."""
        return sampled(self._labels.read, self._levels, scale, x, y)


def class_palette(colors: Sequence[Color]) -> NDArray[np.uint8]:
    """Return the palette of a map of classes: 0 is transparent, k + 1 is class k.

    Parameters
    ----------
    colors : sequence of tuple of 3 int
        Colors of the classes.

    Returns
    -------
    ndarray of uint8 [256, 4]
        The palette.
    """
    palette = np.zeros((256, 4), np.uint8)
    palette[1 : len(colors) + 1] = [(*color, 255) for color in colors]
    return palette


def shade_palette(colormap: str) -> NDArray[np.uint8]:
    """Return the palette of values 1..255, 0 is transparent.

    Parameters
    ----------
    colormap : str
        Name of a map of colors of matplotlib.

    Returns
    -------
    ndarray of uint8 [256, 4]
        The palette.
    """
    from matplotlib import colormaps

    palette: NDArray[np.uint8] = (colormaps[colormap](np.arange(256) / 255) * 255).round().astype(np.uint8)
    palette[0] = 0
    return palette


def sampled(
    read: Callable[[tuple[int, int, int, int], int], NDArray[np.uint8]],
    levels: Sequence[tuple[int, int]],
    scale: int,
    x: int,
    y: int,
) -> NDArray[np.uint8]:
    """Read the values in the middles of a tile's px, from the coarsest level that has them all.

    Parameters
    ----------
    read : callable
        Function of (window, level) that returns the values.
    levels : sequence of tuple of 2 int
        (height, width) of the levels, px, the finest first.
    scale : int
        Px of full resolution for each px of the tile.
    x, y : int
        Column and row of the tile.

    Returns
    -------
    ndarray of uint8 [y, x]
        Values of the tile.
    """
    height, width = levels[0]
    y0, x0, y1, x1 = window_of((height, width), scale, x, y)
    level = max(k for k, shape in enumerate(levels) if round(height / shape[0]) <= scale)
    rows, columns = (
        np.minimum((np.arange(start, stop, scale) + scale // 2) * coarse // fine, coarse - 1)
        for start, stop, coarse, fine in ((y0, y1, levels[level][0], height), (x0, x1, levels[level][1], width))
    )
    values = read((int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1), level)
    found: NDArray[np.uint8] = values[np.ix_(rows - rows[0], columns - columns[0])]
    return found


def picture(pixels: NDArray[np.uint8], kind: Literal["JPEG", "PNG"]) -> Tile:
    """Write px as a picture.

    Parameters
    ----------
    pixels : ndarray of uint8 [y, x, 3 or 4]
        The px.
    kind : {"JPEG", "PNG"}
        Format. JPEG has no transparency.

    Returns
    -------
    Tile
        The picture.
    """
    file = io.BytesIO()
    made = Pillow.fromarray(np.ascontiguousarray(pixels))
    if kind == "JPEG":
        made.save(file, "JPEG", quality=QUALITY)
    else:
        made.save(file, "PNG", compress_level=1)
    return Tile(file.getvalue(), f"image/{kind.lower()}")
