"""Undo state of the strokes in the journal of corrections, and the pixels that result from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.journal import Entry, Journal
from fctl_napari.correcting.strokes import Piece, Planes
from fctl_napari.windows import IntWindow

KEPT_ACTIONS = 100
"""Number of the last actions that can be undone. The journal is shortened when it holds twice as many."""


class History:
    """The strokes of a journal, and their undo state.

    The value of a pixel is defined by replay: over what was there before the first stroke that is kept, the strokes
    that are not undone, in the order in which they were painted.

    Parameters
    ----------
    journal : Journal
        Opened journal.

    Attributes
    ----------
    journal : Journal
        Journal of the strokes.
    number : int
        Number of the last record.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._load(journal.entries)

    def _load(self, entries: list[Entry]) -> None:
        self.number = 0
        self._pieces: list[Piece] = []
        self._undone: list[int] = []
        self._gone: set[int] = set()
        self._touched: dict[int, int] = {}  # by action, the last record that changed whether it counts
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        facts = entry.facts
        number, action = int(facts["n"]), int(facts["action"])
        if facts["op"] == "stroke":
            y0, x0, y1, x1 = facts["box"]
            self._pieces.append(
                Piece(number, action, facts["by"], facts["kind"], facts["time"], (y0, x0, y1, x1), facts["px"], entry)
            )
            self._gone.update(self._undone)  # a new stroke ends redo
            self._undone.clear()
        elif facts["op"] == "undo":
            self._undone.append(action)
            self._touched[action] = number
        else:
            self._undone.remove(action)
            self._touched[action] = number
        self.number = max(self.number, number)

    def pieces(self, action: int) -> list[Piece]:
        """List the pieces of an action.

        Parameters
        ----------
        action : int
            Number of the action.

        Returns
        -------
        list of Piece
            Pieces, in the order in which they were painted.
        """
        return [piece for piece in self._pieces if piece.action == action]

    def changed_after(self, number: int) -> list[Piece]:
        """List the pieces that were painted, undone or redone after a record.

        Parameters
        ----------
        number : int
            Number of the record.

        Returns
        -------
        list of Piece
            Pieces, in the order in which they were painted.
        """
        return [p for p in self._pieces if max(p.number, self._touched.get(p.action, 0)) > number]

    def counts(self, piece: Piece) -> bool:
        """Return whether a piece counts.

        Parameters
        ----------
        piece : Piece
            Piece of this history.

        Returns
        -------
        bool
            True if it is neither undone nor discarded.
        """
        return piece.action not in self._gone and piece.action not in self._undone

    @property
    def last_action(self) -> int | None:
        """Number of the newest action, or None."""
        return self._pieces[-1].action if self._pieces else None

    def undoable(self, author: int | None = None) -> int | None:
        """Return the newest action that counts.

        Parameters
        ----------
        author : int or None, optional
            Number of an author, whose actions alone are considered. None considers all.

        Returns
        -------
        int or None
            Number of the action, or None.
        """
        found = (p.action for p in reversed(self._pieces) if self.counts(p) and author in (None, p.author))
        return next(found, None)

    def redoable(self, author: int | None = None) -> int | None:
        """Return the action that was undone last.

        Parameters
        ----------
        author : int or None, optional
            Number of an author, whose actions alone are considered. None considers all.

        Returns
        -------
        int or None
            Number of the action, or None.
        """
        if author is None:
            return self._undone[-1] if self._undone else None
        own = {piece.action for piece in self._pieces if piece.author == author}
        return next((action for action in reversed(self._undone) if action in own), None)

    def add(self, facts: dict[str, Any], planes: Planes, action: int | None) -> Piece:
        """Write a stroke to the journal.

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
            The disk is full or the location is not writable.
        """
        number = self.number + 1
        record = {"op": "stroke", "n": number, "action": number if action is None else action, **facts}
        self._take(self.journal.append(record, planes.pack()))
        return self._pieces[-1]

    def turn(self, op: str, action: int) -> list[Piece]:
        """Write to the journal that an action is undone or redone.

        Parameters
        ----------
        op : str
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
            The disk is full or the location is not writable.
        """
        self._take(self.journal.append({"op": op, "n": self.number + 1, "action": action}))
        return self.pieces(action)

    @contextmanager
    def without_last(self) -> Iterator[None]:
        """Take back the last record: for the block, and for good in the journal if the block ends well.

        Yields
        ------
        None
            Control, once. The history is as it was before that record.

        Raises
        ------
        OutputError
            The location is not writable. The record stays then, as it does where the block raises.
        """
        number, entry = self.number, self.journal.entries[-1]
        self._load(self.journal.entries[:-1])
        self.number = int(entry.facts["n"]) - 1
        try:
            yield
            self.journal.drop_last()
        except BaseException:
            self._load(self.journal.entries)
            self.number = number
            raise

    def planes(self, piece: Piece) -> Planes:
        """Read the planes of a piece.

        Parameters
        ----------
        piece : Piece
            Piece of this history.

        Returns
        -------
        Planes
            Its changes.

        Raises
        ------
        InputError
            The journal cannot be read.
        """
        return Planes.unpack(self.journal.body(piece.entry), piece.shape)

    def resolve(self, piece: Piece) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Replay the px of a piece.

        Parameters
        ----------
        piece : Piece
            Piece of this history.

        Returns
        -------
        mask : ndarray of bool [h, w]
            Mask of the piece.
        state : ndarray of uint8 [2, h, w]
            Values and authors, which hold where the mask is True.

        Raises
        ------
        InputError
            The journal cannot be read.
        """
        own = self.planes(piece)
        left = own.mask.copy()
        state = np.zeros((2, *piece.shape), np.uint8)
        # From the top: the first stroke that counts decides. Below the last one lies what was there before it.
        for other, mine, theirs in self._below(piece):
            planes = own if other is piece else self.planes(other)
            hit = left[mine] & planes.mask[theirs]
            if not hit.any():
                continue
            counts = self.counts(other)
            if other is piece and counts and np.array_equal(left, own.mask):  # nothing lies on top of it
                return own.mask, own.state(piece.author)
            state[:, *mine][:, hit] = planes.state(other.author if counts else None)[:, *theirs][:, hit]
            if counts:
                left[mine] &= ~hit
                if not left.any():
                    break
        return own.mask, state

    def _below(self, piece: Piece) -> Iterator[tuple[Piece, tuple[slice, slice], tuple[slice, slice]]]:
        """Yield all pieces that meet a piece's window, from the top, with the common part in its px and in theirs."""
        for other in reversed(self._pieces):
            common = _common(piece.window, other.window)
            if common is not None:
                yield other, _part(common, piece.window), _part(common, other.window)

    def shorten(self) -> bool:
        """Drop what can no longer be undone, if the journal has grown long.

        All strokes must lie in the levels.

        Returns
        -------
        bool
            True if the journal was rewritten.

        Raises
        ------
        InputError
            The journal cannot be read.
        OutputError
            The disk is full or the location is not writable.
        """
        actions = list(dict.fromkeys(piece.action for piece in self._pieces))
        if len(actions) < 2 * KEPT_ACTIONS:
            return False
        kept = set([action for action in actions if action not in self._gone][-KEPT_ACTIONS:])
        bodies: dict[int, bytes] = {}

        def planes_of(piece: Piece) -> Planes:
            body = bodies.get(piece.number)
            return self.planes(piece) if body is None else Planes.unpack(body, piece.shape)

        # The result of a dropped stroke becomes the state before the next one on top of it.
        for index, piece in enumerate(self._pieces):
            if piece.action in kept:
                continue
            planes = planes_of(piece)
            left, state = planes.mask.copy(), planes.state(piece.author if self.counts(piece) else None)
            for above in self._pieces[index + 1 :]:
                common = _common(piece.window, above.window)
                if common is None:
                    continue
                other = planes_of(above)
                mine, theirs = _part(common, piece.window), _part(common, above.window)
                hit = left[mine] & other.mask[theirs]
                if hit.any():
                    before = other.state(None)
                    before[:, *theirs][:, hit] = state[:, *mine][:, hit]
                    bodies[above.number] = Planes(other.mask, before[:, other.mask], other.after).pack()
                    left[mine] &= ~hit
                    if not left.any():
                        break
        undone = [{"op": "undo", "n": self.number, "action": action} for action in self._undone if action in kept]

        def records() -> Iterator[tuple[dict[str, Any], bytes]]:
            for piece in self._pieces:
                if piece.action in kept:
                    yield piece.entry.facts, bodies.get(piece.number) or self.journal.body(piece.entry)
            for facts in undone:
                yield facts, b""

        self.journal.rewrite(records())
        number = self.number
        self._load(self.journal.entries)
        self.number = number
        return True


def _common(first: IntWindow, second: IntWindow) -> IntWindow | None:
    y0, x0 = max(first[0], second[0]), max(first[1], second[1])
    y1, x1 = min(first[2], second[2]), min(first[3], second[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def _part(window: IntWindow, frame: IntWindow) -> tuple[slice, slice]:
    y, x = frame[:2]
    return slice(window[0] - y, window[2] - y), slice(window[1] - x, window[3] - x)
