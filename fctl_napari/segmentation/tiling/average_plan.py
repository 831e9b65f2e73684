"""Plan of a run whose cells are the average of all tiles over them (no torch)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from fctl_napari.segmentation.tiling.grid import Cell, Grid, cells_of
from fctl_napari.segmentation.tiling.plan import Task, Tile
from fctl_napari.segmentation.tiling.progress import InView
from fctl_napari.windows import IntWindow


class AveragePlan:
    """Plan in which each cell is the mean of all tiles over it.

    The logits of a tile wait on disk until its last cell is done. In row-major order about three rows of tiles lie on
    disk, whatever the image's height.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    missing : ndarray of bool [rows, cols]
        Cells to compute, row by row.
    present : collection of Cell, optional
        Tiles whose logits lie on disk from an interrupted run.
    """

    def __init__(self, grid: Grid, missing: NDArray[np.bool_], present: Collection[Cell] = ()) -> None:
        self._grid = grid
        self._unfinished = missing.copy()
        self._upcoming = cells_of(missing)
        self._number_upcoming = int(np.count_nonzero(missing))
        self._on_disk = set(present)
        self._tiles: deque[Cell] = deque()
        self._asked: set[Cell] = set()
        self._lacking: dict[Cell, set[Cell]] = {}
        self._ready: deque[Cell] = deque()

    @property
    def tiles_left(self) -> int:
        """Approximate number of tiles still to be run, where a cell that was not looked at yet counts as one tile."""
        return self._number_upcoming + len(self._asked)

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
        while len(self._tiles) < tiles and (cell := next(self._upcoming, None)) is not None:
            self._number_upcoming -= 1
            self._ask_for(cell)
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
