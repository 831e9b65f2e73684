"""Counts of labelled pixels by chunk of a label image, so that their area is known without reading it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.files import sync, write_json

Chunk = tuple[int, int]
"""Row and column of a chunk of level 0."""


class ChunkCounts:
    """Counts of values other than 0, by chunk.

    Attributes
    ----------
    number : int
        Number of the last journal record that is included in the counts and in the levels on disk.
    """

    def __init__(self) -> None:
        self.number = 0
        self._counts: dict[Chunk, dict[int, int]] = {}

    def __len__(self) -> int:
        """Return the number of chunks that hold something."""
        return len(self._counts)

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over the chunks that hold something, row by row."""
        return iter(sorted(self._counts))

    def count(self, chunk: Chunk, values: NDArray[np.uint8]) -> None:
        """Count the values of a chunk, in place of its previous ones.

        Parameters
        ----------
        chunk : Chunk
            Row and column of the chunk.
        values : ndarray of uint8 [y, x]
            Values of the chunk.
        """
        counts = np.bincount(values.ravel(), minlength=256)
        counts[0] = 0
        found = np.flatnonzero(counts)
        if found.size:
            self._counts[chunk] = {int(value): int(counts[value]) for value in found}
        else:
            self._counts.pop(chunk, None)

    def totals(self) -> dict[int, int]:
        """Sum the counts over all chunks.

        Returns
        -------
        dict of int to int
            Number of px by value.
        """
        totals: dict[int, int] = {}
        for counts in self._counts.values():
            for value, pixels in counts.items():
                totals[value] = totals.get(value, 0) + pixels
        return dict(sorted(totals.items()))

    def save(self, path: Path, number: int = 0) -> None:
        """Write the counts, atomically and durably.

        Parameters
        ----------
        path : Path
            File to write.
        number : int, optional
            Number of the last journal record that they include.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable.
        """
        chunks = [[*chunk, counts] for chunk, counts in sorted(self._counts.items())]
        write_json(path, {"fctl_painted": 1, "number": number, "chunks": chunks}, indent=None)
        sync([path])
        self.number = number

    @classmethod
    def load(cls, path: Path) -> ChunkCounts | None:
        """Read counts.

        Parameters
        ----------
        path : Path
            File that :meth:`save` wrote.

        Returns
        -------
        ChunkCounts or None
            Counts. None if the file is missing or damaged, in which case they can be rebuilt from the chunks.
        """
        try:
            document: dict[str, Any] = json.loads(path.read_text("utf-8"))
            index = cls()
            index.number = int(document["number"])
            for row, column, counts in document["chunks"]:
                index._counts[int(row), int(column)] = {int(value): int(pixels) for value, pixels in counts.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return index

    @classmethod
    def of_chunks(cls, folder: Path, read: Callable[[Chunk], NDArray[np.uint8]]) -> ChunkCounts:
        """Count the values in the chunk files of a Zarr v3 array. Only these chunks are read.

        Parameters
        ----------
        folder : Path
            Folder of the array.
        read : callable
            Reads a chunk as uint8 [y, x].

        Returns
        -------
        ChunkCounts
            Counts of all chunks.
        """
        index = cls()
        for file in (folder / "c").glob("*/*"):
            if file.name.isdecimal() and file.parent.name.isdecimal():
                chunk = int(file.parent.name), int(file.name)
                index.count(chunk, read(chunk))
        return index
