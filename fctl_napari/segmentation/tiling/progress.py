"""RunProgress of a run, its rate and the estimated time left (no torch)."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from fctl_napari.windows import IntWindow

State = Literal["starting", "running", "done", "cancelled", "failed"]

TASK_SECONDS = 1.0
"""Intended duration of a task, s.

An explanation waits for the task under way. At the end of each, cores run out of tiles for some 40 ms.
"""

TASK_TILES = 512
"""Largest number of tiles in one task."""

LIVE_TASK_SECONDS = 0.2
"""Intended duration of a task of a live run, s. Tiles that left the view meanwhile are finished first."""

RATE_SECONDS = 15.0
"""Time over which the rate is measured, s."""


@dataclass(frozen=True)
class InView:
    """RunProgress of the tiles in view.

    Attributes
    ----------
    done, total : int
        Number of cells in view that are done, and number of all cells in view.
    waiting : int
        Tiles in view that are under way or will be computed. They are fewer than the missing ones where those are too
        many to be computed unasked.
    """

    done: int
    total: int
    waiting: int


@dataclass(frozen=True)
class RunProgress:
    """An event of a run.

    Attributes
    ----------
    state : State
        State of the run; the last three values are final.
    done, total : int
        Cells that are done, and cells that the region has (those done earlier included).
    tiles_per_second : float or None
        Recent rate; None before the first tile.
    seconds_left : float or None
        Estimated time left, s; None before the first tile.
    windows : tuple of IntWindow
        Windows that are new in the store since the last event, full-resolution px.
    error : BaseException or None
        Reason of a failure. An ``FctlError`` is for the user, anything else is a bug.
    device : str or None
        Device on which the network runs, once it is known.
    memory_bytes : int or None
        Memory of the worker that reported last, once it is known; on a GPU the GPU's.
    view : InView or None
        RunProgress in the view that ``Run.look`` set, if it did.
    empty : int
        Cells of these that hold no data, as a coarse level of the image shows. They cost no time.
    """

    state: State
    done: int = 0
    total: int = 0
    tiles_per_second: float | None = None
    seconds_left: float | None = None
    windows: tuple[IntWindow, ...] = ()
    error: BaseException | None = None
    device: str | None = None
    memory_bytes: int | None = None
    view: InView | None = None
    empty: int = 0

    @property
    def note(self) -> str:
        """Rate and device in words, and how many cells hold no data."""
        note = "starting" if self.state == "starting" else ""
        if self.tiles_per_second:
            note = f"{self.tiles_per_second:.1f} tiles/s on {self.device or 'the worker'}"
        return f"{note} ({self.empty} without data)" if self.empty else note


class Pace:
    """Measured speed of the tiles: tiles per task and tiles per second.

    Parameters
    ----------
    task_seconds : float, optional
        Intended duration of a task, s.
    """

    def __init__(self, task_seconds: float = TASK_SECONDS) -> None:
        self._task_seconds = task_seconds
        self._begun: float | None = None
        self._last_rate: float | None = None
        self._seconds_per_tile: float | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def begin(self) -> None:
        """Start the clock, or resume it after a pause."""
        if self._begun is None:
            self._begun = time.monotonic()

    def pause(self) -> None:
        """Stop the clock while there is nothing to do."""
        if self._begun is not None:
            self._last_rate = self.rate()
            self._samples.clear()
            self._begun = None

    def add(self, tiles: int, seconds: float) -> None:
        """Record a task that was carried out.

        Parameters
        ----------
        tiles : int
            Number of tiles that the task ran.
        seconds : float
            Time that it took, s.
        """
        if not tiles:
            return
        latest = seconds / tiles
        before = self._seconds_per_tile
        self._seconds_per_tile = latest if before is None else 0.7 * before + 0.3 * latest
        self._samples.append((time.monotonic(), tiles))

    def tiles_per_task(self) -> int:
        """Return the number of tiles for the next task: one until the first is measured."""
        if self._seconds_per_tile is None:
            return 1
        return max(1, min(TASK_TILES, int(self._task_seconds / max(self._seconds_per_tile, 1e-6))))

    def rate(self) -> float | None:
        """Return the recent rate.

        Returns
        -------
        float or None
            Tiles per second. None before the first tile. After a pause it is the rate before the pause until a tile is
            measured.
        """
        if self._begun is None or not self._samples:
            return self._last_rate
        now = time.monotonic()
        since = max(self._begun, now - RATE_SECONDS)
        while len(self._samples) > 1 and self._samples[0][0] < since:
            self._samples.popleft()
        return sum(tiles for _, tiles in self._samples) / max(now - since, 1e-3)
