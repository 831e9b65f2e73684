"""Predictor that runs tiles side by side on the CPU, each by a thread of its own, through OpenVINO (no torch)."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import ConfigError, reason_of
from fctl_napari.imagery.chunk_cache import LastUsed
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.model_card import read_card
from fctl_napari.model.windows import TURNS, Dihedral
from fctl_napari.segmentation.inference.hardware import Precision
from fctl_napari.segmentation.inference.tile_predictor import Result, TilePredictor, no_memory
from fctl_napari.segmentation.inference.tile_prefetch import KEPT_CONTEXTS, PendingTile
from fctl_napari.windows import FloatWindow
from fctl_napari.words import count_of

try:
    from fctl_napari.segmentation.inference.openvino_cache import kept_parts
    from fctl_napari.segmentation.inference.openvino_network import OpenVinoNetwork
    from fctl_napari.segmentation.inference.openvino_parts import TILE
    from fctl_napari.segmentation.inference.openvino_runtime import ov
except ImportError as error:
    raise ConfigError(
        f"OpenVINO is installed and cannot be loaded ({reason_of(error)}); install it anew, or remove it."
    ) from error

COMPILED = "compiled"
"""Name of the folder, beside the parts, of what OpenVINO has compiled for this CPU."""

AHEAD = 3
"""Number of tiles that are read, or wait for their turn, for each that is run."""


class OpenVinoPredictor(TilePredictor):
    """Network that OpenVINO runs over tiles of images, a tile for each thread.

    Parameters
    ----------
    network : OpenVinoNetwork
        The network.
    exact_contexts : bool, optional
        If True, contexts are resampled from full resolution rather than from the nearest finer level of the pyramid.
    """

    def __init__(self, network: OpenVinoNetwork, *, exact_contexts: bool = False) -> None:
        super().__init__(network.config, network.precision, exact_contexts)
        self._network = network
        self._threads = ThreadPoolExecutor(network.callers, thread_name_prefix="fctl-tile")
        self._pools.append(self._threads)

    def warm(self) -> None:
        """Compile what classes need."""
        self._network.compile("classes")

    def _run_all(
        self,
        result: Result,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None = None,
    ) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        reader = self._reader_of(pyramid)
        running: deque[tuple[PendingTile, Future[list[NDArray[Any]]]]] = deque()
        ahead = iter(range(len(windows)))
        try:
            with self._enough_memory():
                self._network.compile(result)
            while True:
                while len(running) < AHEAD * self._network.streams and (index := next(ahead, None)) is not None:
                    tile = reader.start(index, windows[index], TURNS[0] if turns is None else turns[index])
                    running.append((tile, self._threads.submit(self._run, result, tile)))
                if not running:
                    return
                tile, future = running.popleft()
                with self._enough_memory():
                    found = future.result()
                yield tile.index, found
        finally:
            for tile, future in running:
                future.cancel()
                tile.pixels[TILE].cancel()

    def _run(self, result: Result, tile: PendingTile) -> list[NDArray[Any]]:
        names: list[str] = [context.name for context in self.config.outer_contexts]
        contexts = {name: self._context(name, tile) for name in names}
        windows = {name: tile.window(name) for name in (TILE, *names)}
        return self._network.run(result, tile.result(TILE), contexts, windows)

    def _context(self, name: str, tile: PendingTile) -> NDArray[np.float32]:
        """Return the features of a context, which is encoded once for the tiles that share it."""
        key = name, tile.windows[name], tile.turn
        return self._contexts.get(key, 1, lambda: self._network.encode_context(name, tile.result(name)))

    def _forget_contexts(self) -> None:
        self._contexts: LastUsed[NDArray[np.float32]] = LastUsed(KEPT_CONTEXTS)  # of which each counts 1

    def _hardware(self) -> str:
        return f"CPU, OpenVINO, {count_of(self._network.streams, 'thread')}"

    @contextlib.contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Raise ConfigError if memory runs out in the block."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error):
                raise
            raise no_memory("cpu", self.config) from error


def load_openvino(
    checkpoint: str,
    checkpoint_hash: str,
    precision: Precision,
    threads: int | None = None,
    *,
    exact_contexts: bool = False,
) -> OpenVinoPredictor:
    """Load a checkpoint for OpenVINO, from parts that are converted once and kept in the cache folder.

    Parameters
    ----------
    checkpoint : str
        Path of the checkpoint.
    checkpoint_hash : str
        SHA-256 of the checkpoint, by which its parts are kept.
    precision : Precision
        Precision in which it computes.
    threads : int or None, optional
        Number of tiles that run side by side. None takes one for each core.
    exact_contexts : bool, optional
        If True, contexts are resampled from full resolution rather than from the nearest finer level of the pyramid.

    Returns
    -------
    OpenVinoPredictor
        The network.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged.
    """
    core = ov.Core()
    parts, folder = kept_parts(checkpoint, checkpoint_hash, core)
    cache = folder / COMPILED if folder.is_dir() and os.access(folder, os.W_OK) else None
    network = OpenVinoNetwork(parts, read_card(checkpoint).config, precision, threads or usable_cores(), core, cache)
    return OpenVinoPredictor(network, exact_contexts=exact_contexts)
