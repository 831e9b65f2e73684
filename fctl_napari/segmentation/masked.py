"""An image with a mask of it, as a network that refines masks is fed (no torch)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.level import IntWindow, Window
from fctl_napari.imagery.pyramid import Pyramid


class Masks(Protocol):
    """Labels of an image: a ``LabelPyramid``, say."""

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window, px, that may reach outside: uint8 [y, x], 0 = nothing, k + 1 = class k."""


class MaskedImage(Pyramid):
    """An image whose resampled reads have a fourth channel, the labels.

    Parameters
    ----------
    image
        The image; it stays as it is.
    masks
        Labels of it.
    """

    def __init__(self, image: Pyramid, masks: Masks) -> None:
        vars(self).update(vars(image))
        self._masks = masks

    def read_resized(self, window: Window, size: int, *, exact: bool = False) -> NDArray[np.uint8]:
        """Read a window as ``Pyramid.read_resized`` does, and the labels nearest to its px: uint8 [size, size, 4]."""
        pixels = super().read_resized(window, size, exact=exact)
        y, x = nearest(window, size)
        labels = self._masks.read((int(y[0]), int(x[0]), int(y[-1]) + 1, int(x[-1]) + 1))
        return np.dstack([pixels, labels[np.ix_(y - y[0], x - x[0])]])


def nearest(window: Window, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows and columns of the image that a window's px lie in when it is resampled to ``size`` px square."""
    y0, x0, y1, x1 = window
    fraction = (np.arange(size) + 0.5) / size
    return np.floor(y0 + fraction * (y1 - y0)).astype(int), np.floor(x0 + fraction * (x1 - x0)).astype(int)
