"""Masks whose colors encode the classes: RGB masks, and palettes that hold the classes' colors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.class_colors import DEEPGLOBE
from fctl_napari.exceptions import InputError

NO_CLASS = 255
"""Class index of a px that is not labelled or is not scored."""

STATE = (
    '{"values": {"0": "water", "-9999": null}}, in the classes.json of a data set, as [data] values = {0 = "water", '
    '-9999 = ""} in a training config with scenes, or in a file for fctl evaluate --map or fctl corrections import '
    "--map (in Python: mapping)"
)
"""How to state what the values of a mask are. null is no class."""

_STRANGE = 254
"""Stands for a color of no class. No table has so many classes."""


class ColorKey:
    """A mapping from colors to class indices that refuses other colors.

    Parameters
    ----------
    colors : sequence of tuple of 3 int
        (red, green, blue), 0..255, of class 0, 1, ...
    path : str
        Path of the mask, for messages.

    Raises
    ------
    InputError
        Two classes have the same color.

    Notes
    -----
    With DeepGlobe's seven colors, and with no others, each channel counts as 255 from 128 on, as its authors ask.
    """

    def __init__(self, colors: Sequence[tuple[int, int, int]], path: str) -> None:
        self.path = path
        self.colors = [tuple(color) for color in colors]
        if len(set(self.colors)) < len(self.colors):
            raise InputError(f"{path}: is a mask of colors, and two classes have the same; give each its own.")
        values = np.array(colors, np.uint8).reshape(-1, 3)
        self._rounded = set(self.colors) == {color for _, color in DEEPGLOBE}
        self._table = np.full(8 if self._rounded else 2**24, _STRANGE, np.uint8)
        self._table[self._codes(values)] = np.arange(len(values), dtype=np.uint8)

    def _codes(self, pixels: NDArray[np.uint8]) -> NDArray[np.integer[Any]]:
        red, green, blue = (pixels[..., channel] for channel in range(3))
        if self._rounded:
            return (red >> 7) << 2 | (green >> 7) << 1 | blue >> 7
        return red.astype(np.int32) << 16 | green.astype(np.int32) << 8 | blue

    def indices(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map colors to class indices.

        Parameters
        ----------
        pixels : ndarray of uint8 [y, x, 3] or [y, x, 4]
            RGB or RGBA. Fully transparent pixels have no class.

        Returns
        -------
        ndarray of uint8 [y, x]
            Class indices, 255 where there is no class.

        Raises
        ------
        InputError
            A color belongs to no class.
        """
        found: NDArray[np.uint8] = self._table[self._codes(pixels)]
        if pixels.shape[-1] == 4:
            found[pixels[..., 3] == 0] = NO_CLASS
        strange = found == _STRANGE
        if strange.any():
            color = tuple(int(value) for value in pixels[strange][0][:3])
            raise InputError(
                f"{self.path}: holds the color {color}, which no class has ({int(strange.sum())} px here); correct "
                "the mask or the colors of the class table (a mask must not be saved as JPEG)."
            )
        return found


