"""Level of a layer that is computed when napari reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fctl_napari.plugin.layers.shown_levels import ShownLevel


class ComputedLevel(ShownLevel):
    """One level of a labels layer, computed from the same level of what it shows.

    Parameters
    ----------
    read : callable
        Function that computes rows and columns (slices without a step), as uint8 [y, x].
    shape : tuple of 2 int
        (height, width), px.
    chunks : tuple of 2 int or None, optional
        Sides of the parts that are cheap to read together, px.
    """

    def __init__(
        self,
        read: Callable[[slice, slice], np.ndarray],
        shape: tuple[int, int],
        chunks: tuple[int, ...] | None = None,
    ) -> None:
        self._read = read
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = np.dtype(np.uint8)
        self.chunks = tuple(chunks or (min(512, n) for n in self.shape))

    def __getitem__(self, key: Any) -> np.ndarray:
        """Compute a part by slices."""
        rows, columns = (*(key if isinstance(key, tuple) else (key,)), slice(None), slice(None))[:2]
        y0, y1, step_y = rows.indices(self.shape[0])
        x0, x1, step_x = columns.indices(self.shape[1])
        return self._read(slice(y0, max(y0, y1)), slice(x0, max(x0, x1)))[::step_y, ::step_x]
