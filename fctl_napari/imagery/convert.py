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

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import Cancelled, InputError, OutputError
from fctl_napari.files import remove_folder
from fctl_napari.imagery.fingerprint import same_pixels
from fctl_napari.imagery.formats import ngff, ngff_writing
from fctl_napari.imagery.formats.ome_zarr import OURS, open_omezarr
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.formats.zarr_validity import KEY, described
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.halving import halve_mask, halving
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.old_fingerprint import old_fingerprints
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import Mask, StoredMask
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow

BLOCK_BYTES = 32 * 2**20
"""Approximate amount that is read and written at once, bytes."""

MOST_BYTES = 512 * 2**20
"""Memory limit of all pieces in process, bytes, unless a single chunk of the source is larger."""


def convert(
    source: Pyramid,
    out: Path | str,
    *,
    chunk: int = 512,
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
    state = dict(_ours(group))
    if state["complete"]:
        return out
    for leftover in out.rglob("*.partial"):
        leftover.unlink(missing_ok=True)  # zarr's temporary files of a process that was killed
    stores, _, _ = ngff.open_levels(group, out)
    copier = _Copier(source, stores, _mask_arrays(group, len(stores)), out)
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
                    _save(group, out, state)
                report(written)
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
            new = {**_changeable(source), **({"progress": None} if identity["path"] is None else {})}
            if any(ours.get(name) != value for name, value in new.items()):
                _save(group, out, {**ours, **new})
            return group
        if ours["complete"]:
            raise taken
        if ours.get("progress") and ours["source"].get("path") != identity["path"]:
            raise OutputError(
                f"{out}: holds an unfinished conversion of {ours['source'].get('path')}; choose another name, or "
                "delete it first."
            )
        remove_folder(out)  # interrupted before anything was written, or the same file has changed since

    def fill(group: zarr.Group) -> None:
        shapes = ngff_writing.level_shapes(source.shape)
        levels = ngff_writing.create_levels(group, "cyx", shapes, chunk, source.dtype, source.channels)
        validity = described(source.validity)
        if validity and "values" not in validity:
            ngff_writing.create_levels(group.create_group(KEY), "yx", shapes, chunk, np.uint8)
        multiscale = ngff_writing.multiscale_metadata(
            source.name,
            "cyx",
            ngff_writing.halved_factors(len(levels)),
            kind="mean",
            pixel_size=source.pixel_size,
            translation=source.translation,
            unit=source.unit,
            centred=True,
        )
        ome: dict[str, Any] = {"version": ngff_writing.VERSION, "multiscales": [multiscale]}
        bands = source.bands or (0, 1, 2)
        if source.channels == 3 and source.dtype == np.uint8 and len(set(bands)) == 3:
            ome["omero"] = _rgb_channels(bands)
        ours: dict[str, Any] = {"source": identity, "complete": False, KEY: validity}
        if source.path is not None:
            ours["source_fingerprint"] = old_fingerprints(source)[0]  # for stores of earlier versions
        ours |= {name: value for name, value in _changeable(source).items() if value is not None}
        if any(source.band_names):
            ours["band_names"] = list(source.band_names)
        group.update_attributes({"ome": ome, OURS: ours})

    return ngff_writing.create_group(out, fill)


def source_file(path: Path | str | None) -> dict[str, Any]:
    """Describe the file that a conversion is made from, and its state.

    Parameters
    ----------
    path : Path, str or None
        File, address, or None.

    Returns
    -------
    dict of str to object
        ``path`` and ``modified_ns``. The latter is None for an address, whose state is not known.
    """
    if path is None or is_url(path):
        return {"path": path, "modified_ns": None}
    file = Path(path).resolve()
    holder = zip_file(file) or image_file(file)
    return {"path": str(file), "modified_ns": holder.stat().st_mtime_ns}


def _identity(source: Pyramid) -> dict[str, Any]:
    """Return the properties that must be the same for a conversion to be resumed."""
    return {
        **source_file(source.path),
        "shape": list(source.shape),
        "channels": source.channels,
        "dtype": str(source.dtype),
    }


def _changeable(source: Pyramid) -> dict[str, Any]:
    """Return what may change while the values stay as they are: settings for their display, and the position."""
    located = source.georeference
    return {
        "georeference": None if located is None else {"crs": located.crs, "transform": list(located.transform)},
        "value_range": None if source.value_range is None else list(source.value_range),
        "bands": None if source.bands is None else list(source.bands),
    }


def _ours(group: zarr.Group) -> dict[str, Any]:
    ours = group.attrs.asdict().get(OURS)
    return ours if isinstance(ours, dict) else {}


def _save(group: zarr.Group, out: Path, state: dict[str, Any]) -> None:
    with ngff_writing.writing(out):
        group.update_attributes({OURS: {key: value for key, value in state.items() if value is not None}})


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
class _Copier:
    """Writer of the pieces of a conversion.

    Attributes
    ----------
    source : Pyramid
        Image.
    stores : list of zarr.Array
        Levels to write.
    masks : list of zarr.Array
        Masks of these levels to write. Empty if the image has none, or if values mark what holds no data.
    out : Path
        Folder of the conversion, for messages.
    """

    source: Pyramid
    stores: list[zarr.Array[Any]]
    masks: list[zarr.Array[Any]]
    out: Path

    def finer(self, index: int) -> Level:
        """Return the level that a level is made of."""
        return self.source.levels[0] if index == 0 else Level(self.stores[index - 1], "cyx")

    def copy(self, index: int, rows: slice, columns: slice) -> None:
        """Write one piece of a level and check that it reads back the same."""
        if index == 0:
            window = (rows.start, columns.start, rows.stop, columns.stop)
            block, mask = self.source.read_native(window), self._mask(window) if self.masks else None
        else:
            height, width = self.stores[index - 1].shape[1:]
            window = (2 * rows.start, 2 * columns.start, min(2 * rows.stop, height), min(2 * columns.stop, width))
            try:
                block, mask = self._halved(index, window)
            except Exception as error:  # what was written is read here too
                raise _differs(self.out, index, rows) from error
        self._write(self.stores[index], index, (slice(None), rows, columns), block.transpose(2, 0, 1))
        if mask is not None:
            self._write(self.masks[index], index, (rows, columns), mask[..., 0])

    def _mask(self, window: IntWindow) -> NDArray[np.uint8]:
        assert self.source.validity is not None
        valid = self.source.validity.masks[0].valid(window, None, ())
        return np.where(valid, np.uint8(255), np.uint8(0))

    def _halved(self, index: int, window: IntWindow) -> tuple[NDArray[Any], NDArray[Any] | None]:
        y0, x0, y1, x1 = window
        finer = self.finer(index)
        mask: Mask | None = None if self.source.validity is None else self.source.validity.masks[0]
        if not self.masks:
            return halving(mask, finer.dtype, finer.shape[2])(finer[y0:y1, x0:x1], window), None
        own = Level(self.masks[index - 1], "yx")
        mask = StoredMask(own, 0, finer.shape[:2])
        block = halving(mask, finer.dtype, finer.shape[2])(finer[y0:y1, x0:x1], window)
        return block, halve_mask(own[y0:y1, x0:x1])

    def _write(self, array: zarr.Array[Any], index: int, part: tuple[slice, ...], block: NDArray[Any]) -> None:
        with ngff_writing.writing(self.out):
            array[part] = block
        try:
            stored = np.asarray(array[part])
        except Exception as error:  # codecs raise what they like
            raise _differs(self.out, index, part[-2]) from error
        if not np.array_equal(stored, block, equal_nan=block.dtype.kind == "f"):
            raise _differs(self.out, index, part[-2])


def _mask_arrays(group: zarr.Group, levels: int) -> list[zarr.Array[Any]]:
    """Return the arrays of the masks of a conversion, or nothing where it has none."""
    if KEY not in group:
        return []
    return [group[f"{KEY}/{index}"] for index in range(levels)]  # type: ignore[misc]


def _differs(out: Path, index: int, rows: slice) -> OutputError:
    return OutputError(
        f"{out}: rows {rows.start} to {rows.stop} of level {index} do not read back as they were written; check the "
        "disk, and convert to another path."
    )


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


def _rgb_channels(bands: tuple[int, int, int]) -> dict[str, Any]:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    colors = [("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF")]
    return {
        "channels": [
            {"label": name, "color": color, "active": True, "window": dict(window)}
            for name, color in (colors[bands.index(channel)] for channel in range(3))
        ],
        "rdefs": {"model": "color"},
    }
