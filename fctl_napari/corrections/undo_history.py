"""Strokes of the journal of corrections: which there are, which are undone, and what each pixel therefore is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.corrections.journal import Entry, Journal
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.windows import IntWindow

KEPT_ACTIONS = 100
"""At least so many of the last actions can be undone; the journal is cut when it holds twice as many."""


@dataclass(frozen=True)
class Stroke:
    """A stroke that is kept, or a larger action that is undone as one.

    Attributes
    ----------
    action
        Its number; later ones have larger ones.
    author
        Who painted it.
    kind
        What was done, for people.
    time
        When, ISO 8601, UTC.
    window
        Bounding box of what it changed, (y0, x0, y1, x1) px.
    pixels
        How many px that was.
    """

    action: int
    author: str
    kind: str
    time: str
    window: IntWindow
    pixels: int

    def joined(self, others: Sequence[Stroke]) -> Stroke:
        """Return this with other parts of the same action."""
        boxes = np.array([stroke.window for stroke in (self, *others)])
        (y0, x0), (y1, x1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
        return replace(self, window=(y0, x0, y1, x1), pixels=self.pixels + sum(stroke.pixels for stroke in others))


@dataclass(frozen=True)
class Planes:
    """What a stroke changes in its window of h x w px.

    Attributes
    ----------
    mask
        Which px, bool [h, w]; n of them.
    before
        Values, and who painted them, of these px when it was painted, uint8 [2, n].
    after
        Its values there, uint8 [n].
    """

    mask: NDArray[np.bool_]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    def pack(self) -> bytes:
        """Compress it."""
        return zlib.compress(np.packbits(self.mask).tobytes() + self.before.tobytes() + self.after.tobytes(), 1)

    @classmethod
    def unpack(cls, body: bytes, shape: tuple[int, int]) -> Planes:
        """Take what :meth:`pack` made, of a window of ``shape``."""
        flat = np.frombuffer(zlib.decompress(body), np.uint8)
        size = shape[0] * shape[1]
        bits = -(-size // 8)
        mask = np.unpackbits(flat[:bits], count=size).astype(bool).reshape(shape)
        values = flat[bits:].reshape(3, -1)
        return cls(mask, values[:2], values[2])

    def state(self, author: int | None) -> NDArray[np.uint8]:
        """Values and authors, uint8 [2, h, w]: as it leaves them with its ``author``, or (None) as they were before."""
        grid = np.zeros((2, *self.mask.shape), np.uint8)
        grid[:, self.mask] = self.before if author is None else with_author(self.after, author)
        return grid


def with_author(values: NDArray[np.uint8], author: int) -> NDArray[np.uint8]:
    """Stack values with their author, uint8 [2, n]; what is erased (0) has none (0)."""
    return np.stack([values, np.where(values != 0, np.uint8(author), np.uint8(0))])


@dataclass(frozen=True)
class Piece:
    """A stroke, or a part of a larger action, as the journal keeps it.

    Attributes
    ----------
    number
        Of its record; later ones lie on top.
    action
        What is undone together has the same number here.
    author
        Number of its author.
    kind, time, window, pixels
        See ``Stroke``.
    entry
        Where its planes are.
    """

    number: int
    action: int
    author: int
    kind: str
    time: str
    window: IntWindow
    pixels: int
    entry: Entry

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of its window, px."""
        y0, x0, y1, x1 = self.window
        return y1 - y0, x1 - x0

    def by(self, author: str) -> Stroke:
        """Give it as a stroke of its author, by name."""
        return Stroke(self.action, author, self.kind, self.time, self.window, self.pixels)


