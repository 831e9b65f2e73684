"""Label images as those read them who do not ask how they are stored."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.windows import IntWindow


class ReadableLabels(Protocol):
    """A label image that is read by windows: a ``LabelPyramid``, or one that is composed of several."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of level 0, px."""

    @property
    def chunk(self) -> int:
        """Side of a chunk of level 0, px, which are cheap to read together."""

    @property
    def group(self) -> zarr.Group:
        """Zarr group that states the size and the position of a px."""

    def read(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``, half open. It may reach outside.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Values, 0 outside the image.
        """
