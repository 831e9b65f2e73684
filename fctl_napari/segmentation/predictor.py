"""Tiles through the network on one device, with few copies and within the memory there is."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fctl_napari.errors import ConfigError
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.windows import TURNS, Dihedral, Window
from fctl_napari.segmentation.pixel_maps import as_bytes, classify_tiles, tile_maps
from fctl_napari.segmentation.reading import KEPT_CONTEXTS, PendingTile, Recent, TileReader

Precision = Literal["fp32", "bf16"]

CUDA_BATCH = 8
"""Tiles at once on a GPU unless asked otherwise; halved when memory runs out."""


def resolve_device(device: str) -> torch.device:
    """Turn ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"`` into a device that is there.

    Raises
    ------
    ConfigError
        There is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"there is no device {device!r}; use auto, cpu or cuda.") from None
    available = torch.cuda.device_count() if found.type == "cuda" else int(found.type == "cpu")
    if (found.index or 0) >= available:
        raise ConfigError(f"device {device!r} is not available here; use auto or cpu.")
    return found


def resolve_precision(precision: str, device: torch.device) -> Precision:
    """Turn ``"auto"`` into bf16 where the hardware computes it fast, else fp32.

    Raises
    ------
    ConfigError
        There is no such precision.
    """
    if precision == "fp32":
        return "fp32"
    if precision == "bf16":
        return "bf16"
    if precision != "auto":
        raise ConfigError(f"there is no precision {precision!r}; use auto, fp32 or bf16.")
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    features = torch.cpu.get_capabilities()
    return "bf16" if features.get("amx_bf16") or features.get("avx512_bf16") else "fp32"


