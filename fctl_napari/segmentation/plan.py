"""What is left to do for a set of cells, handed out as tasks of a few tiles (no torch)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.segmentation.grid import Cell, Grid, IntWindow


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


class CropPlan:
    """Each tile fills the cell that it belongs to; tiles at the same place are run once.

    Parameters
    ----------
    grid
        Where cells and tiles lie.
    cells
        What to compute, in this order.
    """

    def __init__(self, grid: Grid, cells: Sequence[Cell]) -> None:
        by_window: dict[IntWindow, list[Cell]] = {}
        for cell in cells:
            by_window.setdefault(grid.window(cell), []).append(cell)
        self._waiting = deque(Tile(members[0], tuple(members)) for members in by_window.values())
        self._left = len(self._waiting)

    @property
    def tiles_left(self) -> int:
        """How many tiles are still to be run."""
        return self._left

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task, of at most so many tiles; None if there is none."""
        count = min(tiles, len(self._waiting))
        return Task(tiles=tuple(self._waiting.popleft() for _ in range(count))) if count else None

    def finish(self, task: Task) -> list[Cell]:
        """Take note of a task carried out; returns the cells whose level 0 is now written."""
        self._left -= len(task.tiles)
        return [cell for tile in task.tiles for cell in tile.cells]

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
