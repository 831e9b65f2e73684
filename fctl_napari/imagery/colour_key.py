"""Masks whose colours say the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import InputError

_STRANGE = 254
"""No table has so many classes."""


class ColourKey:
    """Which class each colour is.

    Parameters
    ----------
    colours
        (red, green, blue), 0..255, of class 0, 1, ...
    path
        Of the mask, for messages.

    Notes
    -----
    Where every colour consists of 0 and 255 (DeepGlobe), each channel counts as 255 from 128 on, as its authors ask.

    Raises
    ------
    InputError
        Two classes have one colour.
    """

    def __init__(self, colours: Sequence[tuple[int, int, int]], path: str) -> None:
        self.path = path
        self.colours = [tuple(colour) for colour in colours]
        if len(set(self.colours)) < len(self.colours):
            raise InputError(f"{path}: is a mask of colours, and two classes have the same; give each its own.")
        values = np.array(colours, np.uint8).reshape(-1, 3)
        self._pure = bool(np.isin(values, (0, 255)).all())
        self._table = np.full(8 if self._pure else 2**24, _STRANGE, np.uint8)
        self._table[self._codes(values)] = np.arange(len(values), dtype=np.uint8)

    def _codes(self, pixels: NDArray[np.uint8]) -> NDArray[np.integer[Any]]:
        red, green, blue = (pixels[..., channel] for channel in range(3))
        if self._pure:
            return (red >> 7) << 2 | (green >> 7) << 1 | blue >> 7
        return red.astype(np.int32) << 16 | green.astype(np.int32) << 8 | blue

    def indices(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Look colours up.

        Parameters
        ----------
        pixels
            uint8 [y, x, 3] or with alpha, which says nothing.

        Returns
        -------
        Class indices, uint8 [y, x].

        Raises
        ------
        InputError
            A colour is no class's.
        """
        found: NDArray[np.uint8] = self._table[self._codes(pixels)]
        strange = found == _STRANGE
        if strange.any():
            colour = tuple(int(value) for value in pixels[strange][0][:3])
            raise InputError(
                f"{self.path}: holds the colour {colour}, which is no class's ({int(strange.sum())} px here); correct "
                f"the mask or the colours of the class table (a mask must not be saved as JPEG)."
            )
        return found
