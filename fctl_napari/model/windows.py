"""Windows: where tiles and contexts lie in the full-resolution image (no torch)."""

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
    """FloatWindow of a context of a tile (section 3.2 of the paper).

    Parameters
    ----------
    tile
        The tile's window.
    scale
        Side of the context over the side of the tile; ``"global"`` is the whole image.
    image_shape
        ``(height, width)`` of the image, px.
    border
        ``pad``: centred on the tile, even if it reaches outside; ``shift``: slid back inside the image as far as
        the image is large enough.

    Returns
    -------
    FloatWindow
        The context's window; it covers the tile wherever the tile lies in the image.
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
    """Move [start, stop) inside [0, length); one that is longer is centred on it."""
    size = stop - start
    start = (length - size) / 2 if size > length else min(max(start, 0.0), length - size)
    return start, start + size


@dataclass(frozen=True)
class Dihedral:
    """A flip of the world along x, then quarter turns counter-clockwise."""

    flip: bool
    turns: int

    @property
    def reverses(self) -> tuple[bool, bool]:
        """Whether the image's y and x axis run backwards afterwards, wherever they then point."""
        turns = self.turns % 4
        return turns in (2, 3), (turns in (1, 2)) != self.flip

    def pixels(self, array: NDArray[Any]) -> NDArray[Any]:
        """Apply to [..., H, W]."""
        if self.flip:
            array = array[..., ::-1]
        return np.rot90(array, self.turns, axes=(-2, -1))

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """Undo ``pixels``."""
        array = np.rot90(array, -self.turns, axes=(-2, -1))
        return array[..., ::-1] if self.flip else array

    def window(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply to a window (y0, x0, y1, x1), turning the world about its origin."""
        y0, x0, y1, x1 = window
        if self.flip:
            x0, x1 = -x1, -x0
        for _ in range(self.turns % 4):
            y0, x0, y1, x1 = -x1, y0, -x0, y1
        return np.array([y0, x0, y1, x1])


TURNS = tuple(Dihedral(flip, turns) for flip in (False, True) for turns in range(4))
"""All eight, the identity first."""
