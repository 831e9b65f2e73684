"""Predictor of torch: tiles through the network on one device, with few copies and within the available memory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.exceptions import CheckpointError
from fctl_napari.imagery.chunk_cache import LastUsed
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.encoders import Features
from fctl_napari.model.network import Network
from fctl_napari.model.windows import TURNS, Dihedral
from fctl_napari.segmentation.inference.device import numerics, store_for_inference
from fctl_napari.segmentation.inference.hardware import resolve_device, resolve_precision
from fctl_napari.segmentation.inference.image_tiles import image_tiles
from fctl_napari.segmentation.inference.pixel_maps import classify_tiles, on_image, tile_maps
from fctl_napari.segmentation.inference.tile_predictor import Result, TilePredictor, check_batch, no_memory
from fctl_napari.segmentation.inference.tile_prefetch import KEPT_CONTEXTS, PendingTile
from fctl_napari.windows import FloatWindow
from fctl_napari.words import count_of

CUDA_BATCH = 8
"""Default number of tiles at once on a GPU; halved when memory runs out."""


class Predictor(TilePredictor):
    """Network that torch runs over tiles of images.

    Parameters
    ----------
    model : Network
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
    batch : int
        Number of tiles at once; halved when memory runs out.

    Raises
    ------
    ConfigError
        There is no such device or precision, or the batch is not positive.
    """

    def __init__(
        self,
        model: Network,
        *,
        device: str = "auto",
        precision: str = "auto",
        batch: int | None = None,
        exact_contexts: bool = False,
    ) -> None:
        self.device = resolve_device(device)
        self.on_gpu = self.device.type == "cuda"
        super().__init__(model.config, resolve_precision(precision, self.device.type), exact_contexts)
        check_batch(batch)
        if self.on_gpu:
            self.batch = batch or CUDA_BATCH
        else:
            self.batch = 1 if self.precision == "fp32" else batch or 1
        self._model = model.to(self.device).eval()
        store_for_inference(model, self.precision)

    def memory_bytes(self) -> int:
        """Return the memory that torch holds on the GPU, or else that of this process, bytes."""
        return torch.cuda.memory_reserved(self.device) if self.on_gpu else super().memory_bytes()

    def warm(self) -> None:
        """Do nothing: torch compiles nothing."""

    def _run_all(
        self,
        result: Result,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None = None,
    ) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        with_maps = result == "classes with maps"
        for indices, logits, weights in self._batches(pyramid, windows, turns, with_weights=with_maps):
            found = checked = [logits]
            if result != "logits":
                tiles = classify_tiles(logits)
                checked = [tiles.probability]
                found = [tiles.labels(), tiles.confidence()]
                found += [tile_maps(tiles, weights, self._model.grid)] if with_maps else []
            if not all(bool(values.isfinite().all()) for values in checked):
                raise self._not_finite(windows[indices[0]])
            arrays = [values.cpu().numpy() for values in found]
            yield from ((index, [values[i] for values in arrays]) for i, index in enumerate(indices))

    def _not_finite(self, window: FloatWindow) -> CheckpointError:
        """Return the error of a network whose output holds NaN or infinity, which would pass for a class."""
        row, column = map(round, window[:2])
        other = "use another checkpoint" if self.precision == "fp32" else "use precision fp32, or another checkpoint"
        return CheckpointError(
            f"the network ({self.config.title}) gives values that are no numbers for the tile at row {row}, column "
            f"{column} (px); {other}."
        )

    def _hardware(self) -> str:
        if self.on_gpu:
            return torch.cuda.get_device_name(self.device)
        return f"CPU, {count_of(torch.get_num_threads(), 'thread')}"

    def _batches(
        self,
        pyramid: Pyramid,
        windows: Sequence[FloatWindow],
        turns: Sequence[Dihedral] | None = None,
        *,
        with_weights: bool = False,
    ) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Run tiles in their order, some at a time, and yield their indices with the result of ``_run``."""
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

    def _forget_contexts(self) -> None:
        self._features: LastUsed[Tensor] = LastUsed(KEPT_CONTEXTS)  # of which each counts 1

    def _try(self, group: list[PendingTile], with_weights: bool) -> tuple[Tensor, Tensor | None] | None:
        """Run a group of tiles. If memory runs out, set a smaller batch and return None."""
        try:
            return self._run(group, with_weights)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(group) == 1:
                raise no_memory(str(self.device), self.config) from error
        # Here the failed run's tensors are free: the exception that held them is gone.
        self.batch = len(group) // 2
        self._forget_contexts()
        if self.on_gpu:
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
            raise no_memory(str(self.device), self.config) from error

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
            logits = on_image(logits, self.config, group[0].windows["tile"])
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
        features = self._model.encode_context(name, self._upload(group, name))
        if not self._model.gathers:
            return features
        return torch.cat([self._with_tiles(features[k : k + 1], name, tile) for k, tile in enumerate(group)])

    def _with_tiles(self, features: Tensor, name: str, tile: PendingTile) -> Tensor:
        """Give the features of all tiles of the image, turned as one of them, to those of the whole image."""
        assert self._reader is not None

        def turned(window: FloatWindow) -> Tensor:
            return torch.tensor(tile.turn.window(np.array(window, np.float64)), device=self.device)[None]

        tiles = (
            (torch.from_numpy(np.ascontiguousarray(tile.turn.pixels(pixels)))[None].to(self.device), turned(window))
            for pixels, window in image_tiles(self._reader.source, self.config)
        )
        return self._model.with_tiles(features, tiles, turned(tile.windows[name]))

    def _window_tensor(self, windows: list[FloatWindow]) -> Tensor:
        return torch.tensor(windows, dtype=torch.float64, device=self.device)

    def _upload(self, group: list[PendingTile], name: str) -> Tensor:
        """Upload the pixels of one stream as uint8 [B, C, T, T] to the device."""
        pixels = torch.from_numpy(np.stack([tile.result(name) for tile in group]))
        if self.on_gpu:
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
