"""Cost of a network: parameters, FLOPs by part, memory and seconds per tile."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fctl_napari.model.build import make_network
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.network import Network
from fctl_napari.model.windows import context_window
from fctl_napari.segmentation.inference.device import numerics, store_for_inference
from fctl_napari.segmentation.inference.hardware import resolve_device, resolve_precision
from fctl_napari.words import count_of

PARTS = ("encoders", "LCC", "MCF", "ALE", "decoder")
"""Parts of a network by which FLOPs are counted."""


@dataclass(frozen=True)
class Parameters:
    """Counts of parameters.

    Attributes
    ----------
    total : int
        Number of all parameters.
    live : int
        Number of those that a forward pass uses.
    trainable : int
        Number of the live ones that training changes.
    """

    total: int
    live: int
    trainable: int


@dataclass(frozen=True)
class Speed:
    """Speed and memory of one tile on one device.

    Attributes
    ----------
    seconds : float
        Median time, s.
    peak_bytes : int
        Most memory that one tile's tensors take at once, beyond the weights, bytes.
    weight_bytes : int
        Memory of the weights as they lie on the device, bytes.
    where : str
        Device and precision, for people.
    """

    seconds: float
    peak_bytes: int
    weight_bytes: int
    where: str


Inputs = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]
"""Tile, contexts and windows, as ``Network.forward`` takes them."""


def random_inputs(config: FCtLConfig, device: torch.device | str) -> Inputs:
    """Make noise as inputs: one tile in the middle of an image of 8 x 8 tiles, with its contexts.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.
    device : torch.device or str
        Device of the tensors; "meta" allocates nothing.

    Returns
    -------
    tuple of (Tensor, dict of str to Tensor, dict of str to Tensor)
        Tile and contexts of uint8 [1, C, T, T], with a mask for a refiner, and windows of float32 [1, 4] by name.
    """
    size = config.tile_size
    tile = (4.0 * size, 4.0 * size, 5.0 * size, 5.0 * size)
    windows = {"tile": torch.tensor([tile], device=device)}
    channels = config.in_channels + config.refines
    contexts: dict[str, Tensor] = {}
    for context in config.outer_contexts:
        window = context_window(tile, context.scale, (8 * size, 8 * size), config.context_border)
        windows[context.name] = torch.tensor([window], device=device)
        contexts[context.name] = _noise(size, device, channels)
    return _noise(size, device, channels), contexts, windows


def encode_contexts(model: Network, inputs: Inputs, names: Sequence[str], tiles: int = 1) -> dict[str, Tensor]:
    """Encode contexts, and have a network that looks at all tiles of an image look at some.

    Parameters
    ----------
    model : Network
        The network.
    inputs : tuple of (Tensor, dict of str to Tensor, dict of str to Tensor)
        From ``random_inputs``.
    names : sequence of str
        Names of the contexts.
    tiles : int, optional
        Number of tiles that it looks at, all of them the one of the inputs.

    Returns
    -------
    dict of str to Tensor
        Features by name.
    """
    tile, contexts, windows = inputs
    encoded = {name: model.encode_context(name, contexts[name]) for name in names}
    if model.gathers:
        seen = tiles * [(tile, windows["tile"])]
        encoded = {name: model.with_tiles(x, seen, windows[name]) for name, x in encoded.items()}
    return encoded


def _noise(size: int, device: torch.device | str, channels: int) -> Tensor:
    """Make an image of noise [1, channels, size, size], laid out as the predictor does it."""
    noise = torch.randint(0, 256, (1, channels, size, size), device=device, dtype=torch.uint8)
    return noise.contiguous(memory_format=torch.channels_last)


def _use_savings(model: Network, savings: bool) -> None:
    """Switch the savings of VGG16 encoders on or off."""
    for encoder in model.encoders.values():
        if isinstance(encoder, VGG16):
            encoder.skip_constant_border = savings


def count_parameters(config: FCtLConfig, frozen: Sequence[str] = ()) -> Parameters:
    """Count a network's parameters without allocating them.

    Live parameters are those that a gradient reaches.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.
    frozen : sequence of str, optional
        Parts that training leaves alone, by the start of their parameters' names.

    Returns
    -------
    counts : Parameters
        Counts of all, live and trainable parameters.
    """
    with torch.device("meta"):
        model = make_network(config).eval()
        tile, contexts, windows = random_inputs(config, "meta")
        encoded = encode_contexts(model, (tile, contexts, windows), list(contexts))
        model.decode(model.encode_tile(tile), encoded, windows).sum().backward()
    live = {name: p for name, p in model.named_parameters() if p.grad is not None}
    return Parameters(
        sum(p.numel() for p in model.parameters()),
        sum(p.numel() for p in live.values()),
        sum(p.numel() for name, p in live.items() if p.requires_grad and not name.startswith(tuple(frozen))),
    )


def count_flops(
    config: FCtLConfig, *, savings: bool = True, shared_contexts: bool = False, tiles: int = 1
) -> dict[str, int]:
    """Count the FLOPs of one tile by part.

    A multiplication and its addition are two FLOPs.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.
    savings : bool, optional
        If True, leave out what does not depend on the image (the border of a padded VGG16).
    shared_contexts : bool, optional
        If True, leave out ``global`` contexts, whose features all tiles of an image share; with global inference all
        but the resampling of the image's logits.
    tiles : int, optional
        Number of tiles that a network looks at first which looks at all of an image.

    Returns
    -------
    dict of str to int
        FLOPs of ``encoders``, ``LCC``, ``MCF``, ``ALE``, ``decoder``.
    """
    with torch.device("meta"):
        model = make_network(config).eval()
    _use_savings(model, savings)
    tile, contexts, windows = random_inputs(config, "meta")
    shared = {c.name for c in config.outer_contexts if c.scale == "global"} if shared_contexts else set()
    with torch.no_grad():
        ready = {name: model.encode_context(name, images) for name, images in contexts.items()}
        model.encode_tile(tile)  # computes what is computed once per network
        with FlopCounterMode(display=False) as encoding:
            encode_contexts(model, (tile, contexts, windows), [name for name in contexts if name not in shared], tiles)
            features = model.encode_tile(tile)
        with FlopCounterMode(display=False) as decoding:
            model.decode(features, ready, windows)
    by_module = {module: sum(operators.values()) for module, operators in decoding.get_flop_counts().items()}
    flops = dict.fromkeys(PARTS, 0)
    flops["MCF"] = by_module.get("LCF.fusion", 0)
    flops["LCC"] = by_module.get("LCF", 0) - flops["MCF"]
    flops["ALE"] = by_module.get("ALE", 0)
    flops["decoder"] = decoding.get_total_flops() - sum(flops.values())
    # with global inference the image is decoded before its tiles are
    decoded = sum(encoding.get_flop_counts().get(type(model.decoder).__name__, {}).values())
    flops["decoder"] += decoded
    flops["encoders"] = encoding.get_total_flops() - decoded
    return flops


def measure_speed(
    config: FCtLConfig, *, device: str = "auto", precision: str = "auto", savings: bool = True, runs: int = 5
) -> Speed:
    """Measure time and memory of single tiles, with all contexts, on random weights.

    Parameters
    ----------
    config : FCtLConfig
        The network's settings.
    device, precision : str, optional
        Device and precision, as for ``Predictor``.
    savings : bool, optional
        Savings of padded VGG16 encoders, as for ``count_flops``.
    runs : int, optional
        Number of timed runs, after one that warms up.

    Returns
    -------
    Speed
        Median time, memory, device and precision.

    Raises
    ------
    ConfigError
        There is no such device or precision.
    """
    where = resolve_device(device)
    arithmetic = resolve_precision(precision, where.type)
    model = make_network(config).to(where).eval()
    _use_savings(model, savings)
    store_for_inference(model, arithmetic)
    tile, contexts, windows = random_inputs(config, where)

    def run() -> None:
        with torch.inference_mode(), numerics(where, arithmetic):
            model(tile, contexts, windows)
        if where.type == "cuda":
            torch.cuda.synchronize(where)

    run()
    peak = peak_memory(where, run)
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return Speed(statistics.median(seconds), peak, weights, f"{device_name(where)}, {arithmetic}")


def device_name(device: torch.device) -> str:
    """Name a device for people.

    Parameters
    ----------
    device : torch.device
        The device.

    Returns
    -------
    str
        Name of the GPU, or the CPU with its number of threads.
    """
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {count_of(torch.get_num_threads(), 'thread')}"
    )


def peak_memory(device: torch.device, run: Callable[[], object]) -> int:
    """Measure the peak of the additional memory in use while a function runs.

    Parameters
    ----------
    device : torch.device
        Device whose memory is measured.
    run : callable
        Function to run.

    Returns
    -------
    int
        Peak of the memory in use, less that in use before, bytes.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with _native_stderr_closed(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    held = peak = 0
    events: Any = profiler.profiler.kineto_results.events() if profiler.profiler is not None else []
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Keep torch's profiler from writing to stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
