"""Tiles that cover an image, for networks whose view of the whole depends on all of them (no torch)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.inference.tile_cutting import read_stream
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.windows import IntWindow


def image_tiles(pyramid: Pyramid, config: FCtLConfig) -> Iterator[tuple[NDArray[np.uint8], IntWindow]]:
    """Read the tiles of an image one by one.

    Parameters
    ----------
    pyramid : Pyramid
        The image as the network reads it, see ``network_image``.
    config : FCtLConfig
        Settings of the network.

    Yields
    ------
    pixels : ndarray of uint8 [C, T, T]
        Pixels of the tile.
    window : IntWindow
        Its window in full-resolution px. It may reach outside an image that is smaller than a tile.

    Raises
    ------
    InputError
        The image is damaged.
    """
    grid = TileGrid(pyramid.shape, config.tile_size, default_overlap(config.tile_size))
    for cell in grid.cells_in((0, 0, *pyramid.shape)):
        window = grid.window(cell)
        yield read_stream(pyramid, window, config.tile_size), window
