"""Predictor: tiles through the network on one device, with few copies and within the available memory."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.errors import ConfigError
from fctl_napari.imagery.chunk_cache import LastUsed
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.encoders import Features
from fctl_napari.model.network import Network
from fctl_napari.model.windows import TURNS, Dihedral
from fctl_napari.segmentation.inference.device import numerics, resolve_device, resolve_precision, store_for_inference
from fctl_napari.segmentation.inference.pixel_maps import classify_tiles, tile_maps
from fctl_napari.segmentation.inference.tile_prefetch import KEPT_CONTEXTS, PendingTile, TileReader
from fctl_napari.windows import FloatWindow, IntWindow
from fctl_napari.words import count_of

if TYPE_CHECKING:
    from fctl_napari.segmentation.inference.openvino_network import OpenVinoNetwork

AHEAD = 3
"""Number of tiles that are read, or wait for their turn, for each that is run, where tiles are run side by side."""

CUDA_BATCH = 8
"""Default number of tiles at once on a GPU; halved when memory runs out."""


class Predictor:
    """Network that is run over tiles of images.

    Parameters
    ----------
    model : Network or OpenVinoNetwork
        The network. It is moved to the device and set to evaluation, and belongs to the predictor from then on.
    device : str, optional
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    precision : str, optional
        ``"fp32"``, ``"bf16"`` (autocast), or ``"auto"``: bf16 where the hardware computes it fast.
    batch : int or None, optional
        Number of tiles at once. On the CPU in fp32 each tile is run by itself, whatever this says, so that results do
        not depend on it to the bit.
    exact_contexts : bool, optional
        If True, contexts are resampled from full resolution rather than from the nearest finer level of the pyramid.

    Attributes
    ----------
    device : torch.device
        Device on which the network runs.
    precision : {"fp32", "bf16"}
        Precision in which it computes.
    batch : int
        Number of tiles at once; halved when memory runs out.
    config : FCtLConfig
        Settings of the network.

    Raises
    ------
    ConfigError
        There is no such device or precision, or the batch is not positive.
    """

    def __init__(
        self,
        model: Network | OpenVinoNetwork,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch: int | None = None,
        exact_contexts: bool = False,
    ) -> None:
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        if batch is not None and batch < 1:
            raise ConfigError(f"a batch of {batch} tiles is not possible; use 1 or more.")
        if self.device.type == "cpu":
            self.batch = 1 if self.precision == "fp32" else batch or 1
        else:
            self.batch = batch or CUDA_BATCH
        self.config = model.config
        self._model: Network | OpenVinoNetwork = model
        self._tiles: ThreadPoolExecutor | None = None
        """Threads that run a tile each, where the network is run so."""
        if isinstance(model, Network):
            self._model = model.to(self.device).eval()
            store_for_inference(model, self.precision)
        else:
            self._tiles = ThreadPoolExecutor(model.streams, thread_name_prefix="fctl-tile")
        self._exact = exact_contexts
        self._pool = ThreadPoolExecutor(min(8, max(2, os.cpu_count() or 2)), thread_name_prefix="fctl-read")
        self._reader: TileReader | None = None
        self._features: LastUsed[Tensor] = LastUsed(KEPT_CONTEXTS)  # of which each counts 1

    def describe(self) -> str:
        """Return the device and the precision as text for people."""
        if self.device.type == "cuda":
            return f"{torch.cuda.get_device_name(self.device)}, {self.precision}"
        engine, threads = "", torch.get_num_threads()
        if not isinstance(self._model, Network):
            engine, threads = "OpenVINO, ", self._model.streams
        return f"CPU, {engine}{count_of(threads, 'thread')}, {self.precision}"

    def memory_bytes(self) -> int:
        """Return the memory that is held, bytes: torch's on the GPU, else the whole process's."""
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device)
        return int(psutil.Process().memory_info().rss)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._tiles is not None:
            self._tiles.shutdown(wait=False, cancel_futures=True)

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
        """
        for indices, logits, _ in self._batches(pyramid, windows, turns):
            for index, tile in zip(indices, logits.cpu().numpy(), strict=True):
                yield index, tile if turns is None else np.ascontiguousarray(turns[index].back(tile))

    def classify(
        self, pyramid: Pyramid, windows: Sequence[FloatWindow]
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Compute labels and confidence of tiles, in their order.

        Softmax and argmax run on the device.

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
        """
        for indices, logits, _ in self._batches(pyramid, windows):
            tiles = classify_tiles(logits)
            yield from zip(indices, tiles.labels(), tiles.confidence(), strict=True)

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
        """
        for indices, logits, weights in self._batches(pyramid, windows, with_weights=True):
            tiles = classify_tiles(logits)
            maps = tile_maps(tiles, weights, self._model.grid)
            yield from zip(indices, tiles.labels(), tiles.confidence(), maps.cpu().numpy(), strict=True)

    def _batches(
        self,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None = None,
        *,
        with_weights: bool = False,
    ) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Run tiles in their order, some at a time, and yield their indices with the result of ``_run``."""
        if self._tiles is not None:
            yield from self._side_by_side(self._tiles, pyramid, windows, turns, with_weights)
            return
        reader = self._reader_of(pyramid)
        waiting: deque[PendingTile] = deque()
        started = 0
        try:
            while started < len(windows) or waiting:
                ahead = 2 * self.batch + 2
                while started < len(windows) and len(waiting) < ahead:
                    turn = TURNS[0] if turns is None else turns[started]
                    waiting.append(reader.start(started, windows[started], turn))
                    started += 1
                group = [waiting.popleft() for _ in range(min(self.batch, len(waiting)))]
                result = self._try(group, with_weights)
                if result is None:
                    waiting.extendleft(reversed(group))
                    continue
                yield [tile.index for tile in group], *result
        finally:
            for tile in waiting:
                tile.pixels["tile"].cancel()

    def _side_by_side(
        self,
        threads: ThreadPoolExecutor,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None,
        with_weights: bool,
    ) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Run tiles in their order, each by a thread of its own."""
        model = self._model
        assert not isinstance(model, Network)
        reader = self._reader_of(pyramid)
        running: deque[tuple[PendingTile, Future[tuple[Tensor, Tensor | None]]]] = deque()
        ahead = iter(range(len(windows)))
        try:
            while True:
                while len(running) < AHEAD * model.streams and (index := next(ahead, None)) is not None:
                    tile = reader.start(index, windows[index], TURNS[0] if turns is None else turns[index])
                    running.append((tile, threads.submit(self._run, [tile], with_weights)))
                if not running:
                    return
                tile, future = running.popleft()
                with self._one_tile():
                    yield [tile.index], *future.result()
        finally:
            for tile, future in running:
                future.cancel()
                tile.pixels["tile"].cancel()

    def _reader_of(self, pyramid: Pyramid) -> TileReader:
        if self._reader is None or self._reader.pyramid is not pyramid:
            self._features = LastUsed(KEPT_CONTEXTS)
            self._reader = TileReader(pyramid, self.config, self._exact, self._pool)
        return self._reader

    def _try(self, group: list[PendingTile], with_weights: bool) -> tuple[Tensor, Tensor | None] | None:
        """Run a group of tiles. If memory runs out, set a smaller batch and return None."""
        try:
            return self._run(group, with_weights)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(group) == 1:
                raise self._no_memory() from error
        # Here the failed run's tensors are free: the exception that held them is gone.
        self.batch = len(group) // 2
        self._features = LastUsed(KEPT_CONTEXTS)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    @contextlib.contextmanager
    def _one_tile(self) -> Iterator[None]:
        """Raise ConfigError if memory runs out in the block."""
        try:
            yield
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise self._no_memory() from error

    def _no_memory(self) -> ConfigError:
        return ConfigError(
            f"the memory of {self.device} does not suffice for one tile of {self.config.tile_size} px; "
            "close other programs or use another device."
        )

    def _run(self, group: list[PendingTile], with_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Compute logits, and on request fusion weights, of a group of tiles.

        Returns
        -------
        logits : Tensor of float32 [B, C, T, T]
            Logits of the tiles.
        weights : Tensor of float32 [B, contexts, h, w] or None
            Fusion weights, mean over channels. None if they are not requested or the network has none.
        """
        with torch.inference_mode(), numerics(self.device, self.precision):
            fusion: list[Tensor] | None = [] if with_weights else None
            logits = self._model.decode(*self._encode_all(group), fusion=fusion).float()
            return logits, fusion[0].float().mean(2) if fusion else None

    def _encode_all(self, group: list[PendingTile]) -> tuple[Features, dict[str, Tensor], dict[str, Tensor]]:
        """Encode the tiles of a group and their contexts, with their windows."""
        windows: dict[str, Tensor] = {"tile": self._window_tensor([tile.window("tile") for tile in group])}
        contexts: dict[str, Tensor] = {}
        for context in self.config.outer_contexts:
            contexts[context.name], windows[context.name] = self._context(context.name, group)
        return self._model.encode_tile(self._upload(group, "tile")), contexts, windows

    def _context(self, name: str, group: list[PendingTile]) -> tuple[Tensor, Tensor]:
        """Return features and windows of one context, which is encoded once if all tiles share it."""
        seen = [(tile.windows[name], tile.turn) for tile in group]
        windows = [tile.window(name) for tile in group]
        if all(key == seen[0] for key in seen):
            group, windows = group[:1], windows[:1]
            features = self._features.get((name, *seen[0]), 1, lambda: self._encode(name, group))
        else:
            features = self._encode(name, group)
        return features, self._window_tensor(windows)

    def _encode(self, name: str, group: list[PendingTile]) -> Tensor:
        return self._model.encode_context(name, self._upload(group, name))

    def _window_tensor(self, windows: list[FloatWindow]) -> Tensor:
        return torch.tensor(windows, dtype=torch.float64, device=self.device)

    def _upload(self, group: list[PendingTile], name: str) -> Tensor:
        """Upload the pixels of one stream as uint8 [B, C, T, T] to the device."""
        pixels = torch.from_numpy(np.stack([tile.result(name) for tile in group]))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return pixels.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error of torch says that memory does not suffice.

    Parameters
    ----------
    error : RuntimeError
        Error that torch raised.

    Returns
    -------
    bool
        True for an error for want of memory.
    """
    # The CPU's allocator has no exception type of its own.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
