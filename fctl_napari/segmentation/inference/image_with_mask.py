"""Image together with a mask of it, the input of a network that refines masks (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.labels.class_names import match_names
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.windows import FloatWindow, IntWindow

MOST_PX = 2**26
"""Labels that are read at once, px."""


class Masks(Protocol):
    """Labels of an image, for example a ``LabelPyramid``."""

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            Window in px; it may reach outside the image.

        Returns
        -------
        ndarray of uint8 [y, x]
            Labels: 0 for nothing, k + 1 for class k.
        """


class RenamedMasks:
    """Masks whose classes have another order than a network's, read in the network's order.

    Parameters
    ----------
    masks : Masks
        Labels of an image.
    index : sequence of int
        For each class of the masks, its class in the network.
    """

    def __init__(self, masks: Masks, index: Sequence[int]) -> None:
        self._masks = masks
        self._labels = np.array([0, *(k + 1 for k in index)], np.uint8)

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window in the network's order of classes.

        Parameters
        ----------
        window : IntWindow
            Window in px; it may reach outside the image.

        Returns
        -------
        ndarray of uint8 [y, x]
            Labels: 0 for nothing, k + 1 for class k of the network.
        """
        return self._labels[self._masks.read(window)]


def masks_of(masks: Masks, names: Sequence[str], wanted: Sequence[str]) -> Masks | None:
    """Match masks to a network by the names of the classes.

    Parameters
    ----------
    masks : Masks
        Labels of an image.
    names : sequence of str
        Names of their classes.
    wanted : sequence of str
        Names of the classes of the network.

    Returns
    -------
    Masks or None
        Masks in the network's order of classes. None if they are not the same classes.
    """
    match = match_names(names, wanted)
    if match.missing or match.unused:
        return None
    return masks if match.same else RenamedMasks(masks, [k for k in match.index if k is not None])


class MaskedImage(Pyramid):
    """Image whose resampled reads have a fourth channel, the labels.

    Parameters
    ----------
    image : Pyramid
        The image; it stays as it is.
    masks : Masks
        Labels of the image.
    """

    def __init__(self, image: Pyramid, masks: Masks) -> None:
        vars(self).update(vars(image))
        self._masks = masks

    def read_resized(self, window: FloatWindow, size: int, *, exact: bool = False) -> NDArray[np.uint8]:
        """Read a window as ``Pyramid.read_resized`` does, with the labels nearest to its pixels.

        Parameters
        ----------
        window : FloatWindow
            Window in full-resolution px.
        size : int
            Side of the result, px.
        exact : bool, optional
            If True, resample from full resolution.

        Returns
        -------
        ndarray of uint8 [size, size, 4]
            Red, green, blue and labels.
        """
        pixels = super().read_resized(window, size, exact=exact)
        y, x = nearest(window, size)
        rows = max(1, MOST_PX // (int(x[-1]) + 1 - int(x[0])))
        parts = []
        for top in range(int(y[0]), int(y[-1]) + 1, rows):
            inside = y[(y >= top) & (y < top + rows)]
            if len(inside):
                labels = self._masks.read((int(inside[0]), int(x[0]), int(inside[-1]) + 1, int(x[-1]) + 1))
                parts.append(labels[np.ix_(inside - inside[0], x - x[0])])
        return np.dstack([pixels, np.concatenate(parts)])


def nearest(window: FloatWindow, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the pixels of the image in which the pixels of a resampled window lie.

    Parameters
    ----------
    window : FloatWindow
        Window in full-resolution px.
    size : int
        Side of the resampled window, px.

    Returns
    -------
    rows : ndarray of int64 [size]
        Rows of the image.
    columns : ndarray of int64 [size]
        Columns of the image.
    """
    y0, x0, y1, x1 = window
    fraction = (np.arange(size) + 0.5) / size
    return np.floor(y0 + fraction * (y1 - y0)).astype(int), np.floor(x0 + fraction * (x1 - x0)).astype(int)
