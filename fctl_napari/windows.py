"""Windows of images: ``(y0, x0, y1, x1)`` in px, half open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fctl_napari.exceptions import InputError

IntWindow = tuple[int, int, int, int]
"""``(y0, x0, y1, x1)`` in whole px, half open: a :class:`Window` or a plain tuple."""

FloatWindow = tuple[float, float, float, float]
"""``(y0, x0, y1, x1)`` in px, half open; may be fractional or reach outside the image."""

PIECE_PX = 2**26
"""Size of the pieces in which ground truth is read as a whole, px."""


class Window(NamedTuple):
    """A window in whole px, half open. It equals the plain tuple of its numbers.

    Attributes
    ----------
    y0, x0 : int
        First row and column.
    y1, x1 : int
        Row and column after the last. The window is empty if one of them is not greater than its start.
    """

    y0: int
    x0: int
    y1: int
    x1: int

    def __repr__(self) -> str:
        """Return the plain tuple in words: hashes and keys in files that people have are made of it."""
        return repr(tuple(self))

    @classmethod
    def of_image(cls, shape: tuple[int, int]) -> Window:
        """Return the window of a whole image.

        Parameters
        ----------
        shape : tuple of 2 int
            (height, width), px.

        Returns
        -------
        Window
            (0, 0, height, width).
        """
        return cls(0, 0, *shape)

    @classmethod
    def bounding(cls, windows: Iterable[IntWindow]) -> Window:
        """Return the smallest window that holds all of these.

        Parameters
        ----------
        windows : iterable of tuple of 4 int
            At least one window.

        Returns
        -------
        Window
            The bounding box.
        """
        tops, lefts, bottoms, rights = zip(*windows, strict=True)
        return cls(min(tops), min(lefts), max(bottoms), max(rights))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px, negative where the window ends before it starts."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def empty(self) -> bool:
        """True if the window holds no px."""
        return self.y1 <= self.y0 or self.x1 <= self.x0

    def intersect(self, other: IntWindow) -> Window:
        """Return the part that two windows have in common.

        Parameters
        ----------
        other : tuple of 4 int
            Another window.

        Returns
        -------
        Window
            The common part; empty where there is none.
        """
        y0, x0, y1, x1 = other
        return Window(max(self.y0, y0), max(self.x0, x0), min(self.y1, y1), min(self.x1, x1))

    def clip(self, shape: tuple[int, int]) -> Window:
        """Return the part inside an image.

        Parameters
        ----------
        shape : tuple of 2 int
            (height, width) of the image, px.

        Returns
        -------
        Window
            The part inside; empty where there is none.
        """
        return self.intersect((0, 0, *shape))

    def shifted(self, dy: int, dx: int) -> Window:
        """Return the window moved.

        Parameters
        ----------
        dy, dx : int
            Rows down and columns to the right.

        Returns
        -------
        Window
            A window of the same size.
        """
        return Window(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)

    def padded(self, margin: int) -> Window:
        """Return the window with a margin on every side.

        Parameters
        ----------
        margin : int
            Width of the margin, px.

        Returns
        -------
        Window
            The larger window; it may reach outside the image.
        """
        return Window(self.y0 - margin, self.x0 - margin, self.y1 + margin, self.x1 + margin)

    def slices_in(self, outer: IntWindow = (0, 0, 0, 0)) -> tuple[slice, slice]:
        """Return the slices of this window in an array of another one.

        Parameters
        ----------
        outer : tuple of 4 int, optional
            Window of the array [y, x]; only where it starts counts.

        Returns
        -------
        tuple of 2 slice
            (rows, columns).
        """
        y0, x0 = outer[:2]
        return slice(self.y0 - y0, self.y1 - y0), slice(self.x0 - x0, self.x1 - x0)


def whole_numbers(window: Any) -> Window:
    """Return what somebody gave as a window, whatever holds its four numbers.

    Parameters
    ----------
    window : sequence of 4 int
        (y0, x0, y1, x1) px: a tuple, a list or an array. Floats that are whole numbers do too.

    Returns
    -------
    Window
        The window, which may be empty or end before it starts.

    Raises
    ------
    InputError
        These are not four whole numbers.
    """
    try:
        given = tuple(window)
        y0, x0, y1, x1 = map(int, given)
        if given == (y0, x0, y1, x1):
            return Window(y0, x0, y1, x1)
    except (TypeError, ValueError, OverflowError):
        pass
    shown = " ".join(repr(window).split())[:60]
    raise InputError(f"{shown} is no window; give (y0, x0, y1, x1) in whole px, with y0 < y1 and x0 < x1.")


def require_window(window: Any) -> Window:
    """Return what somebody gave as a window if it holds px.

    Parameters
    ----------
    window : sequence of 4 int
        (y0, x0, y1, x1) px, half open. It may reach outside the image.

    Returns
    -------
    Window
        The window.

    Raises
    ------
    InputError
        These are not four whole numbers, or the window holds no px.
    """
    found = whole_numbers(window)
    if found.empty:
        raise InputError(f"window {tuple(found)} holds no px; give (y0, x0, y1, x1) with y0 < y1 and x0 < x1.")
    return found


def require_region(region: IntWindow | None, shape: tuple[int, int], name: object = None) -> Window:
    """Cut a region to an image.

    Parameters
    ----------
    region : sequence of 4 int or None
        (y0, x0, y1, x1) px. None means the whole image.
    shape : tuple of 2 int
        (height, width) of the image, px.
    name : object, optional
        Path or name of the image, or of a file that belongs to it, for the sentence of the error.

    Returns
    -------
    Window
        The part of the region inside the image, never empty.

    Raises
    ------
    InputError
        The region holds no pixel of the image, or is none.
    """
    asked = Window.of_image(shape) if region is None else whole_numbers(region)
    inside = asked.clip(shape)
    if inside.empty:
        numbers = " ".join(map(str, asked))
        raise InputError(
            f"{'' if name is None else f'{name}: '}region {numbers} holds no pixel of the {shape[0]} x {shape[1]} px "
            "image (height x width); give Y0 X0 Y1 X1 with Y0 < Y1 and X0 < X1."
        )
    return inside


def pieces_of(region: IntWindow) -> Iterator[IntWindow]:
    """Cut a region into rows of pieces that fit into memory.

    Parameters
    ----------
    region : IntWindow
        Region (y0, x0, y1, x1), px, half open.

    Yields
    ------
    IntWindow
        Piece over the full width of the region, of ``PIECE_PX`` px or one row at most.
    """
    y0, x0, y1, x1 = region
    rows = max(1, PIECE_PX // max(x1 - x0, 1))
    for top in range(y0, y1, rows):
        yield top, x0, min(top + rows, y1), x1
