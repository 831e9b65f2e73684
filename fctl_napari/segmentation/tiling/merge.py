"""The paper's overlaying merge: logits of all tiles over a cell, summed in bounded memory (no torch)."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import OutputError
from fctl_napari.files import output_error
from fctl_napari.segmentation.tiling.grid import Cell, Grid


def save_logits(folder: Path, tile: Cell, logits: NDArray[np.float32]) -> None:
    """Save a tile's logits until its cells are averaged.

    The file is written whole or not at all.

    Parameters
    ----------
    folder : Path
        Scratch folder; it is made if it is missing.
    tile : Cell
        Cell that names the tile.
    logits : ndarray of float32 [C, T, T]
        Logits of the tile.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    target = _file(folder, tile)
    # One worker writes one tile, but a dead worker may have left a partial file.
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        memory = io.BytesIO()
        np.save(memory, logits)  # into a file, np.save would not say that the disk is full
        part.write_bytes(memory.getbuffer())
        part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise output_error(folder.parent, error) from error


def saved_tiles(folder: Path) -> list[Cell]:
    """List the tiles whose logits are saved.

    Partial files that a dead process left are deleted.

    Parameters
    ----------
    folder : Path
        Scratch folder; it may be missing.

    Returns
    -------
    list of Cell
        Cells that name the tiles, in no particular order.
    """
    found = []
    for file in folder.glob("*") if folder.is_dir() else ():
        if file.suffix == ".part":
            file.unlink(missing_ok=True)
        elif file.suffix == ".npy":
            row, col = file.stem.split("-")
            found.append((int(row), int(col)))
    return found


def drop_logits(folder: Path, tiles: Iterable[Cell]) -> None:
    """Delete the logits of tiles.

    Parameters
    ----------
    folder : Path
        Scratch folder.
    tiles : iterable of Cell
        Cells that name the tiles; those without a file are passed over.
    """
    for tile in tiles:
        _file(folder, tile).unlink(missing_ok=True)


def sum_cell(folder: Path, grid: Grid, cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum the logits of all tiles over a cell's core, in float64 and always in the same order.

    Parameters
    ----------
    folder : Path
        Scratch folder that ``save_logits`` wrote to.
    grid : Grid
        Grid of the cells and tiles.
    cell : Cell
        Cell to sum; all of its tiles must be saved.

    Returns
    -------
    total : ndarray of float64 [C, y, x]
        Sum of the logits.
    count : ndarray of int64 [y, x]
        Number of tiles over each pixel.

    Raises
    ------
    OutputError
        A tile's logits are gone.
    """
    core = grid.core(cell)
    height, width = core[2] - core[0], core[3] - core[1]
    total: NDArray[np.float64] | None = None
    count = np.zeros((height, width), np.int64)
    for tile in grid.tiles_over(core):
        window = grid.window(tile)
        common = core.intersect(window)
        try:
            logits = np.load(_file(folder, tile), mmap_mode="r")
        except (OSError, ValueError) as error:
            raise OutputError(f"{folder}: a tile that waited here is gone; run again.") from error
        if total is None:
            total = np.zeros((logits.shape[0], height, width))
        inside = common.slices_in(core)
        total[:, *inside] += logits[:, *common.slices_in(window)]
        count[inside] += 1
    assert total is not None
    return total, count


def classify(logits: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Compute labels and confidence from logits.

    Parameters
    ----------
    logits : ndarray of float64 [C, y, x]
        Mean logits.

    Returns
    -------
    labels : ndarray of uint8 [y, x]
        k + 1 for class k.
    confidence : ndarray of uint8 [y, x]
        Probability of that class times 255, 1..255.
    """
    chosen = logits.argmax(0)
    probability = 1 / np.exp(logits - logits.max(0)).sum(0)
    return (chosen + 1).astype(np.uint8), np.clip(np.rint(probability * 255), 1, 255).astype(np.uint8)


def _file(folder: Path, tile: Cell) -> Path:
    return folder / f"{tile[0]}-{tile[1]}.npy"
