"""What is left to do for a set of cells, handed out as tasks of a few tiles (no torch)."""

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
"""How many tiles are computed because somebody looks at them."""


@dataclass(frozen=True)
class Tile:
    """One run of the network.

    Attributes
    ----------
    cell
        The cell that names the tile.
    cells
        The cells that it fills (``crop``); none if its logits wait to be averaged.
    """

    cell: Cell
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Task:
    """What one message asks of a worker.

    Attributes
    ----------
    tiles
        Tiles to run through the network.
    merges
        Cells whose tiles are all there, to be averaged.
    """

    tiles: tuple[Tile, ...] = ()
    merges: tuple[Cell, ...] = ()

    def first(self, tiles: int, merges: int) -> Task:
        """The part of the task that was carried out."""
        return replace(self, tiles=self.tiles[:tiles], merges=self.merges[:merges])


class Plan(Protocol):
    """Hands out work and learns what is finished."""

    @property
    def tiles_left(self) -> int:
        """How many tiles are still to be run, about."""

    def next(self, tiles: int) -> Task | None:
        """The next task, of at most so many tiles; None if nothing can be handed out now."""

    def finish(self, task: Task) -> list[Cell]:
        """Take note of a task carried out; returns the cells whose level 0 is now written."""

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """Tiles whose logits nobody needs any more, now that ``cells`` are done."""

    def look(self, view: IntWindow | None) -> None:
        """Take note of what the user looks at, full-resolution px; None: nothing of the image."""

    def in_view(self) -> InView | None:
        """How far the tiles in view are; None if that is not known."""


class CropPlan:
    """Each tile fills the cell that it belongs to; tiles at the same place are run once, those in view first.

    Parameters
    ----------
    grid
        Where cells and tiles lie.
    cells
        What to compute, in this order.
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
        """How many tiles are still to be run."""
        return self._left

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task, of at most so many tiles; None if there is none."""
        chosen: list[Tile] = []
        while self._waiting and len(chosen) < tiles:
            name = self._first.popleft() if self._first else next(iter(self._waiting))
            if name in self._waiting:
                chosen.append(self._waiting.pop(name))
        return Task(tiles=tuple(chosen)) if chosen else None

    def look(self, view: IntWindow | None) -> None:
        """Put the tiles in view in front, centre outward; nothing where they are so many that it makes no odds."""
        cells: list[Cell] = []
        if view is not None:
            rows, cols = cells_slices(self._grid, view)
            if (rows.stop - rows.start) * (cols.stop - cols.start) <= 4 * LIVE_TILES:
                cells = outward(self._grid, view)
        self._first = deque(self._named_by[cell] for cell in cells if cell in self._named_by)

    def in_view(self) -> InView | None:
        """Say nothing: the whole plan is what was asked for."""
        return None

    def finish(self, task: Task) -> list[Cell]:
        """Take note of a task carried out; returns the cells whose level 0 is now written."""
        self._left -= len(task.tiles)
        return [cell for tile in task.tiles for cell in tile.cells]

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return nothing: no tile waits for others."""
        return []


class LivePlan:
    """The tiles in view, centre outward; those that leave it before they are handed out are dropped.

    Parameters
    ----------
    grid
        Where cells and tiles lie.
    done
        Which cells are done, ``[rows, cols]``.
    most
        With more tiles than this missing in view none is handed out: nobody asked for the whole image.
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
        """How many tiles will be run if the view stays."""
        return len(self._waiting) + self._tiles_under_way

    def look(self, view: IntWindow | None) -> None:
        """Replace what waits by what is missing in view."""
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
        """Which of the cells in view are done."""
        if self._view is None:
            return self._done[:0]
        rows, cols = cells_slices(self._grid, self._view)
        return self._done[rows, cols]

    def _sharing(self, window: IntWindow) -> tuple[Cell, ...]:
        """Cells, in view or not, that one tile fills."""
        return tuple(cell for cell in self._grid.cells_in(window) if self._grid.window(cell) == window)

    def in_view(self) -> InView | None:
        """How far the tiles in view are."""
        if self._view is None:
            return None
        seen = self._seen()
        return InView(int(np.count_nonzero(seen)), seen.size, self.tiles_left)

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task, of at most so many tiles; None if there is none."""
        chosen = tuple(self._waiting.popleft() for _ in range(min(tiles, len(self._waiting))))
        self._under_way.update(cell for tile in chosen for cell in tile.cells)
        self._tiles_under_way += len(chosen)
        return Task(tiles=chosen) if chosen else None

    def finish(self, task: Task) -> list[Cell]:
        """Take note of a task carried out; returns the cells whose level 0 is now written."""
        self._under_way.difference_update(cell for tile in task.tiles for cell in tile.cells)
        self._tiles_under_way -= len(task.tiles)
        cells = [cell for tile in task.tiles for cell in tile.cells if not self._done[cell]]
        for cell in cells:
            self._done[cell] = True
        return cells

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return nothing: no tile waits for others."""
        return []


class AveragePlan:
    """Cells are the mean of all tiles over them; logits wait on disk until their last cell is done.

    In row-major order about three rows of tiles lie on disk, whatever the image's height.

    Parameters
    ----------
    grid
        Where cells and tiles lie.
    cells
        What to compute, in this order.
    present
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
        """How many tiles are still to be run, about: a cell that was not looked at yet brings one."""
        return len(self._upcoming) + len(self._asked)

    def next(self, tiles: int) -> Task | None:
        """Hand out ready cells to average and the next tiles; None if all waits for tasks under way."""
        # Merging comes first, so that little lies on disk; a tile brings about one cell.
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
        """Change nothing: in another order more tiles would lie on disk."""

    def in_view(self) -> InView | None:
        """Say nothing: the whole plan is what was asked for."""
        return None

    def finish(self, task: Task) -> list[Cell]:
        """Take note of a task carried out; returns the cells whose level 0 is now written."""
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
        """List the tiles whose logits nobody needs any more, now that ``cells`` are done."""
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
    """Rows and columns of the cells that meet a window; empty where there are none."""
    inside = Window(*view).clip(grid.image_shape)
    if inside.empty:
        return slice(0, 0), slice(0, 0)
    y0, x0, y1, x1 = inside
    return slice(y0 // grid.step, -(-y1 // grid.step)), slice(x0 // grid.step, -(-x1 // grid.step))


def outward(grid: Grid, view: IntWindow) -> list[Cell]:
    """List the cells that meet a window, those nearest to its middle first."""
    cells = grid.cells_in(view)
    if not cells:
        return []
    cores = np.array([grid.core(cell) for cell in cells], float)
    middles = (cores[:, :2] + cores[:, 2:]) / 2
    middle = np.array([view[0] + view[2], view[1] + view[3]]) / 2
    order = np.argsort(np.square(middles - middle).sum(axis=1), kind="stable")
    return [cells[i] for i in order]
