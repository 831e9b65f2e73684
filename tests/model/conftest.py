"""Small networks whose signals are of order one, so that every part of them shows in the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.fctl import FCtL

settings.register_profile("unhurried", deadline=None, max_examples=50)
settings.load_profile("unhurried")

Batch = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def small_config(**fields: Any) -> FCtLConfig:
    """EfficientNet-Lite0 on 64 px at stride 16, three contexts, everything switched on."""
    defaults: dict[str, Any] = {
        "encoder": "efficientnet_lite0",
        "tile_size": 64,
        "classes": 3,
        "contexts": (Context(name="local"), Context(name="medium", scale=2.0), Context(name="large", scale="global")),
        "correlation_stride": 16,
        "scale_logits": True,
        "gate_init": 0.7,
        "ale_windows": (1, 3),
    }
    return FCtLConfig(**(defaults | fields))


def make_batch(config: FCtLConfig, tiles: int = 2, shared: int | None = None, seed: int = 0) -> Batch:
    """Random tiles and contexts, and windows as of tiles in an image of 500 x 600 px."""
    generator = torch.Generator().manual_seed(seed)
    size = config.tile_size

    def images(count: int) -> Tensor:
        coarse = torch.randint(0, 256, (count, 3, 8, 8), generator=generator).float()
        return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").round().to(torch.uint8)

    starts = torch.randint(60, 200, (tiles, 2), generator=generator).double()
    windows = {"tile": torch.cat([starts, starts + size], dim=1)}
    contexts = {}
    for context in config.outer_contexts:
        contexts[context.name] = images(shared or tiles)
        if context.scale == "global" or shared:
            window = torch.tensor([[0.0, 0.0, 500.0, 600.0]]).double().expand(shared or tiles, -1)
        else:
            half = size * float(context.scale) / 2
            middle = starts + size / 2
            window = torch.cat([middle - half, middle + half], dim=1)
        windows[context.name] = window
    return images(tiles), contexts, windows


def encode(model: FCtL, tile: Tensor, contexts: dict[str, Tensor]) -> tuple[Features, dict[str, Tensor]]:
    """What ``decode`` takes."""
    return model.encode_tile(tile), {name: model.encode_context(name, images) for name, images in contexts.items()}


def randomise(module: nn.Module) -> None:
    """Move every convolution off its start (the identity, or zero), outputs staying of the inputs' size."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.copy_(torch.randn_like(part.weight) / part.weight[0].numel() ** 0.5)
                if part.bias is not None:
                    part.bias.copy_(0.1 * torch.randn_like(part.bias))


def awaken(model: FCtL) -> FCtL:
    """Give batch norms the statistics of random images, and every bias, norm and new part a random value."""
    for part in (model.lcf, model.ale, model.necks, getattr(model.decoder, "score", model.decoder)):
        if part is not None:
            randomise(part)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and ("bias" in name or "norm" in name):
                parameter.add_(0.1 * torch.randn_like(parameter))
        for norm in norms:
            norm.momentum = None
        model.train()
        model(*make_batch(model.config, seed=1))
    return model.eval()


@pytest.fixture
def small_network() -> Callable[..., FCtL]:
    """``small_network(**fields)``: an awake network of ``small_config``, in evaluation mode."""
    return lambda **fields: awaken(FCtL(small_config(**fields)))
