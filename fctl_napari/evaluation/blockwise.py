"""Going over what is stored, block by block, so that memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from fctl_napari.errors import Cancelled, InputError
from fctl_napari.imagery.level import IntWindow

BLOCK = 2048
"""About the side of a block, px."""

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` with counts of blocks."""


def clip(region: IntWindow | None, shape: tuple[int, int], *, margin: int = 0) -> IntWindow:
    """Cut a region to an image.

    Parameters
    ----------
    region
        (y0, x0, y1, x1) px; None: the whole image.
    shape
        (height, width) px.
    margin
        Taken along on every side, as far as the image goes, px.

    Raises
    ------
    InputError
        The region holds no pixel of the image.
    """
    height, width = shape
    y0, x0, y1, x1 = region or (0, 0, height, width)
    y0, x0, y1, x1 = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
    if y0 >= y1 or x0 >= x1:
        raise InputError(
            f"region {' '.join(map(str, region or ()))} holds no pixel of the {height} x {width} px image (height x "
            f"width); give Y0 X0 Y1 X1 with Y0 < Y1 and X0 < X1."
        )
    return max(y0 - margin, 0), max(x0 - margin, 0), min(y1 + margin, height), min(x1 + margin, width)


def walk(
    window: IntWindow,
    chunk: int,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[IntWindow]:
    """Yield blocks that partition a window, row by row.

    Parameters
    ----------
    window
        (y0, x0, y1, x1) px.
    chunk
        Blocks end where chunks of this many px end, so that each chunk is read once.
    progress
        Told after each block.
    cancelled
        Asked before each block.

    Raises
    ------
    Cancelled
        It answered True.
    """
    y0, x0, y1, x1 = window
    rows, columns = _spans(y0, y1, chunk), _spans(x0, x1, chunk)
    total = len(rows) * len(columns)
    for done, (row, column) in enumerate(((r, c) for r in rows for c in columns), 1):
        if cancelled is not None and cancelled():
            raise Cancelled("stopped; nothing was kept.")
        yield row[0], column[0], row[1], column[1]
        if progress is not None:
            progress(done, total)


def _spans(start: int, stop: int, chunk: int) -> list[tuple[int, int]]:
    step = max(1, BLOCK // chunk) * chunk
    cuts = [start, *range((start // step + 1) * step, stop, step), stop]
    return list(pairwise(cuts))
