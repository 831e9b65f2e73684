"""Painting of corrections in a notebook: each finished stroke is on disk before the page is told so."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.api.correcting import corrections
from fctl_napari.api.maps import Map
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.notebook.strokes import draw_stroke
from fctl_napari.notebook.tiles import Color, PaletteTiles, class_palette, sampled
from fctl_napari.windows import IntWindow

NOT_SURE_COLOR: Color = (255, 255, 255)


class Painting:
    """Corrections of a map, which are opened for writing at the first stroke.

    Parameters
    ----------
    source : Map
        The map whose image is corrected.
    author : str or None, optional
        Name kept with each stroke. None is the user's.
    """

    def __init__(self, source: Map, author: str | None = None) -> None:
        self._map = source
        self._author = author or getpass.getuser()
        self._lock = threading.Lock()
        self._open: Corrections | None = None
        self._read: Corrections | None = None

    @property
    def author(self) -> str:
        """Name that is kept with each stroke."""
        return self._author

    def opened(self) -> Corrections:
        """Return the corrections, open for writing.

        Returns
        -------
        Corrections
            The corrections.

        Raises
        ------
        InputError
            They are of another image.
        OutputError
            They are being written elsewhere, or the folder is not writable.
        """
        with self._lock:
            if self._open is None:
                self._open, self._read = corrections(self._map), None
            return self._open

    def there(self) -> Corrections | None:
        """Return the corrections as far as there are any, to be read.

        Returns
        -------
        Corrections or None
            The corrections, or None while nobody has painted.
        """
        with self._lock:
            if self._open is not None:
                return self._open
            if self._read is None:
                with suppress(InputError):
                    self._read = corrections(self._map, write=False)
            return self._read

    def stroke(self, message: dict[str, Any]) -> int:
        """Paint a stroke. When this returns, it is on disk.

        Parameters
        ----------
        message : dict of str to object
            ``tool``, ``points`` [(y, x), ...], ``radius`` and ``value`` (k + 1 = class k, 255 = not sure, 0 = erase).

        Returns
        -------
        int
            Number of px that it changed.

        Raises
        ------
        InputError
            It is no stroke, or its value is no class.
        OutputError
            The corrections are being written elsewhere, the disk is full, or the folder is not writable.
        """
        there = self.opened()
        value = int(message["value"])
        if value not in (0, NOT_SURE) and not 1 <= value <= len(there.class_table.scored):
            raise InputError(f"{value}: is no class of {there.path}; choose one of its classes.")
        drawn = draw_stroke(message["tool"], message["points"], float(message["radius"]), there.shape)
        if drawn is None:
            return 0
        block = np.full(drawn.mask.shape, value, np.uint8)
        saved = there.write(drawn.y0, drawn.x0, block, author=self._author, mask=drawn.mask)
        return 0 if saved is None else saved.pixels

    def turn(self, back: bool) -> bool:
        """Undo the latest stroke of the author, or redo it.

        Parameters
        ----------
        back : bool
            If True, undo.

        Returns
        -------
        bool
            True if there was one.

        Raises
        ------
        OutputError
            The disk is full or the folder is not writable.
        """
        there = self.opened()
        return (there.undo if back else there.redo)(self._author) is not None

    def close(self) -> None:
        """Close the corrections, so that another program may write them."""
        with self._lock:
            there, self._open = self._open, None
        if there is not None:
            there.close()


class CorrectionTiles(PaletteTiles):
    """Tiles of what is painted, as it is now, transparent elsewhere.

    Parameters
    ----------
    painting : Painting
        The corrections.
    colors : sequence of tuple of 3 int
        Colors of the classes.
    shape : tuple of 2 int
        (height, width) of the image, px.
    """

    def __init__(self, painting: Painting, colors: Sequence[Color], shape: tuple[int, int]) -> None:
        palette = class_palette(colors)
        palette[NOT_SURE] = (*NOT_SURE_COLOR, 255)
        super().__init__(palette)
        self._painting, self._shape = painting, shape

    def _values(self, scale: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return what is painted in a tile."""
        there = self._painting.there()
        if there is None:
            return sampled(_nothing, [self._shape], scale, x, y)
        levels = [(int(level.shape[0]), int(level.shape[1])) for level in there.labels.levels]
        return sampled(there.read, levels, scale, x, y)


def _nothing(window: IntWindow, _level: int) -> NDArray[np.uint8]:
    """Return the values of a window in which nobody has painted."""
    return np.zeros((window[2] - window[0], window[3] - window[1]), np.uint8)
