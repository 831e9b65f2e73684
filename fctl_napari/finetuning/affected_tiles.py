"""Choice of the tiles that a fine-tuned network is likely to classify differently from its parent (no torch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.exceptions import InputError
from fctl_napari.finetuning.correction_sources import NOTHING, CorrectionSource
from fctl_napari.finetuning.targets import meet
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import Cell
from fctl_napari.windows import IntWindow

LOW = 0.6
"""Confidence below which a pixel counts as unsure, 0..1."""

SHARE = 0.03
"""Share of a cell's pixels with a low confidence from which the cell is affected, 0..1."""


def affected_cells(
    parent: Segmentation,
    corrections: CorrectionSource,
    *,
    progress: Progress | None = None,
) -> tuple[Cell, ...]:
    """Choose the cells of a parent's segmentation that its child should recompute.

    These are the cells whose tile meets a correction, those with many pixels that the parent was not sure of, and those
    that the parent did not compute. Each chunk is read once.

    Parameters
    ----------
    parent : Segmentation
        The parent's segmentation.
    corrections : CorrectionSource
        The corrections that the child was trained on.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    tuple of Cell
        Cells (row, column), row by row within a block.

    Raises
    ------
    InputError
        The corrections are of another size.
    Cancelled
        ``progress`` raised it.

    Notes ----- Measured on children of the built-in network of the Earth scene and of an aerial one on an unseen
    scene, fine-tuned on 10 strokes of the annotator of ``benchmarks/learn.py`` (two runs of each, reproduced by
    ``benchmarks/affected.py``). Of the pixels that a child classifies differently from its parent, 95 to 96 % and 95 %
    lie in affected cells, which are 29 % and 52 % of all cells. The best choice of as many cells would hold 96 to 97 %
    and 96 %, the cells whose tile meets a correction alone hold 41 % and 45 %. After three strokes of one class on the
    Earth scene it is 94 %, in 29 % of the cells. The further condition that an unsure pixel has a class that
    corrections changed from or to made no difference with 10 strokes, which leave out no class, so it is not used.
    """
    if corrections.shape != parent.shape:
        (h, w), (height, width) = corrections.shape, parent.shape
        raise InputError(
            f"the corrections are {h} x {w} px where {parent.path} is {height} x {width}; they must be of one image."
        )
    grid, low = parent.grid, round(255 * LOW)
    there = parent.done() | parent.inherited()
    boxes = corrections.boxes()
    found: list[Cell] = []
    for block in iter_blocks((0, 0, *parent.shape), grid.step, progress=progress):
        confidence = parent.confidence.read(block)
        for cell in grid.cells_in(block):
            y0, x0, y1, x1 = grid.core(cell)
            values = confidence[y0 - block[0] : y1 - block[0], x0 - block[1] : x1 - block[1]]
            unsure = np.count_nonzero(values < low) >= SHARE * values.size
            if unsure or not there[cell] or _corrected(cell, parent, corrections, boxes):
                found.append(cell)
    return tuple(found)


def cells_to_compute(
    parent: Segmentation, corrections: CorrectionSource | None, progress: Progress | None = None
) -> tuple[tuple[Cell, ...], int]:
    """Choose the cells that a child computes to be compared with its parent.

    They are those of the parent's computed cells that corrections are likely to change.

    Parameters
    ----------
    parent : Segmentation
        The parent's segmentation.
    corrections : CorrectionSource or None
        The corrections that the child was trained on. None if they are not there; all of the parent's cells are chosen.
    progress : Progress or None, optional
        As for ``affected_cells``.

    Returns
    -------
    cells : tuple of Cell
        The cells.
    others : int
        Number of the parent's other cells.

    Raises
    ------
    InputError
        The corrections are of another size.
    Cancelled
        ``progress`` raised it.
    """
    there = parent.done() | parent.inherited()
    if corrections is None:
        cells = tuple((int(row), int(col)) for row, col in np.argwhere(there))
    else:
        affected = affected_cells(parent, corrections, progress=progress)
        cells = tuple(cell for cell in affected if there[cell])  # the rest of the image was not requested yet
    return cells, int(there.sum()) - len(cells)


def _corrected(cell: Cell, parent: Segmentation, corrections: CorrectionSource, boxes: Sequence[IntWindow]) -> bool:
    """Return whether a cell's tile meets a correction that gives a class."""
    window = parent.grid.window(cell)
    if not any(meet(window, box) for box in boxes):
        return False
    values = corrections.read(window)
    return bool(((values != NOTHING) & (values != NOT_SURE)).any())
