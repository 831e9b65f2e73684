"""Zarr arrays of uint8 [y, x] whose chunks are files that are read and written here, one after the other.

Zarr does so in threads, with messages between them that take ten times the CPU time of the chunk itself.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import zarr
from numcodecs.zstd import Zstd
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ZstdCodec
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore

from fctl_napari.exceptions import InputError, reason_of

NOTHING_THERE = FileNotFoundError, IsADirectoryError, NotADirectoryError
"""Errors of reading a chunk that was never written."""


class ChunkFiles:
    """Chunks of an array of uint8 [y, x] as files, where a missing one is 0.

    Parameters
    ----------
    shape : tuple of 2 int
        (height, width), px.
    chunks : tuple of 2 int
        (height, width) of a chunk, px.
    path : callable
        Function that returns the path of a chunk's file from its row and column.
    codec : Zstd or None
        Compression of a file, or None.
    writable : bool
        If False, writing is refused.

    Attributes
    ----------
    shape, chunks : tuple of 2 int
        As given.

    Notes
    -----
    Writes are atomic by chunk. Two writers of one chunk must not write at the same time.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        chunks: tuple[int, int],
        path: Callable[[tuple[int, int]], str],
        codec: Zstd | None,
        writable: bool,
    ) -> None:
        self.shape = shape
        self.chunks = chunks
        self._path = path
        self._codec = codec
        self._writable = writable

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        key : tuple of 2 slice
            Rows and columns, without steps.

        Returns
        -------
        ndarray of uint8 [y, x]
            Values.

        Raises
        ------
        InputError
            A chunk is damaged.
        """
        window = [part.indices(length)[:2] for part, length in zip(key, self.shape, strict=True)]
        result = np.zeros([max(0, stop - start) for start, stop in window], np.uint8)
        for index, inside, target in self._parts(window):
            chunk = self._read(index)
            if chunk is not None:
                result[target] = chunk[inside]
        return result

    def __setitem__(self, key: tuple[slice, slice], values: NDArray[np.uint8]) -> None:
        """Write a window.

        Parameters
        ----------
        key : tuple of 2 slice
            Rows and columns, without steps.
        values : ndarray of uint8 [y, x]
            Values.

        Raises
        ------
        OSError
            The disk is full or the location is not writable.
        ValueError
            The array was opened to be read.
        """
        if not self._writable:
            raise ValueError("this array was opened to be read only")
        window = [part.indices(length)[:2] for part, length in zip(key, self.shape, strict=True)]
        for index, inside, source in self._parts(window):
            part = values[source]
            if part.shape != self.chunks:  # the rest of the chunk stays
                before = None if self._is_whole(index, part.shape) else self._read(index)
                if before is not None and np.array_equal(before[inside], part):
                    continue
                chunk = np.zeros(self.chunks, np.uint8) if before is None else before.copy()
                chunk[inside] = part
                part = chunk
            self._write(index, part)

    def _parts(
        self, window: list[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Yield index of each chunk that a window meets, the common part in the chunk, and in the window."""
        (y0, y1), (x0, x1) = window
        height, width = self.chunks
        for row in range(y0 // height, -(-y1 // height)):
            top, bottom = max(y0, row * height), min(y1, (row + 1) * height)
            for column in range(x0 // width, -(-x1 // width)):
                left, right = max(x0, column * width), min(x1, (column + 1) * width)
                inside = (
                    slice(top - row * height, bottom - row * height),
                    slice(left - column * width, right - column * width),
                )
                yield (row, column), inside, (slice(top - y0, bottom - y0), slice(left - x0, right - x0))

    def _is_whole(self, index: tuple[int, int], shape: tuple[int, ...]) -> bool:
        """Return whether a part of this shape is all of a chunk that lies in the image."""
        sizes = zip(index, self.chunks, self.shape, strict=True)
        return shape == tuple(min(chunk, length - number * chunk) for number, chunk, length in sizes)

    def _read(self, index: tuple[int, int]) -> NDArray[np.uint8] | None:
        path = self._path(index)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except NOTHING_THERE:
            return None
        try:
            decoded = content if self._codec is None else self._codec.decode(content)
            return np.frombuffer(decoded, np.uint8).reshape(self.chunks)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{path}: is damaged ({reason_of(error)}); restore it from a copy, or delete it, which leaves its px "
                "empty."
            ) from error

    def _write(self, index: tuple[int, int], chunk: NDArray[np.uint8]) -> None:
        path = self._path(index)
        if not chunk.any():
            with contextlib.suppress(*NOTHING_THERE):
                os.unlink(path)
            return
        content = chunk.tobytes()
        temporary = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(content if self._codec is None else self._codec.encode(content))
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def chunk_files(array: zarr.Array[Any]) -> ChunkFiles | None:
    """Return the files of an array's chunks.

    Parameters
    ----------
    array : zarr.Array
        Array of uint8 [y, x].

    Returns
    -------
    ChunkFiles or None
        Its chunks. None where zarr has to read and write them: they lie elsewhere than in a folder, in shards, as Zarr
        v2, or are coded in another way than that of arrays that are made here.
    """
    metadata, store = array.metadata, array.store
    if not isinstance(metadata, ArrayV3Metadata) or type(store) is not LocalStore:
        return None
    if array.shards is not None or array.dtype != np.uint8 or len(array.shape) != 2 or array.fill_value != 0:
        return None
    codec: Zstd | None
    match metadata.codecs:
        case (BytesCodec(),):
            codec = None
        case (BytesCodec(), ZstdCodec(level=level, checksum=checksum)):
            codec = Zstd(level=level, checksum=checksum)
        case _:
            return None
    folder, name = os.path.join(store.root, array.path), metadata.chunk_key_encoding.encode_chunk_key
    (height, width), (rows, columns) = array.shape, array.chunks
    return ChunkFiles(
        (height, width),
        (rows, columns),
        lambda index: os.path.join(folder, name(index)),
        codec,
        not store.read_only,
    )
