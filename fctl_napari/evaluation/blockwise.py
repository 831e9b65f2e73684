"""Iteration over stored arrays block by block, so that memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow

BLOCK = 2048
"""Approximate side of a block, px."""


def iter_blocks(
    window: IntWindow,
    chunk: int,
    *,
    progress: Progress | None = None,
) -> Iterator[IntWindow]:
    """Yield blocks that partition a window, row by row.

    Parameters
    ----------
    window : IntWindow
        Window to partition, (y0, x0, y1, x1) px.
    chunk : int
        Side of the chunks, px. Blocks end where chunks end, so that each chunk is read once.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Yields
    ------
    IntWindow
        (y0, x0, y1, x1) px of the next block.

    Raises
    ------
    Cancelled
        ``progress`` raised it.
    """
    y0, x0, y1, x1 = window
    rows, columns = _spans(y0, y1, chunk), _spans(x0, x1, chunk)
    total = len(rows) * len(columns)
    if progress is not None:
        progress(0, total)
    for done, (row, column) in enumerate(((r, c) for r in rows for c in columns), 1):
        yield row[0], column[0], row[1], column[1]
        if progress is not None:
            progress(done, total)


def _spans(start: int, stop: int, chunk: int) -> list[tuple[int, int]]:
    """Cut a range into spans that end where chunks end."""
    step = max(1, BLOCK // chunk) * chunk
    cuts = [start, *range((start // step + 1) * step, stop, step), stop]
    return list(pairwise(cuts))
