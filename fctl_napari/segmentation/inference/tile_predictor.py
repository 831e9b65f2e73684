"""Base of the predictors, which run a network over tiles of images (no torch)."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.windows import Dihedral
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.inference.tile_prefetch import TileReader
from fctl_napari.windows import FloatWindow, IntWindow

Result = Literal["logits", "classes", "classes with maps"]
"""What is computed of tiles: logits, float32 [classes, T, T]; labels and confidence, uint8 [T, T] each; or these and
maps, uint8 [maps, T, T]."""


class TilePredictor(ABC):
    """Network that is run over tiles of images.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    precision : Precision
        Precision in which it computes.
    exact_contexts : bool
        If True, contexts are resampled from full resolution rather than from the nearest finer level of the pyramid.

    Attributes
    ----------
    config : FCtLConfig
        Settings of the network.
    precision : {"fp32", "bf16"}
        Precision in which it computes.
    on_gpu : bool
        True if the network computes on a GPU.
    """

    on_gpu: bool = False

    def __init__(self, config: FCtLConfig, precision: Precision, exact_contexts: bool) -> None:
        self.config = config
        self.precision = precision
        self._exact = exact_contexts
        self._reading = ThreadPoolExecutor(min(8, max(2, os.cpu_count() or 2)), thread_name_prefix="fctl-read")
        self._pools = [self._reading]
        self._reader: TileReader | None = None
        self._forget_contexts()

    def describe(self) -> str:
        """Return the device and the precision as text for people."""
        return f"{self._hardware()}, {self.precision}"

    def memory_bytes(self) -> int:
        """Return the memory of this process, bytes."""
        return int(psutil.Process().memory_info().rss)

    @abstractmethod
    def warm(self) -> None:
        """Make ready to classify tiles, as far as that takes time."""

    def close(self) -> None:
        """Stop the threads."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    def read_valid(self, pyramid: Pyramid, window: IntWindow) -> NDArray[np.bool_]:
        """Read which px of a window hold data, through the cache of the tiles' chunks.

        Parameters
        ----------
        pyramid : Pyramid
            The image.
        window : IntWindow
            Window (y0, x0, y1, x1), full-resolution px.

        Returns
        -------
        ndarray of bool [y1 - y0, x1 - x0]
            True where there is data.

        Raises
        ------
        InputError
            The image is damaged there.
        """
        if not pyramid.masked:
            y0, x0, y1, x1 = window
            return np.ones((y1 - y0, x1 - x0), bool)
        return self._reader_of(pyramid).source.read_valid(window)

    def predict(
        self, pyramid: Pyramid, windows: Sequence[FloatWindow], turns: Sequence[Dihedral] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Compute the logits of tiles, in their order.

        Parameters
        ----------
        pyramid : Pyramid
            The image.
        windows : sequence of FloatWindow
            Windows of the tiles, full-resolution px.
        turns : sequence of Dihedral or None, optional
            Flip and quarter turns with which the network sees each tile. None leaves them as they are. The logits are
            turned back.

        Yields
        ------
        index : int
            Index into ``windows``.
        logits : ndarray of float32 [classes, T, T]
            Logits of the tile.

        Raises
        ------
        InputError
            The image is damaged there.
        ConfigError
            Memory does not suffice for a single tile.
        CheckpointError
            The network gives values that are no numbers (where torch runs it).
        """
        for index, (logits,) in self._run_all("logits", pyramid, windows, turns):
            yield index, logits if turns is None else np.ascontiguousarray(turns[index].back(logits))

    def classify(
        self, pyramid: Pyramid, windows: Sequence[FloatWindow]
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Compute labels and confidence of tiles, in their order.

        Softmax and argmax run where the network does.

        Parameters
        ----------
        pyramid : Pyramid
            The image.
        windows : sequence of FloatWindow
            Windows of the tiles, full-resolution px.

        Yields
        ------
        index : int
            Index into ``windows``.
        labels : ndarray of uint8 [T, T]
            k + 1 for class k.
        confidence : ndarray of uint8 [T, T]
            Probability of that class times 255, 1..255.

        Raises
        ------
        InputError
            The image is damaged there.
        ConfigError
            Memory does not suffice for a single tile.
        CheckpointError
            The network gives values that are no numbers (where torch runs it).
        """
        for index, (labels, confidence) in self._run_all("classes", pyramid, windows):
            yield index, labels, confidence

    def classify_with_maps(
        self, pyramid: Pyramid, windows: Sequence[FloatWindow]
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]]:
        """Compute labels, confidence and maps of tiles, in their order, from one pass of the network.

        Parameters
        ----------
        pyramid : Pyramid
            The image.
        windows : sequence of FloatWindow
            Windows of the tiles, full-resolution px.

        Yields
        ------
        index : int
            Index into ``windows``.
        labels, confidence : ndarray of uint8 [T, T]
            The same as from ``classify``.
        maps : ndarray of uint8 [maps, T, T]
            Maps in the order of ``map_names``: the value of 0..1 times 255, 1..255.

        Raises
        ------
        InputError
            The image is damaged there.
        ConfigError
            Memory does not suffice for a single tile.
        CheckpointError
            The network gives values that are no numbers (where torch runs it).
        """
        for index, (labels, confidence, maps) in self._run_all("classes with maps", pyramid, windows):
            yield index, labels, confidence, maps

    def _reader_of(self, pyramid: Pyramid) -> TileReader:
        """Return the reader of an image, which is kept until another image is read."""
        if self._reader is None or self._reader.pyramid is not pyramid:
            self._forget_contexts()
            self._reader = TileReader(pyramid, self.config, self._exact, self._reading)
        return self._reader

    @abstractmethod
    def _run_all(
        self,
        result: Result,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None = None,
    ) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        """Run tiles in their order, and yield their indices with the arrays of the result."""

    @abstractmethod
    def _forget_contexts(self) -> None:
        """Drop the features of contexts that are kept."""

    @abstractmethod
    def _hardware(self) -> str:
        """Return the device as text for people."""


def check_batch(batch: int | None) -> None:
    """Refuse a number of tiles that is not possible.

    Parameters
    ----------
    batch : int or None
        Number of tiles at once. None leaves it to the predictor.

    Raises
    ------
    ConfigError
        The number is not positive.
    """
    if batch is not None and batch < 1:
        raise ConfigError(f"a batch of {batch} tiles is not possible; use 1 or more.")


def no_memory(device: str, config: FCtLConfig) -> ConfigError:
    """Return the error of a device whose memory is too small.

    Parameters
    ----------
    device : str
        Name of the device.
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    ConfigError
        The error.
    """
    return ConfigError(
        f"the memory of {device} does not suffice for one tile of {config.tile_size} px; "
        "close other programs or use another device."
    )
