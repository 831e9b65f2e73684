"""Strokes of corrections, and the pieces and planes that the journal keeps of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.journal import Entry
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.windows import IntWindow, whole_numbers


@dataclass(frozen=True)
class Stroke:
    """A saved stroke, or a larger action that is undone as one.

    Attributes
    ----------
    action : int
        Number of the action. Later actions have larger numbers.
    author : str
        Name of the author.
    kind : str
        Kind of the change, for users.
    time : str
        Time of the stroke, ISO 8601, UTC.
    window : IntWindow
        Bounding box of the changed px, (y0, x0, y1, x1).
    pixels : int
        Number of changed px.
    """

    action: int
    author: str
    kind: str
    time: str
    window: IntWindow
    pixels: int

    def joined(self, others: Sequence[Stroke]) -> Stroke:
        """Join the stroke with other parts of the same action.

        Parameters
        ----------
        others : sequence of Stroke
            Other parts of the action.

        Returns
        -------
        Stroke
            Stroke with the common bounding box and the sum of the px.
        """
        boxes = np.array([stroke.window for stroke in (self, *others)])
        (y0, x0), (y1, x1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
        return replace(self, window=(y0, x0, y1, x1), pixels=self.pixels + sum(stroke.pixels for stroke in others))


@dataclass(frozen=True)
class Planes:
    """The changes of a stroke in its window of h x w px.

    Attributes
    ----------
    mask : ndarray of bool [h, w]
        True for the n px that are changed.
    before : ndarray of uint8 [2, n]
        Values and authors of these px before the stroke.
    after : ndarray of uint8 [n]
        Values of these px after the stroke.
    """

    mask: NDArray[np.bool_]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    def pack(self) -> bytes:
        """Compress the planes to bytes."""
        return zlib.compress(np.packbits(self.mask).tobytes() + self.before.tobytes() + self.after.tobytes(), 1)

    @classmethod
    def unpack(cls, body: bytes, shape: tuple[int, int]) -> Planes:
        """Decompress planes that :meth:`pack` compressed.

        Parameters
        ----------
        body : bytes
            Compressed planes.
        shape : tuple of 2 int
            (h, w) of the stroke's window, px.

        Returns
        -------
        Planes
            Planes.
        """
        flat = np.frombuffer(zlib.decompress(body), np.uint8)
        size = shape[0] * shape[1]
        bits = -(-size // 8)
        mask = np.unpackbits(flat[:bits], count=size).astype(bool).reshape(shape)
        values = flat[bits:].reshape(3, -1)
        return cls(mask, values[:2], values[2])

    def state(self, author: int | None) -> NDArray[np.uint8]:
        """Return values and authors of the window, after or before the stroke.

        Parameters
        ----------
        author : int or None
            Number of the stroke's author, for the state after it. None returns the state before it.

        Returns
        -------
        ndarray of uint8 [2, h, w]
            Values and authors, 0 where the mask is False.
        """
        grid = np.zeros((2, *self.mask.shape), np.uint8)
        grid[:, self.mask] = self.before if author is None else with_author(self.after, author)
        return grid


def with_author(values: NDArray[np.uint8], author: int) -> NDArray[np.uint8]:
    """Stack values with their author. Erased px (0) have no author (0).

    Parameters
    ----------
    values : ndarray of uint8 [n]
        Values.
    author : int
        Number of the author.

    Returns
    -------
    ndarray of uint8 [2, n]
        Values and authors.
    """
    return np.stack([values, np.where(values != 0, np.uint8(author), np.uint8(0))])


@dataclass(frozen=True)
class Piece:
    """A stroke, or a part of a larger action, as the journal keeps it.

    Attributes
    ----------
    number : int
        Number of its record. Later records lie on top.
    action : int
        Number of the action. Pieces that are undone together share it.
    author : int
        Number of its author.
    kind : str
        Kind of the change, for users.
    time : str
        Time of the stroke, ISO 8601, UTC.
    window : IntWindow
        Bounding box of the changed px, (y0, x0, y1, x1).
    pixels : int
        Number of changed px.
    entry : Entry
        Journal record with its planes.
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
        """Convert the piece to a stroke with the author's name.

        Parameters
        ----------
        author : str
            Name of the author.

        Returns
        -------
        Stroke
            Stroke.
        """
        return Stroke(self.action, author, self.kind, self.time, self.window, self.pixels)


def check_block(block: NDArray[np.uint8], at: tuple[int, int], shape: tuple[int, int], classes: int) -> tuple[int, int]:
    """Check a block that is to be painted, and return its position in whole px.

    Parameters
    ----------
    block : ndarray of uint8 [y, x]
        Values: 0 = erased, k + 1 = class k, 255 = not sure.
    at : tuple of 2 int
        (y, x) of its first px.
    shape : tuple of 2 int
        (height, width) of the image, px.
    classes : int
        Number of classes.

    Returns
    -------
    tuple of 2 int
        (y, x) of its first px.

    Raises
    ------
    InputError
        It reaches outside, is not uint8 [y, x], or holds a value that is no class.
    """
    if not isinstance(block, np.ndarray) or block.dtype != np.uint8 or block.ndim != 2:
        kind = f"{block.dtype} of shape {block.shape}" if isinstance(block, np.ndarray) else type(block).__name__
        raise InputError(f"a block of corrections is uint8 [y, x], not {kind}; convert it.")
    try:
        y0, x0, *_ = whole_numbers((*at, *at))
    except InputError:
        raise InputError(f"{at} is no (y0, x0) of a block; give two whole numbers, px.") from None
    y1, x1 = y0 + block.shape[0], x0 + block.shape[1]
    height, width = shape
    if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
        raise InputError(
            f"block {(y0, x0, y1, x1)} reaches outside the {height} x {width} px image (height x width); cut it to the "
            "image."
        )
    strays = block[(block > classes) & (block != NOT_SURE)]
    if strays.size:
        raise InputError(
            f"value {strays[0]} is no class; give 1 to {classes} for the classes, {NOT_SURE} for not sure, 0 to erase."
        )
    return y0, x0


def check_mask(mask: object, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Check the mask of a block that is to be painted.

    Parameters
    ----------
    mask : array_like of bool [y, x]
        True for painted px.
    shape : tuple of 2 int
        Shape of the block.

    Returns
    -------
    ndarray of bool [y, x]
        The mask.

    Raises
    ------
    InputError
        It is no array of the block's shape.
    """
    try:
        found = np.asarray(mask, bool)
    except ValueError:  # rows of different lengths
        found = np.empty(0, bool)
    if found.shape != shape:
        raise InputError(f"the mask is of shape {found.shape} and the block of {shape}; give them alike.")
    return found


def check_text(name: str, text: object) -> None:
    """Check a text that is kept with a stroke.

    Parameters
    ----------
    name : str
        Name of the argument.
    text : object
        What was given.

    Raises
    ------
    InputError
        It is no text.
    """
    if not isinstance(text, str):
        raise InputError(f"{name} cannot be {text!r}; give a text.")
