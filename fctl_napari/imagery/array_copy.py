"""Copies of lazy arrays on disk, of which each part is written when it is first needed."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.cache.entries import folder_size
from fctl_napari.cache.limit import make_room
from fctl_napari.cache.use import in_use, use
from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import remove_folder
from fctl_napari.imagery.conversion import (
    Copier,
    changeable,
    create_conversion,
    mask_arrays,
    our_attributes,
    save_attributes,
)
from fctl_napari.imagery.fingerprint import fingerprint, share_fingerprint
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ome_zarr import ARRAY, open_omezarr
from fctl_napari.imagery.formats.zarr_validity import KEY, described
from fctl_napari.imagery.halving import HalvedArray
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.progress import Progress, no_progress
from fctl_napari.windows import IntWindow, Window

ROOM_BYTES = 2**28
"""Room that is made at once on the disk and in the cache, bytes."""

_copies: weakref.WeakValueDictionary[str, ArrayCopy] = weakref.WeakValueDictionary()
_making = threading.Lock()


def is_lazy(array: Any) -> bool:
    """Return whether the values of an array are read or computed when they are asked for.

    Parameters
    ----------
    array : array_like
        An array of NumPy, dask, zarr or others.

    Returns
    -------
    bool
        False for one in memory, which may be changed at any time and is quickly read.
    """
    if hasattr(array, "dims") and hasattr(array, "chunks"):  # of xarray
        return array.chunks is not None
    return not isinstance(array, np.ndarray) or isinstance(array, np.memmap)


def array_token(*levels: Any, facts: object = None) -> str:
    """Return a word for how an array is read or computed.

    Parameters
    ----------
    *levels : array_like
        The array and its coarser levels.
    facts : object, optional
        What else is known of it: the state of its file, say.

    Returns
    -------
    str
        The same word in each process for the same graph of dask on the same paths. Another one each time for an array
        that does not say how it is computed.
    """
    from dask.base import tokenize

    return str(tokenize(*levels, facts))


class ArrayCopy:
    """Copy of a lazy array: an OME-Zarr whose chunks are written when they are first needed.

    Coarser levels are those of the array where it has them, else they are halved. :func:`copy_of_array` makes it. As
    long as it lives, ``open_image`` opens its path with all px. Other processes read what was filled.

    Parameters
    ----------
    source : Pyramid
        The array.
    group : zarr.Group
        Its folder, open for writing.
    path : Path
        Path of the folder.
    token : str
        See :func:`array_token`.

    Attributes
    ----------
    path : Path
        Path of the folder.
    token : str
        See :func:`array_token`.
    """

    def __init__(self, source: Pyramid, group: zarr.Group, path: Path, token: str) -> None:
        self.path = path
        self.token = token
        self._group = group
        stores, _, _ = ngff.open_levels(group, path)
        halved = {index for index, level in enumerate(source.levels) if isinstance(level.array, HalvedArray)}
        own = frozenset(range(len(stores))) - halved
        self._copier = Copier(source, stores, mask_arrays(group, len(stores)), path, own)
        self._filled = [_written(path / str(index), array) for index, array in enumerate(stores)]
        self._locks = [threading.Lock() for _ in stores]
        self._room = 0
        self._use = use(path)

    @property
    def read(self) -> bool:
        """True if all px of full resolution are there."""
        return bool(self._filled[0].all())

    def open(
        self, *, value_range: tuple[float, float] | None = None, bands: tuple[int, int, int] | None = None
    ) -> Pyramid:
        """Open the copy as an image whose px are filled where they are read.

        Parameters
        ----------
        value_range : tuple of 2 float or None, optional
            See :class:`Pyramid`.
        bands : tuple of 3 int or None, optional
            See :class:`Pyramid`.

        Returns
        -------
        Pyramid
            The image.

        Raises
        ------
        InputError
            The folder is damaged or gone.
        """
        image = open_omezarr(self.path, value_range=value_range, bands=bands, parts=True)
        indices = {level.shape[:2]: index for index, level in enumerate(image.levels)}

        def filled(level: Level) -> Level:
            return Level(_FilledArray(level, self, indices[level.shape[:2]]))

        image.levels = [filled(level) for level in image.levels]
        if image.validity is not None:
            image.validity = image.validity.with_levels(filled)
        share_fingerprint(image, self._copier.source)
        return image

    def fill(self, window: IntWindow, level: int = 0) -> None:
        """Write the chunks of a window that are not there yet.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of the level. What lies outside is left out.
        level : int, optional
            Index of the level.

        Raises
        ------
        InputError
            The array cannot be read there.
        OutputError
            The disk or the cache is full.
        """
        store = self._copier.stores[level]
        height, width = store.shape[1:]
        side_y, side_x = store.chunks[1:]
        inside = Window(*window).clip((height, width))
        if inside.empty:
            return
        rows = range(inside[0] // side_y, -(-inside[2] // side_y))
        columns = range(inside[1] // side_x, -(-inside[3] // side_x))
        with self._locks[level]:
            missing = [chunk for chunk in product(rows, columns) if not self._filled[level][chunk]]
            if not missing:
                return
            if level not in self._copier.own:
                y0, x0 = min(y for y, _ in missing) * side_y, min(x for _, x in missing) * side_x
                y1, x1 = (max(y for y, _ in missing) + 1) * side_y, (max(x for _, x in missing) + 1) * side_x
                self.fill((2 * y0, 2 * x0, 2 * y1, 2 * x1), level - 1)
            self._make_room(len(missing) * side_y * side_x * store.shape[0] * store.dtype.itemsize)

            def write(chunk: tuple[int, int]) -> None:
                top, left = chunk[0] * side_y, chunk[1] * side_x
                self._copier.copy(level, slice(top, min(top + side_y, height)), slice(left, min(left + side_x, width)))
                self._filled[level][chunk] = True

            with ThreadPoolExecutor(min(len(missing), usable_cores()), "fctl-fill") as pool:
                for _ in pool.map(write, missing):
                    pass

    def finish(self, progress: Progress | None = None) -> None:
        """Write all that is not there yet. From then on the copy is an image like any other.

        Parameters
        ----------
        progress : Progress or None, optional
            Called as ``progress(done, total)`` with counts of chunks. It may raise ``Cancelled``.

        Raises
        ------
        InputError
            The array cannot be read.
        OutputError
            The disk or the cache is full.
        Cancelled
            ``progress`` raised it. What was written is kept.
        """
        report = progress or no_progress
        total = sum(filled.size for filled in self._filled)
        for level, filled in enumerate(self._filled):
            side = self._copier.stores[level].chunks[1]
            for row in range(filled.shape[0]):
                report(sum(int(there.sum()) for there in self._filled), total)
                self.fill((row * side, 0, (row + 1) * side, self._copier.stores[level].shape[2]), level)
        report(total, total)
        state = our_attributes(self._group)
        if not state.get("complete"):
            save_attributes(self._group, self.path, {**state, "complete": True})

    def _make_room(self, nbytes: int) -> None:
        """Make room on the disk and in the cache, now and then."""
        self._room -= nbytes
        if self._room < 0:
            self._room = max(ROOM_BYTES, nbytes)
            make_room(self.path, folder_size(self.path) + self._room)


class _FilledArray:
    """A level of a copy, or a mask of it, as [y, x, c]: filled where it is read."""

    def __init__(self, level: Level, copy: ArrayCopy, index: int) -> None:
        self.shape: tuple[int, ...] = level.shape
        self.dtype: np.dtype[Any] = level.dtype
        self.chunks: tuple[int, ...] = level.chunks
        self._level = level
        self._copy = copy
        self._index = index

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> NDArray[Any]:
        (y0, y1, _), (x0, x1, _) = (part.indices(size) for part, size in zip(key[:2], self.shape, strict=False))
        self._copy.fill((y0, x0, y1, x1), self._index)
        return self._level[key]


def copy_at(path: Path | str) -> ArrayCopy | None:
    """Return the copy of an array that this process is making at a path.

    Parameters
    ----------
    path : Path or str
        Path or address.

    Returns
    -------
    ArrayCopy or None
        The copy, or None if there is none.
    """
    return _copies.get(os.path.abspath(path)) if "://" not in str(path) else None


def is_free(path: Path, token: str) -> bool:
    """Return whether the copy of an array can be begun or continued at a path of the cache.

    Parameters
    ----------
    path : Path
        Folder of the copy.
    token : str
        See :func:`array_token`.

    Returns
    -------
    bool
        False while a copy of another token is there that this or another process reads.
    """
    known = copy_at(path)
    if known is not None:
        return known.token == token
    if not path.exists():
        return True
    try:
        stored = our_attributes(ngff.open_group(path)).get(ARRAY) or {}
    except InputError:
        return False
    return stored.get("token") == token or not in_use(path)


def copy_of_array(source: Pyramid, path: Path, token: str) -> ArrayCopy:
    """Begin the copy of an array, or go on with one. Only the blocks of its fingerprint are read.

    Parameters
    ----------
    source : Pyramid
        The array, from ``pyramid_from_array``; with a chunk cache a block that several chunks meet is computed once.
    path : Path
        Folder of the copy.
    token : str
        See :func:`array_token`. Chunks that are there were copied of an array of the same token, or they are removed.

    Returns
    -------
    ArrayCopy
        The copy. It has to be kept as long as the array may be read.

    Raises
    ------
    InputError
        The array cannot be read.
    OutputError
        The folder is something else, or the copy of an array with other px; or it is not writable.
    """
    location = os.path.abspath(path)
    with _making:
        known = _copies.get(location)
        if known is not None and known.token == token and Path(location).is_dir():  # nobody deleted it
            return known
        made = ArrayCopy(source, _open_or_create(source, Path(location), token), Path(location), token)
        _copies[location] = made
    return made


def _open_or_create(source: Pyramid, path: Path, token: str) -> zarr.Group:
    identity = {"token": token, "fingerprint": fingerprint(source)}
    if path.is_dir() and any(path.iterdir()):
        taken = OutputError(f"{path}: exists already and is something else; choose another name, or delete it first.")
        try:
            group = ngff.open_group(path, "r+")
        except InputError:
            raise taken from None
        ours = our_attributes(group)
        if (ours.get("source") or {"path": ""}).get("path") is not None:
            raise taken
        if ours.get(ARRAY) == identity and ours.get(KEY, {}) == described(source.validity):
            save_attributes(group, path, {**ours, **changeable(source)})
            return group
        if ours.get("complete") and fingerprint(open_omezarr(path)) != identity["fingerprint"]:
            raise OutputError(f"{path}: holds other px than this array; choose another name, or delete it first.")
        remove_folder(path)
    return create_conversion(source, path, facts={ARRAY: identity})


def _written(folder: Path, array: zarr.Array[Any]) -> NDArray[np.bool_]:
    """Return which chunks of a level [c, y, x] there are files of."""
    rows, columns = (-(-size // side) for size, side in zip(array.shape[1:], array.chunks[1:], strict=True))
    there = np.zeros((rows, columns), bool)
    for row in range(rows):
        try:
            names = os.listdir(folder / "c" / "0" / str(row))
        except OSError:
            continue
        there[row, [int(name) for name in names if name.isdecimal()]] = True
    return there
