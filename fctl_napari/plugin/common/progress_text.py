"""The progress of a run in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fctl_napari.segmentation.tiling.grid import default_overlap
from fctl_napari.words import count_of, size_of

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import RunProgress


def describe(progress: RunProgress) -> str:
    """Describe the progress of a run, in one line.

    Parameters
    ----------
    progress : RunProgress
        Progress of the run.

    Returns
    -------
    str
        The line.
    """
    tiles = f"{progress.done:,} of {count_of(progress.total, 'tile')}" + (
        f" ({progress.empty} without data)" * bool(progress.empty)
    )
    if progress.state == "starting":
        return "Starting the worker…"
    if progress.state == "running":
        view = progress.view
        parts = [
            tiles
            if view is None
            else f"In view {view.done:,} of {count_of(view.total, 'tile')}, {view.waiting} waiting"
        ]
        if progress.tiles_per_second:
            parts.append(f"{progress.tiles_per_second:.1f} tiles/s")
        if progress.seconds_left is not None and view is None:
            parts.append(f"{duration(progress.seconds_left)} left")
        if progress.device:
            parts.append(progress.device)
        if progress.memory_bytes is not None:
            parts.append(f"{progress.memory_bytes / 1e6:.0f} MB")
        return " · ".join(parts)
    return {"done": f"Done: {tiles}.", "cancelled": f"Cancelled: {tiles} are kept."}.get(
        progress.state, f"Failed: {tiles} are kept."
    )


def duration(seconds: float) -> str:
    """Return a time in one or two units: ``"8 s"``, ``"3 min 20 s"``, ``"2 h 5 min"``.

    Parameters
    ----------
    seconds : float
        The time, s.

    Returns
    -------
    str
        The time in words.
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def offer(progress: RunProgress, tile_size: int) -> str:
    """Describe the cost of running the tiles that are in view but were not requested.

    Parameters
    ----------
    progress : RunProgress
        Progress of a live run.
    tile_size : int
        Side of the network's tile, px.

    Returns
    -------
    str
        Number of tiles, time and size on disk. Empty if there are no such tiles.
    """
    view = progress.view
    if view is None or view.waiting or view.done == view.total:
        return ""
    tiles = view.total - view.done
    side = tile_size - default_overlap(tile_size)
    size = size_of(tiles * side**2 * 2 * 4 / 3)  # classes and confidence with their coarser levels, uncompressed
    rate = progress.tiles_per_second
    time = f"about {duration(tiles / rate)}" if rate else "speed not known yet"
    return f"Run the {count_of(tiles, 'tile')} in view\n{time}, up to {size}"
