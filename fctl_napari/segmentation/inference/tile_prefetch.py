"""Reader of tiles and contexts that works ahead of the network, in threads (no torch)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.windows import TURNS, Dihedral
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.inference.tile_cutting import read_stream, stream_windows
from fctl_napari.windows import FloatWindow

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEPT_CONTEXTS = 16
"""Number of context windows that are kept: enough for the neighbors that share one, and for the whole image."""


class Recent(Generic[K, V]):
    """Cache of the values used last, by key.

    Parameters
    ----------
    limit : int
        Number of values that are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made now if it is not kept.

        Parameters
        ----------
        key : K
            Key of the value.
        make : callable
            Function without arguments that makes the value.

        Returns
        -------
        V
            The value.
        """
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._limit:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Drop all values."""
        self._values.clear()


@dataclass(frozen=True)
class PendingTile:
    """Tile whose pixels are being read.

    Attributes
    ----------
    index : int
        Index in the caller's list.
    windows : dict of str to FloatWindow
        Windows of ``"tile"`` and of each outer context, full-resolution px.
    pixels : dict of str to Future of ndarray of uint8 [C, T, T]
        Pixels by the same names: RGB, or the network's bands.
    turn : Dihedral
        Flip and quarter turns with which the network sees the tile.
    """

    index: int
    windows: dict[str, FloatWindow]
    pixels: dict[str, Future[NDArray[np.uint8]]]
    turn: Dihedral = TURNS[0]

    def window(self, name: str) -> FloatWindow:
        """Return the window of a stream in the turned world.

        Parameters
        ----------
        name : str
            ``"tile"`` or the name of an outer context.

        Returns
        -------
        FloatWindow
            Window (y0, x0, y1, x1), px.
        """
        y0, x0, y1, x1 = self.turn.window(np.array(self.windows[name], np.float64)).tolist()
        return y0, x0, y1, x1

    def result(self, name: str) -> NDArray[np.uint8]:
        """Wait for the pixels of one stream.

        Parameters
        ----------
        name : str
            ``"tile"`` or the name of an outer context.

        Returns
        -------
        ndarray of uint8 [C, T, T]
            Pixels, turned.

        Raises
        ------
        InputError
            The image is damaged there.
        """
        return self.turn.pixels(self.pixels[name].result())


class TileReader:
    """Reader of the streams of tiles, in threads.

    A context window or a chunk that several tiles share is read once.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    config : FCtLConfig
        Settings of the network.
    exact : bool
        If True, contexts are resampled from full resolution.
    pool : ThreadPoolExecutor
        Threads that read.

    Attributes
    ----------
    source : Pyramid
        The image as the network reads it, through a cache of its chunks.
    """

    def __init__(self, pyramid: Pyramid, config: FCtLConfig, exact: bool, pool: ThreadPoolExecutor) -> None:
        self.pyramid = pyramid
        self.config = config
        self.source = with_chunk_cache(network_image(pyramid, config))
        self._exact = exact
        self._pool = pool
        self._contexts: Recent[FloatWindow, Future[NDArray[np.uint8]]] = Recent(KEPT_CONTEXTS)

    def start(self, index: int, window: FloatWindow, turn: Dihedral = TURNS[0]) -> PendingTile:
        """Begin to read one tile.

        Parameters
        ----------
        index : int
            Index in the caller's list.
        window : FloatWindow
            Window of the tile, full-resolution px.
        turn : Dihedral, optional
            Flip and quarter turns with which the network sees the tile.

        Returns
        -------
        PendingTile
            The tile with its pixels to come.
        """
        windows = stream_windows(window, self.config, self.pyramid.shape)
        pixels = {}
        for name, window in windows.items():
            read = partial(self._read, window)
            pixels[name] = read() if name == "tile" else self._contexts.get(window, read)
        return PendingTile(index, windows, pixels, turn)

    def _read(self, window: FloatWindow) -> Future[NDArray[np.uint8]]:
        return self._pool.submit(read_stream, self.source, window, self.config.tile_size, exact=self._exact)