class Predictor:
    """Runs a network over tiles of images.

    Parameters
    ----------
    model
        The network; it is moved to the device and set to evaluation, and belongs to the predictor from then on.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    precision
        ``"fp32"``, ``"bf16"`` (autocast), or ``"auto"``: bf16 where the hardware computes it fast.
    batch
        Tiles at once. On the CPU in fp32 each tile is run by itself, whatever this says, so that results do not
        depend on it to the bit.
    exact_contexts
        Resample contexts from full resolution rather than from the nearest finer level of the pyramid.

    Raises
    ------
    ConfigError
        There is no such device or precision, or the batch is not positive.
    """

    def __init__(
        self,
        model: FCtL,
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
        self._model = model.to(self.device).eval()
        store_for_inference(self._model, self.precision)
        self._exact = exact_contexts
        self._pool = ThreadPoolExecutor(min(8, max(2, os.cpu_count() or 2)), thread_name_prefix="fctl-read")
        self._reader: TileReader | None = None
        self._features: Recent[tuple[str, Window, Dihedral], Tensor] = Recent(KEPT_CONTEXTS)

    def describe(self) -> str:
        """Name the device and the precision, for people."""
        if self.device.type == "cuda":
            return f"{torch.cuda.get_device_name(self.device)}, {self.precision}"
        return f"CPU, {torch.get_num_threads()} threads, {self.precision}"

    def memory_bytes(self) -> int:
        """How much memory is held: torch's on the GPU, or all that this process has."""
        if self.device.type == "cuda":
            return torch.cuda.memory_reserved(self.device)
        return int(psutil.Process().memory_info().rss)

    def close(self) -> None:
        """End the reading threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def predict(
        self, pyramid: Pyramid, windows: Sequence[Window], turns: Sequence[Dihedral] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Logits of tiles, in their order.

        Parameters
        ----------
        pyramid
            The image.
        windows
            Tiles, full-resolution px.
        turns
            How the network sees each of them; None: as they are. The logits are turned back.

        Yields
        ------
        index : int
            Which of ``windows``.
        logits : float32 array [classes, T, T]

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
        self, pyramid: Pyramid, windows: Sequence[Window]
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Labels and confidence of tiles, in their order; softmax and argmax run on the device.

        Parameters
        ----------
        pyramid, windows
            As for :meth:`predict`.

        Yields
        ------
        index : int
            Which of ``windows``.
        labels : uint8 array [T, T]
            k + 1 for class k.
        confidence : uint8 array [T, T]
            1..255: the probability of that class, times 255.

        Raises
        ------
        InputError, ConfigError
            As :meth:`predict`.
        """
        for indices, logits, _ in self._batches(pyramid, windows):
            with torch.inference_mode():
                _, probability, chosen = classify_tiles(logits)
                labels = (chosen + 1).to(torch.uint8).cpu().numpy()
                confidence = as_bytes(probability).cpu().numpy()
            yield from zip(indices, labels, confidence, strict=True)

    def classify_with_maps(
        self, pyramid: Pyramid, windows: Sequence[Window]
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]]:
        """Labels, confidence and maps of tiles, in their order, from one pass of the network.

        Parameters
        ----------
        pyramid, windows
            As for :meth:`predict`.

        Yields
        ------
        index, labels, confidence
            The same as from :meth:`classify`.
        maps : uint8 array [maps, T, T]
            In the order of ``map_names``: 1..255, the value of 0..1 times 255.

        Raises
        ------
        InputError, ConfigError
            As :meth:`predict`.
        """
        for indices, logits, weights in self._batches(pyramid, windows, with_weights=True):
            with torch.inference_mode():
                probabilities, probability, chosen = classify_tiles(logits)
                labels = (chosen + 1).to(torch.uint8).cpu().numpy()
                confidence = as_bytes(probability).cpu().numpy()
                maps = tile_maps(probabilities, probability, chosen, weights, self._model.grid).cpu().numpy()
            yield from zip(indices, labels, confidence, maps, strict=True)

    def _batches(
        self,
        pyramid: Pyramid,
        windows: Sequence[Window],
        turns: Sequence[Dihedral] | None = None,
        *,
        with_weights: bool = False,
    ) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Run tiles in their order, some at a time; yields their indices and what :meth:`_run` returns."""
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

    def _reader_of(self, pyramid: Pyramid) -> TileReader:
        if self._reader is None or self._reader.pyramid is not pyramid:
            self._features.clear()
            self._reader = TileReader(pyramid, self.config, self._exact, self._pool)
        return self._reader

    def _try(self, group: list[PendingTile], with_weights: bool) -> tuple[Tensor, Tensor | None] | None:
        """Run a group; None, with a smaller batch set, if memory ran out."""
        try:
            return self._run(group, with_weights)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if len(group) == 1:
                raise ConfigError(
                    f"the memory of {self.device} does not suffice for one tile of {self.config.tile_size} px; "
                    "close other programs or use another device."
                ) from error
        # Here the failed run's tensors are free: the exception that held them is gone.
        self.batch = len(group) // 2
        self._features.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _run(self, group: list[PendingTile], with_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Float32 logits [B, C, T, T], and if asked for the fusion weights [B, contexts, h, w], mean over channels."""
        with torch.inference_mode(), numerics(self.device, self.precision):
            windows: dict[str, Tensor] = {"tile": self._window_tensor([tile.place("tile") for tile in group])}
            contexts: dict[str, Tensor] = {}
            for context in self.config.outer_contexts:
                contexts[context.name], windows[context.name] = self._context(context.name, group)
            features = self._model.encode_tile(self._upload(group, "tile"))
            if not with_weights:
                return self._model.decode(features, contexts, windows).float(), None
            fusion: list[Tensor] = []
            logits = self._model.decode(features, contexts, windows, fusion=fusion).float()
            return logits, fusion[0].float().mean(2) if fusion else None

    def _context(self, name: str, group: list[PendingTile]) -> tuple[Tensor, Tensor]:
        """Features and windows of one context; one that all tiles share is encoded once, and remembered."""
        seen = [(tile.windows[name], tile.turn) for tile in group]
        places = [tile.place(name) for tile in group]
        if all(key == seen[0] for key in seen):
            group, places = group[:1], places[:1]
            features = self._features.get((name, *seen[0]), lambda: self._encode(name, group))
        else:
            features = self._encode(name, group)
        return features, self._window_tensor(places)

    def _encode(self, name: str, group: list[PendingTile]) -> Tensor:
        return self._model.encode_context(name, self._upload(group, name))

    def _window_tensor(self, windows: list[Window]) -> Tensor:
        return torch.tensor(windows, dtype=torch.float64, device=self.device)

    def _upload(self, group: list[PendingTile], name: str) -> Tensor:
        """Pixels of one stream as uint8 [B, 3, T, T] on the device."""
        pixels = torch.from_numpy(np.stack([tile.result(name) for tile in group]))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return pixels.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)


@contextlib.contextmanager
def numerics(device: torch.device, precision: Precision) -> Iterator[None]:
    """Compute as the precision says: bf16 by autocast; fp32 without TF32 and by the same algorithm every time."""
    if precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif device.type == "cuda":
        with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            yield
    else:
        yield


def store_for_inference(model: nn.Module, precision: Precision) -> None:
    """Lay weights out channels last; in bf16, keep those so that autocast would convert on every call."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    for module in model.modules():
        if precision == "bf16" and isinstance(module, kinds):
            module.to(torch.bfloat16)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _out_of_memory(error: RuntimeError) -> bool:
    # The CPU's allocator has no exception type of its own.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
