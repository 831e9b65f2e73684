"""Reading tiles and contexts ahead of the network, in threads (no torch)."""

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
from fctl_napari.segmentation.inference.tile_inputs import read_stream, stream_windows
from fctl_napari.windows import FloatWindow

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

KEPT_CONTEXTS = 16
"""How many context windows are remembered: enough for the neighbours that share one, and for the whole image."""


class Recent(Generic[K, V]):
    """The values used last, by key.

    Parameters
    ----------
    limit
        How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of ``key``, made now if it is not remembered."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._limit:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()


@dataclass(frozen=True)
class PendingTile:
    """A tile whose pixels are being read.

    Attributes
    ----------
    index
        Its place in the caller's list.
    windows
        Where ``"tile"`` and each outer context lie, full-resolution px.
    pixels
        By the same names, uint8 RGB ``[3, T, T]`` to come.
    turn
        How the network is to see it.
    """

    index: int
    windows: dict[str, FloatWindow]
    pixels: dict[str, Future[NDArray[np.uint8]]]
    turn: Dihedral = TURNS[0]

    def window(self, name: str) -> FloatWindow:
        """FloatWindow of a stream in the turned world."""
        y0, x0, y1, x1 = self.turn.window(np.array(self.windows[name], np.float64)).tolist()
        return y0, x0, y1, x1

    def result(self, name: str) -> NDArray[np.uint8]:
        """Wait for the pixels of one stream, turned, uint8 ``[3, T, T]``.

        Raises
        ------
        InputError
            The image is damaged there.
        """
        return self.turn.pixels(self.pixels[name].result())


class TileReader:
    """Reads the streams of tiles in threads; a context window or a chunk that several tiles share is read once.

    Parameters
    ----------
    pyramid
        The image.
    config
        The network's settings.
    exact
        Resample contexts from full resolution.
    pool
        Does the reading.
    """

    def __init__(self, pyramid: Pyramid, config: FCtLConfig, exact: bool, pool: ThreadPoolExecutor) -> None:
        self.pyramid = pyramid
        self.config = config
        self._source = with_chunk_cache(pyramid)
        self._exact = exact
        self._pool = pool
        self._contexts: Recent[FloatWindow, Future[NDArray[np.uint8]]] = Recent(KEPT_CONTEXTS)

    def start(self, index: int, window: FloatWindow, turn: Dihedral = TURNS[0]) -> PendingTile:
        """Begin to read one tile."""
        windows = stream_windows(window, self.config, self.pyramid.shape)
        pixels = {}
        for name, window in windows.items():
            read = partial(self._read, window)
            pixels[name] = read() if name == "tile" else self._contexts.get(window, read)
        return PendingTile(index, windows, pixels, turn)

    def _read(self, window: FloatWindow) -> Future[NDArray[np.uint8]]:
        return self._pool.submit(read_stream, self._source, window, self.config.tile_size, exact=self._exact)
