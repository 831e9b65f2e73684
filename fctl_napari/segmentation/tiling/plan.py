"""Plan of a run: work left to do for a set of cells, handed out as tasks of a few tiles (no torch)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.segmentation.tiling.grid import Cell, Grid
from fctl_napari.segmentation.tiling.progress import InView
from fctl_napari.windows import IntWindow, Window

LIVE_TILES = 300
"""Largest number of missing cells in view that a live run computes without being asked."""


@dataclass(frozen=True)
class Tile:
    """One run of the network.

    Attributes
    ----------
    cell : Cell
        Cell that names the tile.
    cells : tuple of Cell
        Cells that the tile fills (``crop``); none if its logits wait to be averaged.
    """

    cell: Cell
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Task:
    """Work that one message requests of a worker.

    Attributes
    ----------
    tiles : tuple of Tile
        Tiles to run through the network.
    merges : tuple of Cell
        Cells whose tiles are all saved, to be averaged.
    """

    tiles: tuple[Tile, ...] = ()
    merges: tuple[Cell, ...] = ()

    def first(self, tiles: int, merges: int) -> Task:
        """Return the part of the task that was carried out.

        Parameters
        ----------
        tiles : int
            Number of tiles that were run.
        merges : int
            Number of cells that were averaged.

        Returns
        -------
        Task
            Task of the first tiles and merges.
        """
        return replace(self, tiles=self.tiles[:tiles], merges=self.merges[:merges])


class Plan(Protocol):
    """Plan that hands out work and keeps track of the finished part."""

    @property
    def tiles_left(self) -> int:
        """Approximate number of tiles that are still to be run."""

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task.

        Parameters
        ----------
        tiles : int
            Most tiles in the task.

        Returns
        -------
        Task or None
            The task. None if nothing can be handed out now.
        """

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written.
        """

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """List the tiles whose logits are no longer needed.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are done now.

        Returns
        -------
        list of Cell
            Cells that name the tiles.
        """

    def look(self, view: IntWindow | None) -> None:
        """Record the view of the user.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """

    def in_view(self) -> InView | None:
        """Return the progress of the tiles in view, or None if it is not known."""


class CropPlan:
    """Plan in which each tile fills the cell that it belongs to.

    Tiles at the same position are run once, and those in view come first.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    cells : sequence of Cell
        Cells to compute, in this order.
    """

    def __init__(self, grid: Grid, cells: Sequence[Cell]) -> None:
        self._grid = grid
        by_window: dict[IntWindow, list[Cell]] = {}
        for cell in cells:
            by_window.setdefault(grid.window(cell), []).append(cell)
        tiles = [Tile(members[0], tuple(members)) for members in by_window.values()]
        self._waiting = {tile.cell: tile for tile in tiles}
        self._named_by = {cell: tile.cell for tile in tiles for cell in tile.cells}
        self._first: deque[Cell] = deque()
        self._left = len(self._waiting)

    @property
    def tiles_left(self) -> int:
        """Number of tiles that are still to be run."""
        return self._left

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task.

        Parameters
        ----------
        tiles : int
            Most tiles in the task.

        Returns
        -------
        Task or None
            The task. None if there is none.
        """
        chosen: list[Tile] = []
        while self._waiting and len(chosen) < tiles:
            name = self._first.popleft() if self._first else next(iter(self._waiting))
            if name in self._waiting:
                chosen.append(self._waiting.pop(name))
        return Task(tiles=tuple(chosen)) if chosen else None

    def look(self, view: IntWindow | None) -> None:
        """Put the tiles in view first, from the center outward.

        The order stays as it is where so many tiles are in view that it makes no difference.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """
        cells: list[Cell] = []
        if view is not None:
            rows, cols = cells_slices(self._grid, view)
            if (rows.stop - rows.start) * (cols.stop - cols.start) <= 4 * LIVE_TILES:
                cells = outward(self._grid, view)
        self._first = deque(self._named_by[cell] for cell in cells if cell in self._named_by)

    def in_view(self) -> InView | None:
        """Return None: the whole plan was requested, whatever is in view."""
        return None

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written.
        """
        self._left -= len(task.tiles)
        return [cell for tile in task.tiles for cell in tile.cells]

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return an empty list: no tile waits for others.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are done now.

        Returns
        -------
        list of Cell
            Nothing.
        """
        return []


