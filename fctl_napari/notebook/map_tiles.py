"""Tiles of a map of classes, with what is painted by now."""

from __future__ import annotations

from fctl_napari.api.maps import Map
from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.notebook.tiles import Tile, TileSource, class_palette, picture, sampled
from fctl_napari.segmentation.store.store import Segmentation


class MapTiles(TileSource):
    """Tiles of a map of classes in their colors.

    Parameters
    ----------
    source : Map
        The map.
    """

    def __init__(self, source: Map) -> None:
        self._map = source

    def tile(self, scale: int, x: int, y: int) -> Tile:
        """Draw a tile.

        Parameters
        ----------
        scale, x, y : int
            See ``TileSource.tile``.

        Returns
        -------
        Tile
            The picture.
        """
        source = self._map.source  # another one once somebody has painted
        palette = class_palette([info.color for info in self._map.classes.scored])
        return picture(palette[sampled(source.labels.read, levels_of(source), scale, x, y)], "PNG")


def levels_of(source: Segmentation | FinalMap) -> list[tuple[int, int]]:
    """Return the sizes of the levels of a map.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map on disk.

    Returns
    -------
    list of tuple of 2 int
        (height, width), px, the finest first.
    """
    if isinstance(source, FinalMap):
        return source.labels.level_shapes
    return [(int(level.shape[0]), int(level.shape[1])) for level in source.labels.levels]
