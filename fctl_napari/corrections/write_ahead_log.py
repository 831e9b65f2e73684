"""What keeps the levels of corrections in step with their journal, and counts what is painted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal

from fctl_napari.corrections.chunk_counts import ChunkCounts
from fctl_napari.corrections.correction_store import INDEX, JOURNAL, CorrectionStore
from fctl_napari.corrections.journal import Journal
from fctl_napari.corrections.regions import Blob, ChunkRegions
from fctl_napari.corrections.undo_history import History, Piece, Planes
from fctl_napari.errors import OutputError
from fctl_napari.windows import IntWindow

SETTLE_EVERY = 16
"""After so many strokes the chunks are made durable, and the journal is no longer needed to restore them."""


class WriteAheadLog:
    """Journal, levels and counts, changed together.

    When it is made, strokes that are in the journal and perhaps not in the levels are painted again (by a writer), or
    their chunks are counted anew (by a reader).

    Parameters
    ----------
    canvas
        The levels.
    writable
        Whether they may be changed.

    Attributes
    ----------
    history
        The strokes.
    behind
        Pieces that are not in the levels yet.

    Raises
    ------
    InputError
        The journal cannot be read.
    OutputError
        The disk is full or the place is not writable.
    """

    def __init__(self, canvas: CorrectionStore, *, writable: bool) -> None:
        self._canvas = canvas
        self._path = canvas.labels.path
        self.history = History(Journal(self._path / JOURNAL, writable=writable))
        index = ChunkCounts.load(self._path / INDEX)
        self._index = index or ChunkCounts.of_chunks(self._path / "0", canvas.values)
        self.history.number = max(self.history.number, self._index.number)
        self._regions = ChunkRegions()
        self.behind = self.history.changed_after(self._index.number)
        if not writable:
            for chunk in {chunk for piece in self.behind for chunk in canvas.chunks(piece.window)}:
                self._index.count(chunk, canvas.values(chunk))
        elif self.behind:
            canvas.remove_temporaries([piece.window for piece in self.behind])
            self.settle()

    def add(self, facts: dict[str, Any], planes: Planes, action: int | None) -> Piece:
        """Paint a stroke; see ``History.add``.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable. The stroke is not there; or it is in the journal, and
            :meth:`catch_up` goes on.
        """
        piece = self.history.add(facts, planes, action)
        self._bring([piece])
        return piece

    def turn(self, op: Literal["undo", "redo"], action: int) -> list[Piece]:
        """Undo or redo an action; raises as :meth:`add`."""
        pieces = self.history.turn(op, action)
        self._bring(pieces)
        return pieces

    def _bring(self, pieces: list[Piece]) -> None:
        self.behind.extend(pieces)
        self.catch_up()
        if self.history.number - self._index.number >= SETTLE_EVERY:
            with suppress(OutputError):  # the strokes are in the journal; the next one tries again
                self.settle()

    def catch_up(self) -> None:
        """Bring the levels in step with the journal.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable; calling it again goes on.
        """
        while self.behind:
            piece = self.behind[0]
            for chunk, values in self._canvas.put(piece.window, *self.history.resolve(piece)):
                self._index.count(chunk, values)
                self._regions.drop(chunk)
            self.behind.pop(0)

    def settle(self) -> None:
        """Make the levels durable, and say so; then the journal may be shortened.

        Raises
        ------
        OutputError
            The disk is full or the place is not writable; the journal holds all that is not durable yet.
        """
        self.catch_up()
        if self._index.number < self.history.number:
            self._canvas.settle()
            self._index.save(self._path / INDEX, self.history.number)
            self.history.shorten()

    def totals(self) -> dict[int, int]:
        """How many px of each value there are."""
        return self._index.totals()

    def windows(self) -> Iterator[IntWindow]:
        """The chunks that hold something, row by row."""
        return iter([self._canvas.chunk_window(chunk) for chunk in self._index])

    def blobs(self) -> list[Blob]:
        """Regions of what is painted; only chunks that changed since the last call are read."""
        for chunk in self._index:
            if chunk not in self._regions:
                window = self._canvas.chunk_window(chunk)
                self._regions.add(chunk, self._canvas.state(window), window)
        return self._regions.join()