class LivePlan:
    """Plan of the tiles in view, from the center outward.

    Tiles that leave the view before they are handed out are dropped.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    done : ndarray of bool [rows, cols]
        Cells that are done.
    most : int, optional
        Largest number of cells that may be missing in view. With more of them no tile is handed out, because nobody
        requested the whole image.
    """

    def __init__(self, grid: Grid, done: NDArray[np.bool_], most: int = LIVE_TILES) -> None:
        self._grid = grid
        self._done = done.copy()
        self._most = most
        self._view: IntWindow | None = None
        self._waiting: deque[Tile] = deque()
        self._under_way: set[Cell] = set()
        self._tiles_under_way = 0

    @property
    def tiles_left(self) -> int:
        """Number of tiles that will be run if the view stays."""
        return len(self._waiting) + self._tiles_under_way

    def look(self, view: IntWindow | None) -> None:
        """Replace the waiting tiles by those missing in view.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """
        self._view = view
        self._waiting.clear()
        seen = self._seen()
        if view is not None and seen.size - np.count_nonzero(seen) <= self._most:
            named: set[IntWindow] = set()
            for cell in outward(self._grid, view):
                window = self._grid.window(cell)
                if not self._done[cell] and cell not in self._under_way and window not in named:
                    named.add(window)
                    self._waiting.append(Tile(cell, self._sharing(window)))

    def _seen(self) -> NDArray[np.bool_]:
        """Return which of the cells in view are done."""
        if self._view is None:
            return self._done[:0]
        rows, cols = cells_slices(self._grid, self._view)
        return self._done[rows, cols]

    def _sharing(self, window: IntWindow) -> tuple[Cell, ...]:
        """List the cells, in view or not, that one tile fills."""
        return tuple(cell for cell in self._grid.cells_in(window) if self._grid.window(cell) == window)

    def in_view(self) -> InView | None:
        """Return the progress of the tiles in view, or None without a view."""
        if self._view is None:
            return None
        seen = self._seen()
        return InView(int(np.count_nonzero(seen)), seen.size, self.tiles_left)

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task.

        Parameters
        ----------
        tiles : int
            Most tiles in the task.

        Returns
        -------
        Task or None
            The task. None if there is none.
        """
        chosen = tuple(self._waiting.popleft() for _ in range(min(tiles, len(self._waiting))))
        self._under_way.update(cell for tile in chosen for cell in tile.cells)
        self._tiles_under_way += len(chosen)
        return Task(tiles=chosen) if chosen else None

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written, without those that were done before.
        """
        self._under_way.difference_update(cell for tile in task.tiles for cell in tile.cells)
        self._tiles_under_way -= len(task.tiles)
        cells = [cell for tile in task.tiles for cell in tile.cells if not self._done[cell]]
        for cell in cells:
            self._done[cell] = True
        return cells

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return an empty list: no tile waits for others.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are done now.

        Returns
        -------
        list of Cell
            Nothing.
        """
        return []


class AveragePlan:
    """Plan in which each cell is the mean of all tiles over it.

    The logits of a tile wait on disk until its last cell is done. In row-major order about three rows of tiles lie on
    disk, whatever the image's height.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    cells : sequence of Cell
        Cells to compute, in this order.
    present : collection of Cell, optional
        Tiles whose logits lie on disk from an interrupted run.
    """

    def __init__(self, grid: Grid, cells: Sequence[Cell], present: Collection[Cell] = ()) -> None:
        self._grid = grid
        self._upcoming = deque(cells)
        self._unfinished: NDArray[np.bool_] = np.zeros((grid.rows, grid.cols), bool)
        if cells:
            rows, cols = zip(*cells, strict=True)
            self._unfinished[rows, cols] = True
        self._on_disk = set(present)
        self._tiles: deque[Cell] = deque()
        self._asked: set[Cell] = set()
        self._lacking: dict[Cell, set[Cell]] = {}
        self._ready: deque[Cell] = deque()

    @property
    def tiles_left(self) -> int:
        """Approximate number of tiles still to be run, where a cell that was not looked at yet counts as one tile."""
        return len(self._upcoming) + len(self._asked)

    def next(self, tiles: int) -> Task | None:
        """Hand out ready cells to average and the next tiles.

        Parameters
        ----------
        tiles : int
            Most tiles in the task.

        Returns
        -------
        Task or None
            The task. None if everything waits for tasks under way.
        """
        # Merging comes first, so that little lies on disk. A tile completes about one cell.
        merges = tuple(self._ready.popleft() for _ in range(min(len(self._ready), 2 * tiles)))
        while len(self._tiles) < tiles and self._upcoming:
            self._ask_for(self._upcoming.popleft())
        chosen = tuple(Tile(self._tiles.popleft()) for _ in range(min(tiles, len(self._tiles))))
        if not merges and not chosen and self._ready:
            return self.next(tiles)
        return Task(chosen, merges) if chosen or merges else None

    def _ask_for(self, cell: Cell) -> None:
        lacking = {tile for tile in self._grid.tiles_over(self._grid.core(cell)) if tile not in self._on_disk}
        if not lacking:
            self._ready.append(cell)
            return
        self._lacking[cell] = lacking
        fresh = sorted(lacking - self._asked)
        self._asked.update(fresh)
        self._tiles.extend(fresh)

    def look(self, view: IntWindow | None) -> None:
        """Ignore the view: in another order more tiles would lie on disk.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """

    def in_view(self) -> InView | None:
        """Return None: the whole plan was requested, whatever is in view."""
        return None

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written.
        """
        for tile in task.tiles:
            self._asked.discard(tile.cell)
            self._on_disk.add(tile.cell)
            for cell in self._grid.cells_in(self._grid.window(tile.cell)):
                lacking = self._lacking.get(cell)
                if lacking is not None:
                    lacking.discard(tile.cell)
                    if not lacking:
                        del self._lacking[cell]
                        self._ready.append(cell)
        return list(task.merges)

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """List the tiles whose logits are no longer needed.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are done now.

        Returns
        -------
        list of Cell
            Cells that name the tiles, sorted.
        """
        touched: set[Cell] = set()
        for cell in cells:
            self._unfinished[cell] = False
            touched.update(self._grid.tiles_over(self._grid.core(cell)))
        free = [tile for tile in sorted(touched & self._on_disk) if not self._needed(tile)]
        self._on_disk.difference_update(free)
        return free

    def _needed(self, tile: Cell) -> bool:
        return any(self._unfinished[cell] for cell in self._grid.cells_in(self._grid.window(tile)))