class History:
    """The strokes of a journal, and which of them count.

    What a pixel is, is defined by replay: over what was there before the first stroke that is kept, the strokes that
    are not undone, in the order in which they were painted.

    Parameters
    ----------
    journal
        An opened journal.

    Attributes
    ----------
    number
        Of the last record.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._load()

    def _load(self) -> None:
        self.number = 0
        self._pieces: list[Piece] = []
        self._undone: list[int] = []
        self._gone: set[int] = set()
        self._touched: dict[int, int] = {}  # by action, the last record that changed whether it counts
        for entry in self.journal.entries:
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
        """The pieces of an action."""
        return [piece for piece in self._pieces if piece.action == action]

    def changed_after(self, number: int) -> list[Piece]:
        """The pieces that were painted, undone or redone after a record."""
        return [p for p in self._pieces if max(p.number, self._touched.get(p.action, 0)) > number]

    def counts(self, piece: Piece) -> bool:
        """Tell whether a piece is neither undone nor given up."""
        return piece.action not in self._gone and piece.action not in self._undone

    @property
    def last_action(self) -> int | None:
        """The newest action."""
        return self._pieces[-1].action if self._pieces else None

    def undoable(self, author: int | None = None) -> int | None:
        """The newest action that counts (of an author)."""
        found = (p.action for p in reversed(self._pieces) if self.counts(p) and author in (None, p.author))
        return next(found, None)

    def redoable(self, author: int | None = None) -> int | None:
        """The action that was undone last (of an author)."""
        if author is None:
            return self._undone[-1] if self._undone else None
        own = {piece.action for piece in self._pieces if piece.author == author}
        return next((action for action in reversed(self._undone) if action in own), None)

    def add(self, facts: dict[str, Any], planes: Planes, action: int | None) -> Piece:
        """Write a stroke to the journal; ``action``: which one it belongs to, None: a new one."""
        number = self.number + 1
        record = {"op": "stroke", "n": number, "action": number if action is None else action, **facts}
        self._take(self.journal.append(record, planes.pack()))
        return self._pieces[-1]

    def turn(self, op: str, action: int) -> list[Piece]:
        """Write to the journal that an action is undone (``"undo"``) or redone (``"redo"``); returns its pieces."""
        self._take(self.journal.append({"op": op, "n": self.number + 1, "action": action}))
        return self.pieces(action)

    def planes(self, piece: Piece) -> Planes:
        """Read the planes of a piece."""
        return Planes.unpack(self.journal.body(piece.entry), piece.shape)

    def resolve(self, piece: Piece) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Replay the px of a piece.

        Returns
        -------
        Its mask, bool [h, w]; and values and authors, uint8 [2, h, w], which hold where the mask does.
        """
        own = self.planes(piece)
        left = own.mask.copy()
        state = np.zeros((2, *piece.shape), np.uint8)
        # From the top: a stroke that counts decides; below the last one lies what was there before it.
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
        """All pieces that meet a piece's window, from the top, with the common part in its px and in theirs."""
        for other in reversed(self._pieces):
            common = _common(piece.window, other.window)
            if common is not None:
                yield other, _part(common, piece.window), _part(common, other.window)

    def shorten(self) -> bool:
        """Drop what can no longer be undone, if the journal has grown long; all must lie in the levels.

        Returns
        -------
        Whether it did.
        """
        actions = list(dict.fromkeys(piece.action for piece in self._pieces))
        if len(actions) < 2 * KEPT_ACTIONS:
            return False
        kept = set([action for action in actions if action not in self._gone][-KEPT_ACTIONS:])
        bodies: dict[int, bytes] = {}

        def planes_of(piece: Piece) -> Planes:
            body = bodies.get(piece.number)
            return self.planes(piece) if body is None else Planes.unpack(body, piece.shape)

        # What a dropped stroke leaves becomes what was there before the next one on top of it.
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
        self._load()
        self.number = number
        return True


def _common(first: IntWindow, second: IntWindow) -> IntWindow | None:
    y0, x0 = max(first[0], second[0]), max(first[1], second[1])
    y1, x1 = min(first[2], second[2]), min(first[3], second[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def _part(window: IntWindow, frame: IntWindow) -> tuple[slice, slice]:
    y, x = frame[:2]
    return slice(window[0] - y, window[2] - y), slice(window[1] - x, window[3] - x)


def check_block(block: NDArray[np.uint8], at: tuple[int, int], shape: tuple[int, int], classes: int) -> None:
    """Check what is to be painted.

    Parameters
    ----------
    block
        uint8 [y, x]: 0 = erased, k + 1 = class k, 255 = not sure.
    at
        (y, x) of its first px.
    shape
        Of the image, px.
    classes
        How many there are.

    Raises
    ------
    ValueError
        It reaches outside, is not uint8 [y, x], or holds a value that is no class.
    """
    if block.dtype != np.uint8 or block.ndim != 2:
        raise ValueError(f"a block of corrections is uint8 [y, x], not {block.dtype} of shape {block.shape}")
    (y0, x0), (height, width) = at, shape
    y1, x1 = y0 + block.shape[0], x0 + block.shape[1]
    if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
        raise ValueError(f"block ({y0}, {x0}, {y1}, {x1}) reaches outside {shape}")
    strays = block[(block > classes) & (block != NOT_SURE)]
    if strays.size:
        raise ValueError(f"value {strays[0]} is no class; there are {classes}, and 255 for not sure")
