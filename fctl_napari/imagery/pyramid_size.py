"""Size of a pyramid on disk, before it is made."""

from __future__ import annotations

import math

import numpy as np
import zarr
from zarr.storage import MemoryStore

from fctl_napari.imagery.pyramid import Pyramid

COARSER = 4 / 3
"""All levels together, in level 0."""

SAMPLES, HEIGHT, WIDTH = 3, 64, 512
"""Number of blocks along each side that are compressed, and their size, px."""


def most_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Compute what a pyramid takes at most.

    Parameters
    ----------
    shape : tuple of int
        (height, width) or (height, width, channels) of level 0.
    dtype : dtype
        Type of its values.

    Returns
    -------
    int
        Bytes without compression.
    """
    return int(math.prod(shape) * np.dtype(dtype).itemsize * COARSER)


def estimated_bytes(source: Pyramid) -> int:
    """Estimate what a pyramid takes, by blocks of the image that are compressed like it.

    Parameters
    ----------
    source : Pyramid
        Image.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    InputError
        The file is damaged there.
    """
    height, width = source.shape
    raw = stored = 0
    for y in np.linspace(0, max(0, height - HEIGHT), SAMPLES, dtype=int).tolist():
        for x in np.linspace(0, max(0, width - WIDTH), SAMPLES, dtype=int).tolist():
            block = source.read_native((y, x, min(y + HEIGHT, height), min(x + WIDTH, width)))
            array = zarr.create_array(MemoryStore(), data=np.ascontiguousarray(block.transpose(2, 0, 1)))
            raw, stored = raw + block.nbytes, stored + array.nbytes_stored()
    return int(most_bytes((height, width, source.channels), source.dtype) * min(1.0, stored / raw))