def cells_slices(grid: Grid, view: IntWindow) -> tuple[slice, slice]:
    """Return the rows and columns of the cells that meet a window.

    Parameters
    ----------
    grid : Grid
        Grid of the cells.
    view : IntWindow
        Window in full-resolution px.

    Returns
    -------
    tuple of 2 slice
        (rows, columns) of the cells; empty slices where there are none.
    """
    inside = Window(*view).clip(grid.image_shape)
    if inside.empty:
        return slice(0, 0), slice(0, 0)
    y0, x0, y1, x1 = inside
    return slice(y0 // grid.step, -(-y1 // grid.step)), slice(x0 // grid.step, -(-x1 // grid.step))


def outward(grid: Grid, view: IntWindow) -> list[Cell]:
    """List the cells that meet a window, those nearest to its center first.

    Parameters
    ----------
    grid : Grid
        Grid of the cells.
    view : IntWindow
        Window in full-resolution px.

    Returns
    -------
    list of Cell
        Cells by the distance of their centers from the window's.
    """
    cells = grid.cells_in(view)
    if not cells:
        return []
    cores = np.array([grid.core(cell) for cell in cells], float)
    middles = (cores[:, :2] + cores[:, 2:]) / 2
    middle = np.array([view[0] + view[2], view[1] + view[3]]) / 2
    order = np.argsort(np.square(middles - middle).sum(axis=1), kind="stable")
    return [cells[i] for i in order]
