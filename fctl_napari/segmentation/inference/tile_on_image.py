"""Size of a network's tiles on an image, of which a network may need a px size on the ground (no torch)."""

from __future__ import annotations

from typing import NamedTuple

from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.geodesy.ground_size import ground_size, length_words
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.onnx_settings import DEFAULT_OVERLAP, LARGEST_TILE, SMALLEST_TILE
from fctl_napari.segmentation.tiling.grid import default_overlap

NEAR_SIZE = 1.02
"""Factor between px that are taken for equal: on the ground they differ by less from what a map projection says."""


class TileOnImage(NamedTuple):
    """Tiles of a regular grid.

    Attributes
    ----------
    size : int
        Side of a tile, px of the image. The network sees it resampled to its own ``tile_size``.
    overlap : int
        Overlap of two tiles, px of the image.
    """

    size: int
    overlap: int


def tile_on_image(config: FCtLConfig, image: Pyramid) -> TileOnImage:
    """Compute the tiles of a network on an image.

    Only a network that came as an ONNX file may be tied to a px size on the ground. All others take images as they are,
    and so does that one if it states no px size or that of the image is not known.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    image : Pyramid
        The image.

    Returns
    -------
    TileOnImage
        The tiles.

    Raises
    ------
    ConfigError
        The image's px are too much finer or coarser than those of the network.
    """
    stated = config.onnx
    if stated is None:
        return TileOnImage(config.tile_size, default_overlap(config.tile_size))
    size = config.tile_size
    own = None if stated.pixel_size is None else ground_size(image)
    factor = 1.0 if own is None or stated.pixel_size is None else stated.pixel_size / own
    if own is not None and stated.pixel_size is not None and not 1 / NEAR_SIZE < factor < NEAR_SIZE:
        size = round(config.tile_size * factor)
        if not SMALLEST_TILE <= size <= LARGEST_TILE:
            coarse = size < SMALLEST_TILE
            raise ConfigError(
                f"{image.path or image.name}: has px of {length_words(own)}, too {'coarse' if coarse else 'fine'} for "
                f"a network of {length_words(stated.pixel_size)} px; take "
                + ("another network." if coarse else "a coarser copy of the image.")
            )
    if stated.overlap == DEFAULT_OVERLAP:
        return TileOnImage(size, default_overlap(size))
    unit = 32 if size >= 128 else 16  # the step is the chunk size on disk, see default_overlap
    step = max(unit, int(size * (1 - stated.overlap / 100) / unit) * unit)
    return TileOnImage(size, size - step)
