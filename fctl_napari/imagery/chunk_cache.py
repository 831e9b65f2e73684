"""A cache of decoded image chunks for windows that share them, and a general cache of the objects used last."""

from __future__ import annotations

import copy
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid

T = TypeVar("T")

CACHE_BYTES = 2**27
"""Default limit, bytes: two rows of RGB chunks of 512 px under a row of tiles in an image 40 000 px wide."""


class LastUsed(Generic[T]):
    """A least-recently-used cache, limited by a number of bytes.

    It is safe to use from several threads.

    Parameters
    ----------
    limit : int
        Bytes that the cache holds at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[int, Future[T]]] = OrderedDict()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of the objects that are kept or being read."""
        return self._held

    def get(self, key: Hashable, nbytes: int, read: Callable[[], T]) -> T:
        """Return an object, reading it if it is not cached.

        If several threads want the same new object, the first one reads it and the others wait.

        Parameters
        ----------
        key : Hashable
            Identity of the object.
        nbytes : int
            Size of the object, bytes. An object larger than the limit is not kept.
        read : callable
            Reads the object. An exception that it raises is raised here and is not remembered.

        Returns
        -------
        T
            The object.
        """
        with self._lock:
            known = self._kept.get(key)
            if known is None:
                future: Future[T] = Future()
                self._kept[key] = nbytes, future
                self._held += nbytes
                while self._held > self.limit:
                    _, (freed, _) = self._kept.popitem(last=False)
                    self._held -= freed
            else:
                self._kept.move_to_end(key)
                future = known[1]
        if known is None:
            try:
                future.set_result(read())
            except BaseException as error:
                self._drop(key, future)
                future.set_exception(error)
        return future.result()

    def peek(self, key: Hashable) -> T | None:
        """Return an object if it is cached and read.

        Parameters
        ----------
        key : Hashable
            Identity of the object.

        Returns
        -------
        T or None
            The object, or None.
        """
        with self._lock:
            known = self._kept.get(key)
            if known is None or not known[1].done() or known[1].exception() is not None:
                return None
            self._kept.move_to_end(key)
            return known[1].result()

    def _drop(self, key: Hashable, future: Future[T]) -> None:
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[1] is future:
                self._held -= known[0]
                del self._kept[key]


ChunkCache = LastUsed[NDArray[Any]]
"""Cache of chunks, keyed by their array and their position in it."""


class CachedArray:
    """A level ``[y, x, channel]``, read by whole chunks through a cache.

    Parameters
    ----------
    level : Level
        Level to read from.
    cache : ChunkCache
        Keeps the level's chunks. One cache may serve several levels.
    """

    def __init__(self, level: Level, cache: ChunkCache) -> None:
        self.shape: tuple[int, ...] = level.shape
        self.dtype: np.dtype[Any] = level.dtype
        self.chunks: tuple[int, ...] = level.chunks
        self._level = level
        self._cache = cache

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> NDArray[Any]:
        """Read a box.

        Parameters
        ----------
        key : tuple of 3 slice
            Three slices with positive steps, for y, x and channel.

        Returns
        -------
        ndarray
            Pixels, [y, x, channel]. They may be a read-only view of a chunk.
        """
        spans = [part.indices(length) for part, length in zip(key, self.shape, strict=True)]
        box = [slice(start, max(start, stop)) for start, stop, _ in spans]
        # indices of the chunks that the box meets, by axis
        grid = [
            range(part.start // chunk, -(-part.stop // chunk)) for part, chunk in zip(box, self.chunks, strict=True)
        ]
        indices = list(itertools.product(*grid))
        steps = tuple(slice(None, None, step) for _, _, step in spans)
        # What exceeds the limit (a whole level, or a single huge chunk) would only evict the chunks that others share.
        if len(indices) * int(np.prod(self.chunks)) * self.dtype.itemsize > self._cache.limit or not indices:
            return self._level[tuple(box)][steps]
        if len(indices) == 1:
            bounds = self._bounds(indices[0])
            inner = tuple(
                slice(part.start - outer.start, part.stop - outer.start)
                for part, outer in zip(box, bounds, strict=True)
            )
            return self._chunk(indices[0])[inner][steps]
        result = np.empty([part.stop - part.start for part in box], self.dtype)
        for index in indices:
            source, target = [], []
            for part, outer in zip(box, self._bounds(index), strict=True):
                start, stop = max(part.start, outer.start), min(part.stop, outer.stop)
                source.append(slice(start - outer.start, stop - outer.start))
                target.append(slice(start - part.start, stop - part.start))
            result[tuple(target)] = self._chunk(index)[tuple(source)]
        return result[steps]

    def _bounds(self, index: tuple[int, ...]) -> tuple[slice, ...]:
        return tuple(
            slice(i * chunk, min((i + 1) * chunk, length))
            for i, chunk, length in zip(index, self.chunks, self.shape, strict=True)
        )

    def _chunk(self, index: tuple[int, ...]) -> NDArray[Any]:
        bounds = self._bounds(index)
        nbytes = int(np.prod([part.stop - part.start for part in bounds])) * self.dtype.itemsize
        return self._cache.get((id(self), *index), nbytes, lambda: self._read(bounds))

    def _read(self, bounds: tuple[slice, ...]) -> NDArray[Any]:
        # A copy with the channels innermost, as every reader wants them. It keeps no other memory alive.
        chunk = np.array(self._level[bounds], order="C")
        chunk.setflags(write=False)  # it is shared from now on
        return chunk


def with_chunk_cache(pyramid: Pyramid, limit: int = CACHE_BYTES) -> Pyramid:
    """Return an image whose reads keep the chunks that they decode for later reads.

    Parameters
    ----------
    pyramid : Pyramid
        Image, which stays as it is. Levels that lie in memory are shared as they are.
    limit : int, optional
        Bytes kept at most, over all levels.

    Returns
    -------
    Pyramid
        Copy of the image with cached levels.
    """
    cache = ChunkCache(limit)
    cached = copy.copy(pyramid)
    wrapped: dict[int, Level] = {}

    def through_cache(level: Level) -> Level:
        # An alpha channel is read from the level that holds the colors.
        if id(level) not in wrapped:
            wrapped[id(level)] = Level(CachedArray(level, cache)) if level.stored_in_chunks else level
        return wrapped[id(level)]

    cached.levels = [through_cache(level) for level in pyramid.levels]
    if pyramid.validity is not None:
        cached.validity = pyramid.validity.with_levels(through_cache)
    return cached
