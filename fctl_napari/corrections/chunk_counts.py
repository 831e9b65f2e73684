"""How many px of each value the chunks of a label image hold: what is painted is known without reading it."""

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


class PaintedIndex:
    """Counts of values other than 0, by chunk.

    Attributes
    ----------
    number
        Of the last record of the journal that is in it, and in the levels on disk.
    """

    def __init__(self) -> None:
        self.number = 0
        self._counts: dict[Chunk, dict[int, int]] = {}

    def __len__(self) -> int:
        """How many chunks hold something."""
        return len(self._counts)

    def __iter__(self) -> Iterator[Chunk]:
        """Chunks that hold something, row by row."""
        return iter(sorted(self._counts))

    def count(self, chunk: Chunk, values: NDArray[np.uint8]) -> None:
        """Take the values of a chunk, uint8 [y, x]."""
        counts = np.bincount(values.ravel(), minlength=256)
        counts[0] = 0
        found = np.flatnonzero(counts)
        if found.size:
            self._counts[chunk] = {int(value): int(counts[value]) for value in found}
        else:
            self._counts.pop(chunk, None)

    def totals(self) -> dict[int, int]:
        """How many px of each value there are."""
        totals: dict[int, int] = {}
        for counts in self._counts.values():
            for value, pixels in counts.items():
                totals[value] = totals.get(value, 0) + pixels
        return dict(sorted(totals.items()))

    def save(self, path: Path, number: int = 0) -> None:
        """Write it, atomically and durably, as what holds up to record ``number``.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable.
        """
        chunks = [[*chunk, counts] for chunk, counts in sorted(self._counts.items())]
        write_json(path, {"fctl_painted": 1, "number": number, "chunks": chunks}, indent=None)
        sync([path])
        self.number = number

    @classmethod
    def load(cls, path: Path) -> PaintedIndex | None:
        """Read one; None if it is missing or damaged: it can be made again of the chunks."""
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
    def of_chunks(cls, folder: Path, read: Callable[[Chunk], NDArray[np.uint8]]) -> PaintedIndex:
        """Make one of the chunk files in the folder of a Zarr v3 array; only these are read."""
        index = cls()
        for file in (folder / "c").glob("*/*"):
            if file.name.isdecimal() and file.parent.name.isdecimal():
                chunk = int(file.parent.name), int(file.name)
                index.count(chunk, read(chunk))
        return index