class PaletteKey:
    """A mapping from palette indices to class indices, by the palette's colors.

    Parameters
    ----------
    classes : ndarray of int16 [n]
        Class of each index, 255 for no class, -1 for a color that belongs to no class.
    palette : ndarray of uint8 [n, 3]
        Colors of the palette.
    path : str
        Path of the mask, for messages.

    Attributes
    ----------
    moved : bool
        True if the class of an index differs from the index.
    """

    def __init__(self, classes: NDArray[np.int16], palette: NDArray[np.uint8], path: str) -> None:
        self._classes = classes
        self._palette = palette
        self._path = path
        known = (classes >= 0) & (classes != NO_CLASS)
        self.moved = bool((classes[known] != np.flatnonzero(known)).any())

    def indices(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Map palette indices to class indices.

        Parameters
        ----------
        values : ndarray of int
            Palette indices, of any shape.

        Returns
        -------
        ndarray of uint8
            Class indices, of the same shape, 255 where there is no class.

        Raises
        ------
        InputError
            The color of an index belongs to no class, or the index lies beyond the end of the palette.
        """
        found = np.take(self._classes, values, mode="clip")
        strange = (found < 0) | (values >= len(self._classes))
        if strange.any():
            index = int(values[strange][0])
            color = tuple(self._palette[index].tolist()) if index < len(self._palette) else "(beyond its end)"
            raise InputError(
                f"{self._path}: is read by the colors of its palette, and its index {index} {color} belongs to "
                f"no class ({int(strange.sum())} px here); correct the mask or the colors of the class table."
            )
        return found.astype(np.uint8)


def palette_key(
    palette: NDArray[np.uint8],
    nothing: NDArray[np.bool_],
    colors: Sequence[tuple[int, int, int]],
    held: Callable[[], Sequence[int]],
    path: str,
) -> PaletteKey | None:
    """Decide whether a mask with a palette is read by its colors or by its indices.

    It is read by its colors if those in use are the classes'. It is read by its indices if these are colored as the
    classes are, or if the palette carries no information: a gray ramp (unless its grays are the classes' colors), or
    colors of no class.

    Parameters
    ----------
    palette : ndarray of uint8 [n, 3]
        Colors of the palette.
    nothing : ndarray of bool [n]
        True for indices that are no class whatever their color (transparent, or marked as no data).
    colors : sequence of tuple of 3 int
        (red, green, blue) of class 0, 1, ...
    held : callable
        Returns the indices that the mask holds. It is called only where the palette alone does not decide.
    path : str
        Path of the mask, for messages.

    Returns
    -------
    PaletteKey or None
        Key of the palette. None if the indices are the classes.

    Raises
    ------
    InputError
        The palette and the indices contradict each other, and both may be meant.
    """
    of_color: dict[tuple[int, ...], int] = {}
    for index, color in enumerate(colors):
        of_color[tuple(color)] = -1 if tuple(color) in of_color else index  # shared colors are ambiguous
    classes = np.array([of_color.get(tuple(color), -1) for color in palette.tolist()], np.int16)
    few = min(len(palette), len(colors))
    as_classes = np.array_equal(palette[:few], np.array(colors, np.uint8).reshape(-1, 3)[:few])
    ramp = np.array_equal(palette, np.repeat(np.arange(len(palette)), 3).reshape(-1, 3))
    if as_classes or not (classes >= 0).any():
        return None
    classes[nothing] = NO_CLASS
    seen = [value for value in held() if value < len(classes) and not nothing[value]]
    colored = {value: int(classes[value]) for value in seen if classes[value] >= 0}
    strange = [value for value in seen if value not in colored and value != NO_CLASS]
    greys = len(colored) == len(seen) and max(seen, default=0) >= len(colors)  # the classes' own, say black and white
    if ramp and not greys:
        return None
    if all(value == index for value, index in colored.items()):
        has_colors = any(palette[value].any() for value in colored)  # many palettes begin with black at 0
        if strange and has_colors and min(strange) < len(colors):
            raise _unclear(path, palette, min(strange))
        return None
    filler = NO_CLASS in colored and (palette == palette[NO_CLASS]).all(1).sum() > 1
    if strange or filler or len(set(colored.values())) < len(colored):
        raise _unclear(path, palette, min(strange, default=NO_CLASS if filler else max(colored)))
    if len(classes) <= NO_CLASS:
        classes = np.pad(classes, (0, NO_CLASS + 1 - len(classes)), constant_values=-1)
    if classes[NO_CLASS] < 0:
        classes[NO_CLASS] = NO_CLASS
    return PaletteKey(classes, palette, path)


def _unclear(path: str, palette: NDArray[np.uint8], index: int) -> InputError:
    color = tuple(palette[index].tolist())
    return InputError(
        f"{path}: has a palette with colors of classes, and its index {index} {color} fits neither by its color nor "
        f"by its number; save it in the classes' colors, or in gray, or state what each value is ({STATE})."
    )
