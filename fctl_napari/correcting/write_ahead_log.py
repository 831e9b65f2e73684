"""The write-ahead log of corrections, which synchronizes their levels and counts with their journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.chunk_counts import ChunkCounts
from fctl_napari.correcting.correction_store import INDEX, JOURNAL, CorrectionStore
from fctl_napari.correcting.journal import Journal
from fctl_napari.correcting.regions import Blob, ChunkRegions
from fctl_napari.correcting.strokes import Piece, Planes
from fctl_napari.correcting.undo_history import History
from fctl_napari.exceptions import FctlError, OutputError
from fctl_napari.windows import IntWindow

Resolved = tuple[NDArray[np.bool_], NDArray[np.uint8]]
"""Mask of a piece [y, x], and values and authors where it is True [2, y, x]."""

SETTLE_EVERY = 16
"""Number of strokes after which the chunks are made durable, so that the journal is not needed to restore them."""


class WriteAheadLog:
    """Journal, levels and counts, changed together.

    On construction, strokes that are in the journal and perhaps not in the levels are painted again (by a writer), or
    their chunks are counted anew (by a reader).

    Parameters
    ----------
    store : CorrectionStore
        Levels.
    writable : bool
        If True, they may be changed.

    Attributes
    ----------
    history : History
        Strokes of the journal.
    behind : list of Piece
        Pieces that are not in the levels yet.

    Raises
    ------
    InputError
        The journal cannot be read.
    OutputError
        The disk is full or the location is not writable.
    """

    def __init__(self, store: CorrectionStore, *, writable: bool) -> None:
        self._store = store
        self._path = store.labels.path
        self.history = History(Journal(self._path / JOURNAL, writable=writable))
        index = ChunkCounts.load(self._path / INDEX)
        self._index = index or ChunkCounts.of_chunks(self._path / "0", store.values)
        self.history.number = max(self.history.number, self._index.number)
        self._regions = ChunkRegions()
        self.behind = self.history.changed_after(self._index.number)
        if not writable:
            for chunk in {chunk for piece in self.behind for chunk in store.chunks(piece.window)}:
                self._index.count(chunk, store.values(chunk))
        else:
            store.remove_temporaries([piece.window for piece in self.behind])
            self.settle()

    def add(self, facts: dict[str, Any], planes: Planes, action: int | None) -> Piece:
        """Paint a stroke.

        Parameters
        ----------
        facts : dict of str to object
            ``by``, ``kind``, ``time``, ``box`` and ``px`` of the stroke.
        planes : Planes
            Its changes.
        action : int or None
            Number of the action that it belongs to. None begins a new one.

        Returns
        -------
        Piece
            Piece that was written.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. The stroke is not there; or, if the error says so, it is
            in the journal, and :meth:`catch_up` resumes.
        """
        piece = self.history.add(facts, planes, action)
        self._bring([piece], lambda piece: (planes.mask, planes.state(None)))
        return piece

    def turn(self, op: Literal["undo", "redo"], action: int) -> list[Piece]:
        """Undo or redo an action.

        Parameters
        ----------
        op : {"undo", "redo"}
            ``"undo"`` or ``"redo"``.
        action : int
            Number of the action.

        Returns
        -------
        list of Piece
            Pieces of the action.

        Raises
        ------
        OutputError
            See :meth:`add`.
        """
        pieces = self.history.turn(op, action)
        self._bring(pieces, self.history.resolve)
        return pieces

    def _bring(self, pieces: list[Piece], before: Callable[[Piece], Resolved]) -> None:
        """Bring the pieces of the last record to the levels, or take the record back.

        ``before`` returns the px of a piece in a history without that record.
        """
        self.behind.extend(pieces)
        try:
            self.catch_up()
        except FctlError as error:
            try:
                with self.history.without_last():
                    for piece in pieces:
                        self._put(piece, before(piece))
                    self._store.settle()
            except FctlError:
                raise OutputError(
                    f"{str(error).removesuffix('.')}; this change is kept in the journal, and will be there as soon as "
                    "it can be written."
                ) from error
            self.behind.clear()
            raise
        if self.history.number - self._index.number >= SETTLE_EVERY:
            with suppress(OutputError):  # the strokes are in the journal, and the next one tries again
                self.settle()

    def catch_up(self) -> None:
        """Synchronize the levels with the journal.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. Calling it again resumes.
        """
        while self.behind:
            piece = self.behind[0]
            self._put(piece, self.history.resolve(piece))
            self.behind.pop(0)

    def _put(self, piece: Piece, resolved: Resolved) -> None:
        for chunk, values in self._store.put(piece.window, *resolved):
            self._index.count(chunk, values)
            self._regions.drop(chunk)

    def settle(self) -> None:
        """Make the levels durable and record that. The journal may be shortened afterwards.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable. The journal holds all that is not durable yet.
        """
        self.catch_up()
        if self._index.number < self.history.number:
            self._store.settle()
            self._index.save(self._path / INDEX, self.history.number)
            self.history.shorten()

    def totals(self) -> dict[int, int]:
        """Return the number of px of each value."""
        return self._index.totals()

    def windows(self) -> Iterator[IntWindow]:
        """Iterate over the windows of chunks that hold something, row by row.

        Returns
        -------
        iterator of IntWindow
            (y0, x0, y1, x1), px, of each chunk.
        """
        return iter([self._store.chunk_window(chunk) for chunk in self._index])

    def blobs(self) -> list[Blob]:
        """Return the connected components of what is painted. Only chunks that changed since the last call are read.

        Returns
        -------
        list of Blob
            Components of values and authors, from the top.
        """
        for chunk in self._index:
            if chunk not in self._regions:
                window = self._store.chunk_window(chunk)
                self._regions.add(chunk, self._store.state(window), window)
        return self._regions.join()
