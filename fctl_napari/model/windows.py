"""Windows of tiles and contexts in the full-resolution image (no torch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.windows import FloatWindow


def context_window(
    tile: FloatWindow,
    scale: float | Literal["global"],
    image_shape: tuple[int, int],
    border: Literal["pad", "shift"] = "pad",
) -> FloatWindow:
    """Compute the window of a context of a tile (section 3.2 of the paper).

    Parameters
    ----------
    tile : FloatWindow
        Window of the tile.
    scale : float or {"global"}
        Side of the context over the side of the tile; ``"global"`` is the whole image.
    image_shape : tuple of 2 int
        Size of the image, (height, width) px.
    border : {"pad", "shift"}, optional
        ``pad``: the window is centered on the tile, even if it reaches outside. ``shift``: it slides back inside the
        image as far as the image is large enough.

    Returns
    -------
    FloatWindow
        Window of the context. It covers the tile wherever the tile lies in the image.
    """
    height, width = image_shape
    if scale == "global":
        return (0.0, 0.0, float(height), float(width))
    y0, x0, y1, x1 = tile
    half_y, half_x = (y1 - y0) * scale / 2, (x1 - x0) * scale / 2
    middle_y, middle_x = (y0 + y1) / 2, (x0 + x1) / 2
    window = (middle_y - half_y, middle_x - half_x, middle_y + half_y, middle_x + half_x)
    if border == "pad":
        return window
    top, bottom = _slide(window[0], window[2], height)
    left, right = _slide(window[1], window[3], width)
    return (top, left, bottom, right)


def _slide(start: float, stop: float, length: int) -> tuple[float, float]:
    """Move [start, stop) inside [0, length), or center it if it is longer."""
    size = stop - start
    start = (length - size) / 2 if size > length else min(max(start, 0.0), length - size)
    return start, start + size


@dataclass(frozen=True)
class Dihedral:
    """Flip of the world along x, then quarter turns counter-clockwise.

    Attributes
    ----------
    flip : bool
        If True, flip along x first.
    turns : int
        Number of quarter turns.
    """

    flip: bool
    turns: int

    @property
    def reverses(self) -> tuple[bool, bool]:
        """Flags of the image's y and x axis, True for one that is reversed afterwards, whatever its new direction."""
        turns = self.turns % 4
        return turns in (2, 3), (turns in (1, 2)) != self.flip

    def pixels(self, array: NDArray[Any]) -> NDArray[Any]:
        """Transform an image.

        Parameters
        ----------
        array : ndarray [..., H, W]
            Pixels.

        Returns
        -------
        ndarray [..., H, W] or [..., W, H]
            View of the transformed pixels.
        """
        if self.flip:
            array = array[..., ::-1]
        return np.rot90(array, self.turns, axes=(-2, -1))

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """Undo ``pixels``.

        Parameters
        ----------
        array : ndarray [..., H, W]
            Transformed pixels.

        Returns
        -------
        ndarray [..., H, W] or [..., W, H]
            View of the original pixels.
        """
        array = np.rot90(array, -self.turns, axes=(-2, -1))
        return array[..., ::-1] if self.flip else array

    def window(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """Transform a window, turning the world about its origin.

        Parameters
        ----------
        window : ndarray of float64 [4]
            Window (y0, x0, y1, x1), px.

        Returns
        -------
        ndarray of float64 [4]
            Transformed window (y0, x0, y1, x1), px.
        """
        y0, x0, y1, x1 = window
        if self.flip:
            x0, x1 = -x1, -x0
        for _ in range(self.turns % 4):
            y0, x0, y1, x1 = -x1, y0, -x0, y1
        return np.array([y0, x0, y1, x1])


TURNS = tuple(Dihedral(flip, turns) for flip in (False, True) for turns in range(4))
"""All eight transforms, the identity first."""
