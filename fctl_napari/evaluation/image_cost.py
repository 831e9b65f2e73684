"""Cost of whole images, network by network: the table beside the paper's Table 1."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fctl_napari.evaluation.cost import (
    count_flops,
    count_parameters,
    device_name,
    encode_contexts,
    peak_memory,
    random_inputs,
)
from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.inference.device import numerics, store_for_inference
from fctl_napari.segmentation.inference.hardware import resolve_device, resolve_precision
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap


@dataclass(frozen=True)
class ImageCost:
    """Cost of one network on one image.

    Attributes
    ----------
    parameters : int
        Number of the network's parameters.
    tiles : int
        Number of tiles that cover the image as ``fctl segment`` lays them.
    flops : int
        FLOPs for the image; what its tiles share counts once.
    seconds : float
        Time for the image, s: that of one tile times the tiles, and that of what they share. Reading and writing are
        not in it.
    bytes : int
        Memory of the weights, and the most that one tile's tensors take besides, bytes.
    where : str
        Device and precision, for people.
    """

    parameters: int
    tiles: int
    flops: int
    seconds: float
    bytes: int
    where: str


def image_cost(
    config: FCtLConfig,
    image_shape: tuple[int, int],
    *,
    device: str = "auto",
    precision: str = "auto",
    runs: int = 3,
) -> ImageCost:
    """Measure the cost of an image, from single tiles of noise and random weights.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.
    image_shape : tuple of 2 int
        (height, width), px.
    device, precision : str, optional
        Device and precision, as for ``Predictor``.
    runs : int, optional
        Number of timed runs of each kind, after one that warms up; the median counts.

    Returns
    -------
    ImageCost
        Parameters, tiles, FLOPs, time and memory.

    Raises
    ------
    ConfigError
        There is no such device or precision.
    """
    where = resolve_device(device)
    arithmetic = resolve_precision(precision, where.type)
    grid = TileGrid(image_shape, config.tile_size, default_overlap(config.tile_size))
    tiles = len(grid.tiles_over((0, 0, *image_shape)))
    model = make_network(config).to(where).eval()
    looks = tiles if model.gathers else 1
    every = sum(count_flops(config, shared_contexts=True).values())
    one, two = (sum(count_flops(config, tiles=n).values()) for n in (1, 2))
    shared = one + (looks - 1) * (two - one)
    store_for_inference(model, arithmetic)
    tile, contexts, windows = random_inputs(config, where)
    once: set[str] = {context.name for context in config.outer_contexts if context.scale == "global"}

    def encode(names: set[str], seen: int = 1) -> dict[str, torch.Tensor]:
        return encode_contexts(model, (tile, contexts, windows), sorted(names), seen)

    def run(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        with torch.inference_mode(), numerics(where, arithmetic):
            work()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return time.perf_counter() - begun

    def median(work: Callable[[], object]) -> float:
        run(work)
        return statistics.median(run(work) for _ in range(runs))

    with torch.inference_mode(), numerics(where, arithmetic):
        ready = encode(once)

    def one_tile() -> None:
        model.decode(model.encode_tile(tile), ready | encode(set(contexts) - once), windows)

    seconds = tiles * median(one_tile) + (median(lambda: encode(once)) if once else 0.0)
    if looks > 1:
        seconds += (looks - 1) * max(0.0, median(lambda: encode(once, 2)) - median(lambda: encode(once)))
    peak = peak_memory(where, lambda: run(lambda: model(tile, contexts, windows)))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return ImageCost(
        count_parameters(config).total,
        tiles,
        tiles * every + shared - every,
        seconds,
        weights + peak,
        f"{device_name(where)}, {arithmetic}",
    )
