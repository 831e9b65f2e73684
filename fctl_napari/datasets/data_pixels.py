"""Pixels of an image that hold data, read as ground truth is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import IGNORE


class DataPixels:
    """Pixels of an image that hold data, read by slices as ground truth is: 0 there, ``IGNORE`` elsewhere.

    Parameters
    ----------
    image : Pyramid
        The image.

    Attributes
    ----------
    shape : tuple of 2 int
        (height, width), px.
    """

    def __init__(self, image: Pyramid) -> None:
        self.shape = image.shape
        self._image = image

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Read a box.

        Parameters
        ----------
        key : tuple of 2 slice
            Two slices without steps.

        Returns
        -------
        ndarray of uint8 [y, x]
            0 where there is data, else ``IGNORE``.

        Raises
        ------
        InputError
            The image is damaged there.
        """
        (top, bottom, _), (left, right, _) = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        window = top, left, max(top, bottom), max(left, right)
        if not self._image.masked:
            return np.zeros((window[2] - top, window[3] - left), np.uint8)
        return np.where(self._image.read_valid(window), np.uint8(0), np.uint8(IGNORE))
