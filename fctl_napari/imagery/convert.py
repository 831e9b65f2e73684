"""Conversion of images to OME-Zarr pyramids, piece by piece, with verification and resumption."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import zarr

from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import Cancelled, InputError, OutputError
from fctl_napari.files import remove_folder
from fctl_napari.imagery.conversion import (
    CHUNK,
    Copier,
    changeable,
    create_conversion,
    identity_of,
    mask_arrays,
    our_attributes,
    save_attributes,
)
from fctl_napari.imagery.fingerprint import same_pixels
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ome_zarr import ARRAY, open_omezarr
from fctl_napari.imagery.formats.zarr_validity import KEY, described
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.progress import Progress

BLOCK_BYTES = 32 * 2**20
"""Approximate amount that is read and written at once, bytes."""

MOST_BYTES = 512 * 2**20
"""Memory limit of all pieces in process, bytes, unless a single chunk of the source is larger."""


def convert(
    source: Pyramid,
    out: Path | str,
    *,
    chunk: int = CHUNK,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write an image as an OME-Zarr 0.5 pyramid with axes c, y, x and its own data type.

    Each level is the 2 x 2 mean of the one before, of the px that hold data, down to about 1000 px. Georeference, value
    range, bands and the marks of px without data are included, and the file that it was made from
    (``imagery.provenance``). Each piece is read back after it was written. If the conversion is interrupted, the same
    call resumes it; that of an array begins again. If it was finished, the call returns at once, for an array when its
    pixels have been compared.

    Parameters
    ----------
    source : Pyramid
        Image.
    out : Path or str
        Folder to write.
    chunk : int, optional
        Side of a chunk, px.
    threads : int or None, optional
        Number of pieces written at once. None uses every core.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of chunks. It may raise ``Cancelled``.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    OutputError
        ``out`` is something else, the disk is full, the location is not writable, or what was written reads back
        differently.
    InputError
        The source is damaged.
    Cancelled
        ``progress`` raised it. What was written is kept.
    """
    out = Path(out)
    group = _open_or_create(source, out, chunk)
    state = dict(our_attributes(group))
    if state["complete"]:
        return out
    for leftover in out.rglob("*.partial"):
        leftover.unlink(missing_ok=True)  # zarr's temporary files of a process that was killed
    stores, _, _ = ngff.open_levels(group, out)
    copier = Copier(source, stores, mask_arrays(group, len(stores)), out)
    total = sum(_chunks(array.shape[1:], _side(array)) for array in stores)
    starts = [_rows_done(state, index, array.shape[1]) for index, array in enumerate(stores)]
    written = sum(_chunks((start, array.shape[2]), _side(array)) for start, array in zip(starts, stores, strict=True))
    threads = threads or usable_cores()

    def report(done: int) -> None:
        if progress is not None:
            try:
                progress(done, total)
            except Cancelled as reason:
                raise Cancelled(f"{out}: the conversion was stopped; convert again to resume from there.") from reason

    report(written)
    with ThreadPoolExecutor(threads, "fctl-convert") as pool:
        for index, array in enumerate(stores):
            finer = copier.finer(index)
            piece = _piece_shape(finer, 1 if index == 0 else 2, _side(array))
            height, width = array.shape[1:]
            cuts = [(r, c) for r in _cuts(starts[index], height, piece.height) for c in _cuts(0, width, piece.width)]
            copy = partial(copier.copy, index)
            for rows, columns in _in_order(pool, copy, cuts, min(threads, piece.at_most)):
                written += _chunks((rows.stop - rows.start, columns.stop - columns.start), _side(array))
                if columns.stop == width:
                    state["progress"] = {"level": index, "rows": rows.stop}
                    save_attributes(group, out, state)
                report(written)
    save_attributes(group, out, {**state, "complete": True, "progress": None})
    return out


def _open_or_create(source: Pyramid, out: Path, chunk: int) -> zarr.Group:
    identity = identity_of(source)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        taken = OutputError(f"{out}: exists already and is something else; choose another name, or delete it first.")
        try:
            group = ngff.open_group(out, "r+")
        except InputError:
            raise taken from None
        ours = our_attributes(group)
        if "source" not in ours or "complete" not in ours:
            raise taken
        if ours["complete"] and ours["source"] == identity and ours.get(KEY, {}) != described(source.validity):
            marks = f"without the marks of px that hold no data ({source.validity_source})"
            if source.validity is None:
                marks = "with marks of px that hold no data, of which this image has none"
            raise OutputError(f"{out}: was converted {marks}; choose another name, or delete it first.")
        same = ours["source"] == identity and ours.get(KEY, {}) == described(source.validity)
        if same and identity["path"] is None and ours["complete"] and not same_pixels(open_omezarr(out), source):
            raise OutputError(f"{out}: holds other px than this array; choose another name, or delete it first.")
        if same:
            # Nothing shows whether an unfinished array is the same one, so its conversion begins again.
            new = {**changeable(source), **({"progress": None, ARRAY: None} if identity["path"] is None else {})}
            if any(ours.get(name) != value for name, value in new.items()):
                save_attributes(group, out, {**ours, **new})
            return group
        if ours["complete"]:
            raise taken
        if ours.get("progress") and ours["source"].get("path") != identity["path"]:
            raise OutputError(
                f"{out}: holds an unfinished conversion of {ours['source'].get('path')}; choose another name, or "
                "delete it first."
            )
        remove_folder(out)  # interrupted before anything was written, or the same file has changed since

    return create_conversion(source, out, chunk)


def _rows_done(state: dict[str, Any], level: int, height: int) -> int:
    progress = state.get("progress") or {"level": 0, "rows": 0}
    if level < progress["level"]:
        return height
    return int(progress["rows"]) if level == progress["level"] else 0


def _in_order(
    pool: Executor,
    work: Callable[[slice, slice], None],
    cuts: Iterable[tuple[slice, slice]],
    at_once: int,
) -> Iterator[tuple[slice, slice]]:
    """Do the work for each cut, several at once, and yield the cuts in their order as they are done."""
    waiting = deque(cuts)
    running: deque[tuple[tuple[slice, slice], Future[None]]] = deque()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append((waiting[0], pool.submit(work, *waiting.popleft())))
            cut, future = running.popleft()
            future.result()
            yield cut
    finally:
        for _, future in running:
            future.cancel()


@dataclass(frozen=True)
class _Piece:
    height: int
    width: int
    at_most: int


def _piece_shape(finer: Level, step: int, chunk: int) -> _Piece:
    """Compute the size of the pieces to write.

    Pieces are whole chunks, of whole chunks of what is read, of about ``BLOCK_BYTES``. At most as many are processed at
    once as fit into ``MOST_BYTES``.
    """
    rows, columns = (math.ceil(math.ceil(side / step) / chunk) * chunk for side in finer.chunks[:2])
    column_bytes = step * step * finer.shape[2] * finer.dtype.itemsize
    most = max(1, MOST_BYTES // (column_bytes * columns * chunk)) * chunk
    rows = min(rows, most)
    times = max(1, BLOCK_BYTES // (column_bytes * columns * rows))
    return _Piece(rows, columns * times, max(1, MOST_BYTES // (column_bytes * columns * rows * times)))


def _cuts(start: int, stop: int, size: int) -> Iterator[slice]:
    for begin in range(start, stop, size):
        yield slice(begin, min(begin + size, stop))


def _side(array: zarr.Array[Any]) -> int:
    return int(max(array.chunks[1:]))


def _chunks(shape: tuple[int, ...], chunk: int) -> int:
    return math.prod(math.ceil(length / chunk) for length in shape)
