"""Write any image as an OME-Zarr pyramid: piece by piece, and again from where it stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.errors import Cancelled, InputError, OutputError
from fctl_napari.imagery import ngff
from fctl_napari.imagery.level import Level, halve
from fctl_napari.imagery.omezarr import OURS
from fctl_napari.imagery.pyramid import Pyramid

BLOCK_BYTES = 32 * 2**20
"""About how much is read and written at once."""

MOST_BYTES = 512 * 2**20
"""At most this much is read at once, where the source's chunks are that large."""


def convert(
    source: Pyramid,
    out: Path | str,
    *,
    chunk: int = 512,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Write an image as an OME-Zarr 0.5 pyramid with axes c, y, x and its own data type.

    Each level is the 2 x 2 mean of the one before, down to about 1000 px. Georeference, value range and bands go
    along. If it is interrupted, the same call goes on where it stopped; if it was finished, it returns at once.

    Parameters
    ----------
    source
        The image.
    out
        The folder to write.
    chunk
        Side of a chunk, px.
    progress
        Called with (chunks written, chunks in all).
    cancelled
        Asked before each piece (about a tenth of a second of work).

    Returns
    -------
    ``out``.

    Raises
    ------
    OutputError
        ``out`` is something else, the disk is full, or the place is not writable.
    InputError
        The source is damaged.
    Cancelled
        ``cancelled`` said so; what was written is kept.
    """
    out = Path(out)
    group = _open_or_create(source, out, chunk)
    state = dict(_ours(group))
    if state["complete"]:
        return out
    stores, _, _ = ngff.open_levels(group, out)
    total = sum(_chunks(array.shape[1:], _side(array)) for array in stores)
    written = 0
    for index, array in enumerate(stores):
        finer = source.levels[0] if index == 0 else Level(stores[index - 1], "cyx")
        piece = _piece_shape(finer, 1 if index == 0 else 2, _side(array))
        height, width = array.shape[1:]
        start = _rows_done(state, index, height)
        written += _chunks((start, width), _side(array))
        for rows in _cuts(start, height, piece.height):
            for columns in _cuts(0, width, piece.width):
                if cancelled is not None and cancelled():
                    raise Cancelled(f"{out}: the conversion was stopped; convert again to go on from there.")
                block = _read(source, finer, index, rows, columns)
                with ngff.writing(out):
                    array[:, rows, columns] = block.transpose(2, 0, 1)
                written += _chunks((rows.stop - rows.start, columns.stop - columns.start), _side(array))
                if progress is not None:
                    progress(written, total)
            state["progress"] = {"level": index, "rows": rows.stop}
            _save(group, out, state)
    _save(group, out, {**state, "complete": True, "progress": None})
    return out


def _open_or_create(source: Pyramid, out: Path, chunk: int) -> zarr.Group:
    identity = _identity(source)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        taken = OutputError(f"{out}: exists already and is something else; choose another name, or delete it first.")
        try:
            group = ngff.open_group(out, "r+")
        except InputError:
            raise taken from None
        ours = _ours(group)
        if ours.get("source") != identity or "complete" not in ours:
            raise taken
        if identity["path"] is None:
            if ours["complete"]:
                raise taken
            # Nothing tells whether it is the same array: begin again.
            _save(group, out, {**ours, "progress": None})
        return group

    def fill(group: zarr.Group) -> None:
        levels = ngff.create_levels(group, "cyx", source.shape, chunk, source.dtype, source.channels)
        multiscale = ngff.multiscale_metadata(
            source.name, "cyx", len(levels), kind="mean", pixel_size=source.pixel_size, unit=source.unit, centred=True
        )
        ome: dict[str, Any] = {"version": ngff.VERSION, "multiscales": [multiscale]}
        if source.channels == 3 and source.dtype == np.uint8:
            ome["omero"] = _rgb_channels()
        ours: dict[str, Any] = {"source": identity, "complete": False}
        if source.value_range is not None:
            ours["value_range"] = list(source.value_range)
        if source.bands is not None:
            ours["bands"] = list(source.bands)
        if source.georeference is not None:
            ours["georeference"] = {
                "crs": source.georeference.crs,
                "transform": list(source.georeference.transform),
            }
        group.update_attributes({"ome": ome, OURS: ours})

    return ngff.create_group(out, fill)


def _identity(source: Pyramid) -> dict[str, Any]:
    """What must be the same for a conversion to go on."""
    path = None if source.path is None else Path(source.path).resolve()
    return {
        "path": None if path is None else str(path),
        "modified_ns": None if path is None else path.stat().st_mtime_ns,
        "shape": list(source.shape),
        "channels": source.channels,
        "dtype": str(source.dtype),
    }


def _ours(group: zarr.Group) -> dict[str, Any]:
    ours = group.attrs.asdict().get(OURS)
    return ours if isinstance(ours, dict) else {}


def _save(group: zarr.Group, out: Path, state: dict[str, Any]) -> None:
    with ngff.writing(out):
        group.update_attributes({OURS: {key: value for key, value in state.items() if value is not None}})


def _rows_done(state: dict[str, Any], level: int, height: int) -> int:
    progress = state.get("progress") or {"level": 0, "rows": 0}
    if level < progress["level"]:
        return height
    return int(progress["rows"]) if level == progress["level"] else 0


def _read(source: Pyramid, finer: Level, index: int, rows: slice, columns: slice) -> NDArray[Any]:
    if index == 0:
        return source.read_native((rows.start, columns.start, rows.stop, columns.stop))
    return halve(finer[2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop])


@dataclass(frozen=True)
class _Piece:
    height: int
    width: int


def _piece_shape(finer: Level, step: int, chunk: int) -> _Piece:
    """Size of the pieces to write: whole chunks, of whole chunks of what is read, of about ``BLOCK_BYTES``."""
    rows, columns = (math.ceil(math.ceil(side / step) / chunk) * chunk for side in finer.chunks[:2])
    column_bytes = step * step * finer.shape[2] * finer.dtype.itemsize
    most = max(1, MOST_BYTES // (column_bytes * columns * chunk)) * chunk
    rows = min(rows, most)
    times = max(1, BLOCK_BYTES // (column_bytes * columns * rows))
    return _Piece(rows, columns * times)


def _cuts(start: int, stop: int, size: int) -> Iterator[slice]:
    for begin in range(start, stop, size):
        yield slice(begin, min(begin + size, stop))


def _side(array: zarr.Array[Any]) -> int:
    return int(max(array.chunks[1:]))


def _chunks(shape: tuple[int, ...], chunk: int) -> int:
    return math.prod(math.ceil(length / chunk) for length in shape)


def _rgb_channels() -> dict[str, Any]:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    colours = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}
    return {
        "channels": [
            {"label": name, "color": colour, "active": True, "window": dict(window)} for name, colour in colours.items()
        ],
        "rdefs": {"model": "color"},
    }
