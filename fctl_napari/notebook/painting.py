"""Painting of corrections in a notebook: each finished stroke is on disk before the page is told so."""

from __future__ import annotations

import getpass
import threading
from contextlib import suppress

import numpy as np

from fctl_napari.correcting.acceptance import Area, DrawnArea, accept
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.merge import values_by_name
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import NOT_SURE, shown_classes
from fctl_napari.notebook.messages import StrokeDrawn
from fctl_napari.notebook.strokes import bounding_box, draw_stroke
from fctl_napari.notebook.tiles import Color, Tile, TileSource, class_palette, picture, sampled, window_of
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.progress import no_progress
from fctl_napari.windows import IntWindow

NOT_SURE_COLOR: Color = (255, 255, 255)


class Painting:
    """Corrections of a map, which are open for writing only while a stroke is written.

    So other viewers, and napari's window, can paint into the same file in between.

    Parameters
    ----------
    viewed : ViewedMap
        The map whose image is corrected.
    author : str or None, optional
        Name kept with each stroke. None is the user's.
    """

    def __init__(self, viewed: ViewedMap, author: str | None = None) -> None:
        self._viewed = viewed
        self._author = author or getpass.getuser()
        self._lock = threading.Lock()
        self._read: Corrections | None = None

    @property
    def author(self) -> str:
        """Name that is kept with each stroke."""
        return self._author

    def there(self) -> Corrections | None:
        """Return the corrections as far as there are any, to be read.

        Returns
        -------
        Corrections or None
            The corrections, or None while nobody has painted.
        """
        with self._lock:
            if self._read is None:
                with suppress(InputError):
                    self._read = self._viewed.open_corrections(write=False)
            return self._read

    def renew(self) -> None:
        """Open the corrections anew when they are read next, as others may have painted."""
        with self._lock:
            self._read = None

    def stroke(self, drawn: StrokeDrawn) -> IntWindow | None:
        """Paint a stroke. When this returns, it is on disk.

        Parameters
        ----------
        drawn : StrokeDrawn
            The stroke.

        Returns
        -------
        tuple of 4 int or None
            (y0, x0, y1, x1) px that it changed. None if it changed nothing.

        Raises
        ------
        InputError
            It is no stroke, its value is no class, or nothing is predicted where it is to be accepted.
        OutputError
            The corrections are being written elsewhere, the disk is full, or the folder is not writable.
        """
        if drawn.tool == "accept":
            corners = np.array(drawn.points, float)
            window = bounding_box(corners, 0, self._viewed.map.shape)
            return None if window.empty else self.accept(DrawnArea(window, corners))
        if drawn.value != NOT_SURE and drawn.value > len(self._viewed.map.classes.names):
            raise InputError(f"{drawn.value}: is no class of {self._viewed.map.path}; choose one of its legend.")
        found = draw_stroke(drawn.tool, drawn.points, drawn.radius, self._viewed.map.shape)
        if found is None:
            return None
        with self._lock, self._viewed.open_corrections(write=True) as there:
            value = drawn.value  # classes go by their names
            if value not in (0, NOT_SURE):
                value = int(values_by_name(self._viewed.map.classes.names, there.class_table)[value])
            block = np.full(found.mask.shape, value, np.uint8)
            saved = there.write(found.y0, found.x0, block, author=self._author, mask=found.mask)
            self._read = None
            return None if saved is None else saved.window

    def accept(self, area: Area) -> IntWindow | None:
        """Paint what the network predicts.

        Parameters
        ----------
        area : Area
            Px to accept.

        Returns
        -------
        tuple of 4 int or None
            (y0, x0, y1, x1) px that it changed. None if all was painted so already.

        Raises
        ------
        InputError
            Nothing is computed there.
        OutputError
            As for ``stroke``.
        """
        with self._lock, self._viewed.open_corrections(write=True) as there:
            self._read = None
            return accept(there, self._viewed.store, area, self._author, no_progress)

    def turn(self, back: bool) -> IntWindow | None:
        """Undo the latest stroke of the author, or redo it.

        Parameters
        ----------
        back : bool
            If True, undo.

        Returns
        -------
        tuple of 4 int or None
            (y0, x0, y1, x1) px that changed. None if there was no stroke.

        Raises
        ------
        OutputError
            As for ``stroke``.
        """
        with self._lock, self._viewed.open_corrections(write=True) as there:
            self._read = None
            turned = (there.undo if back else there.redo)(self._author)
            return None if turned is None else turned.window

    def value_at(self, y: float, x: float) -> int:
        """Return the value that a px has: as it is painted, or as it is predicted.

        Parameters
        ----------
        y, x : float
            The px.

        Returns
        -------
        int
            k + 1 = class k of the map, 255 = not sure, 0 = none.

        Raises
        ------
        InputError
            Its class was added after the map was opened.
        """
        row, column = int(np.floor(y)), int(np.floor(x))
        window = row, column, row + 1, column + 1
        there = self.there()
        value = 0 if there is None else int(there.read(window)[0, 0])
        if there is None or value in (0, NOT_SURE):
            return value or int(self._viewed.store.labels.read(window)[0, 0])
        name, names = there.class_table.names[value - 1], self._viewed.map.classes.names
        if name not in names:
            raise InputError(f"{name}: was added to the classes after this map was shown; show it anew.")
        return names.index(name) + 1


class CorrectionTiles(TileSource):
    """Tiles of what is painted, as it is now, transparent elsewhere.

    Parameters
    ----------
    painting : Painting
        The corrections.
    shape : tuple of 2 int
        (height, width) of the image, px.
    """

    def __init__(self, painting: Painting, shape: tuple[int, int]) -> None:
        self._painting, self._shape = painting, shape

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
        there = self._painting.there()
        if there is None:
            y0, x0, y1, x1 = window_of(self._shape, scale, x, y)
            return picture(np.zeros((-(-(y1 - y0) // scale), -(-(x1 - x0) // scale), 4), np.uint8), "PNG")
        palette = class_palette([info.color for info in shown_classes(there.class_table).scored])
        palette[NOT_SURE] = (*NOT_SURE_COLOR, 255)
        levels = [(int(level.shape[0]), int(level.shape[1])) for level in there.labels.levels]
        return picture(palette[sampled(there.read, levels, scale, x, y)], "PNG")
