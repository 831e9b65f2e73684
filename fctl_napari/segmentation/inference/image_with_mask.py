"""An image with a mask of it, as a network that refines masks is fed (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.class_names import match_names
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.windows import FloatWindow, IntWindow


class Masks(Protocol):
    """Labels of an image: a ``LabelPyramid``, say."""

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window, px, that may reach outside: uint8 [y, x], 0 = nothing, k + 1 = class k."""


class RenamedMasks:
    """Masks whose classes stand in another order than a network's, read in the network's.

    Parameters
    ----------
    masks
        Labels of an image.
    index
        For each class of the masks, which class of the network it is.
    """

    def __init__(self, masks: Masks, index: Sequence[int]) -> None:
        self._masks = masks
        self._labels = np.array([0, *(k + 1 for k in index)], np.uint8)

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window as ``Masks`` are."""
        return self._labels[self._masks.read(window)]


def masks_of(masks: Masks, names: Sequence[str], wanted: Sequence[str]) -> Masks | None:
    """Read masks by the names of their classes.

    Parameters
    ----------
    masks
        Labels of an image.
    names, wanted
        Of their classes, and of those of the network that is fed.

    Returns
    -------
    Masks or None
        None: they are not the same classes.
    """
    match = match_names(names, wanted)
    if match.missing or match.unused:
        return None
    return masks if match.same else RenamedMasks(masks, [k for k in match.index if k is not None])


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

    def read_resized(self, window: FloatWindow, size: int, *, exact: bool = False) -> NDArray[np.uint8]:
        """Read a window as ``Pyramid.read_resized`` does, and the labels nearest to its px: uint8 [size, size, 4]."""
        pixels = super().read_resized(window, size, exact=exact)
        y, x = nearest(window, size)
        labels = self._masks.read((int(y[0]), int(x[0]), int(y[-1]) + 1, int(x[-1]) + 1))
        return np.dstack([pixels, labels[np.ix_(y - y[0], x - x[0])]])


def nearest(window: FloatWindow, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows and columns of the image that a window's px lie in when it is resampled to ``size`` px square."""
    y0, x0, y1, x1 = window
    fraction = (np.arange(size) + 0.5) / size
    return np.floor(y0 + fraction * (y1 - y0)).astype(int), np.floor(x0 + fraction * (x1 - x0)).astype(int)
