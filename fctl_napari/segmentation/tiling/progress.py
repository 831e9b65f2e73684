"""How far a run is, how fast, and how long it will take (no torch)."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from fctl_napari.windows import IntWindow

State = Literal["starting", "running", "done", "cancelled", "failed"]

TASK_SECONDS = 0.5
"""How long a task should take: a cancel waits for the one under way, and each costs 20 ms of messages."""

TASK_TILES = 512
"""Most tiles in one task."""

LIVE_TASK_SECONDS = 0.2
"""The same where the user looks on: what left the view meanwhile is finished first."""

RATE_SECONDS = 15.0
"""The rate is that of the last seconds."""


@dataclass(frozen=True)
class InView:
    """How far the tiles in view are.

    Attributes
    ----------
    done, total
        Cells in view that are done, and all of them.
    waiting
        Tiles in view that are under way or will be computed. Fewer than are missing where those are too many to be
        computed unasked.
    """

    done: int
    total: int
    waiting: int


@dataclass(frozen=True)
class RunProgress:
    """An event of a run.

    Attributes
    ----------
    state
        The last three are final.
    done, total
        Cells that are done and cells that the region has (done earlier ones included).
    tiles_per_second
        Of late; None before the first tile.
    seconds_left
        Estimate; None before the first tile.
    windows
        What is new in the store since the last event, full-resolution px.
    error
        Why it failed: an ``FctlError`` is for the user, anything else is a bug.
    device
        Where the network runs, once it is known.
    memory_bytes
        Of the worker that reported last, once it is known; on a GPU the GPU's.
    view
        What :meth:`Run.look` asked for, if it did.
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


class Pace:
    """Measures tiles: how many fit into a task, and how many are done a second.

    Parameters
    ----------
    task_seconds
        How long a task should take.
    """

    def __init__(self, task_seconds: float = TASK_SECONDS) -> None:
        self._task_seconds = task_seconds
        self._begun: float | None = None
        self._last_rate: float | None = None
        self._seconds_per_tile: float | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def begin(self) -> None:
        """Start the clock, or go on after a pause."""
        if self._begun is None:
            self._begun = time.monotonic()

    def pause(self) -> None:
        """Stop the clock while there is nothing to do."""
        if self._begun is not None:
            self._last_rate = self.rate()
            self._samples.clear()
            self._begun = None

    def add(self, tiles: int, seconds: float) -> None:
        """Take note of a task: how many tiles it ran, and how long it took."""
        if not tiles:
            return
        latest = seconds / tiles
        before = self._seconds_per_tile
        self._seconds_per_tile = latest if before is None else 0.7 * before + 0.3 * latest
        self._samples.append((time.monotonic(), tiles))

    def tiles_per_task(self) -> int:
        """How many tiles the next task should have; one until the first is measured."""
        if self._seconds_per_tile is None:
            return 1
        return max(1, min(TASK_TILES, int(self._task_seconds / max(self._seconds_per_tile, 1e-6))))

    def rate(self) -> float | None:
        """Tiles per second of late, before a pause if need be; None before the first."""
        if self._begun is None or not self._samples:
            return self._last_rate
        now = time.monotonic()
        since = max(self._begun, now - RATE_SECONDS)
        while len(self._samples) > 1 and self._samples[0][0] < since:
            self._samples.popleft()
        return sum(tiles for _, tiles in self._samples) / max(now - since, 1e-3)
