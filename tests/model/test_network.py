"""The whole network: the sum, sharing, explanations, precisions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctl_napari.evaluation.cost import random_inputs
from fctl_napari.model.build import make_network
from fctl_napari.model.config import Context
from fctl_napari.model.explain import explain
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.lcf import LCC, MCF
from fctl_napari.model.presets import preset

from .conftest import awaken, encode, make_batch, small_config

Network = Callable[..., FCtL]
TWO = (Context(name="local"), Context(name="medium", scale=2.0))


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("fields", [{}, {"lcf": False}, {"ale": "none"}, {"contexts": (), "ale": "none"}])
def test_decode_is_the_decoder_on_the_sum(fields: dict[str, Any], small_network: Network) -> None:
    model = small_network(**fields)
    tile, contexts, windows = make_batch(model.config)
    features = model.encode_tile(tile)
    x = features[16]
    maps = {"tile": x, **{name: model.encode_context(name, images) for name, images in contexts.items()}}
    total = x.clone()
    if model.lcf is not None:
        total += model.lcf(model.grid, maps, windows)
    if model.ale is not None:
        total += model.ale(model.grid, maps, windows)
    expected = model.decoder({32: features[32], 16: total, 8: features[8]})
    got = model(tile, contexts, windows)
    assert got.shape == (2, 3, 64, 64)
    close(got, expected)
    assert not any(torch.equal(total, other) for other in maps.values()) or not model.config.contexts


@torch.no_grad()
@pytest.mark.parametrize("name", ["medium", "large"])
def test_every_context_and_every_window_matters(name: str, small_network: Network) -> None:
    model = small_network()
    tile, contexts, windows = make_batch(model.config)
    logits = model(tile, contexts, windows)
    other = model(tile, {**contexts, name: contexts[name].flip(0)}, windows)
    assert float((other - logits).abs().max()) > 1e-3 * float(logits.abs().max())
    moved = model(tile, contexts, {**windows, name: windows[name] + 40})
    assert float((moved - logits).abs().max()) > 1e-3 * float(logits.abs().max())
    shift = torch.tensor([700.0, 300.0, 700.0, 300.0]).double()
    close(model(tile, contexts, {n: w + shift for n, w in windows.items()}), logits)  # only differences count
    close(model(tile, contexts, {n: w * 4 for n, w in windows.items()}), logits)  # and ratios


SHARED: list[dict[str, Any]] = [
    {},
    {"ale": "concat"},
    {"values_from": "local"},
    {"share_encoders": "all"},
    {"encoder": "mit_b0", "decoder": "segformer"},
]


@torch.no_grad()
@pytest.mark.parametrize("fields", SHARED)
def test_a_shared_context_equals_a_repeated_one(fields: dict[str, Any], small_network: Network) -> None:
    model = small_network(**fields)
    tile, contexts, windows = make_batch(model.config, tiles=3, shared=1)
    assert {len(images) for images in contexts.values()} == {1}
    shared = model(tile, contexts, windows)
    repeated = model(
        tile,
        {name: images.expand(3, -1, -1, -1) for name, images in contexts.items()},
        {name: window.expand(3, -1) for name, window in windows.items()},
    )
    close(shared, repeated)
    one = model(tile[1:2], contexts, {**windows, "tile": windows["tile"][1:2]})
    close(one[0], shared[1])


@torch.no_grad()
def test_streams_start_in_one_space_of_features() -> None:
    model = FCtL(small_config(width=8, top_down=True))
    start = model.necks["tile"].state_dict()
    for neck in model.necks.values():
        for key, value in neck.state_dict().items():
            torch.testing.assert_close(value, start[key], rtol=0, atol=0)


@torch.no_grad()
def test_shared_encoders_see_the_same(small_network: Network) -> None:
    model = small_network(share_encoders="all", width=12)
    images = make_batch(model.config)[0]
    tile = model.encode_tile(images)[16]
    for name in ("medium", "large"):
        torch.testing.assert_close(model.encode_context(name, images), tile)
    separate = small_network(share_encoders="contexts", width=12)
    medium, large = (separate.encode_context(name, images) for name in ("medium", "large"))
    torch.testing.assert_close(medium, large)
    assert not torch.allclose(medium, separate.encode_tile(images)[16])


@torch.no_grad()
@pytest.mark.parametrize(("encoder", "stride"), [("efficientnet_lite0", 8), ("efficientnet_lite0", 16), ("vgg16", 16)])
def test_top_down_adds_the_last_stage_at_the_finer_grid(encoder: Any, stride: int) -> None:
    config = small_config(
        encoder=encoder, tile_size=64, contexts=(), ale="none", width=8, top_down=True, correlation_stride=stride
    )
    model = FCtL(config).eval()
    images = make_batch(config, tiles=1)[0]
    features = model.encoder("tile")(images)
    neck = model.necks["tile"]
    lateral = neck.lateral(features[stride])  # type: ignore[operator]
    top = neck.top(features[32])  # type: ignore[operator]
    up = F.interpolate(top, scale_factor=32 // stride, mode="bilinear", align_corners=False)
    n = model.grid.size
    assert lateral.shape == (1, 8, n, n)
    torch.testing.assert_close(model.encode_tile(images)[stride], lateral + up[:, :, :n, :n])


CASES = [
    {},
    {"gpe": False},
    {"projections": False},
    {"values_from": "local"},
    {"fusion": "average"},
    {"fusion": "weighted"},
    {"contexts": TWO, "ale": "none"},
    {"encoder": "mit_b0", "decoder": "segformer"},
]


class Forward(NamedTuple):
    """A forward pass of one tile, and what it computed on the way."""

    logits: Tensor
    values: dict[str, Tensor]
    """Values of each context, [C, h, w]."""
    contributions: dict[str, Tensor]
    """Outputs of each correlation, [C, h, w]."""
    weights: Tensor
    """Fusion weights, [contexts, C, h, w]."""


def run_forward(model: FCtL, tile: Tensor, contexts: dict[str, Tensor], windows: dict[str, Tensor]) -> Forward:
    assert model.lcf is not None
    contributions: dict[str, Tensor] = {}
    values: dict[str, Tensor] = {}
    weights: list[Tensor] = []

    def keep(module: torch.nn.Module, args: Any, output: Tensor, name: str) -> None:
        assert isinstance(module, LCC)
        values[name] = module.value(args[1] if module.values_from == "context" else args[0])[0]
        contributions[name] = output[0]

    def keep_weights(module: torch.nn.Module, args: Any, output: Tensor) -> None:
        assert isinstance(module, MCF)
        weights.append(module.weights(args[0])[0])

    for name, correlation in model.lcf.correlations.items():
        correlation.register_forward_hook(partial(keep, name=name))
    model.lcf.fusion.register_forward_hook(keep_weights)
    logits = model(tile, contexts, windows)
    return Forward(logits[0], values, contributions, weights[0])


@torch.no_grad()
@pytest.mark.parametrize("fields", CASES, ids=str)
def test_explain_reports_what_forward_did(fields: dict[str, Any], small_network: Network) -> None:
    model = small_network(**fields)
    tile, contexts, windows = make_batch(model.config, tiles=1)
    forward = run_forward(model, tile, contexts, windows)
    told = explain(model, *encode(model, tile, contexts), windows)
    assert told.grid == model.grid
    assert list(told.attention) == [c.name for c in model.config.contexts]
    y0, x0 = (float(v) for v in windows["tile"][0, :2])
    for pixel, cell in (((3, 40), (0, 2)), ((63, 0), (3, 0)), ((20, 33), (1, 2))):
        assert model.cell_at(windows["tile"], (y0 + pixel[0], x0 + pixel[1])) == cell
        for name, attention in told.attention.items():
            row = attention.row(cell)
            assert float(row.combined.sum()) == pytest.approx(1, abs=1e-5)
            contribution = forward.contributions[name][:, cell[0], cell[1]]
            close(attention.gamma * (row.combined * forward.values[name]).sum((1, 2)), contribution)
    for name, expected in zip(told.fusion, forward.weights, strict=True):
        torch.testing.assert_close(told.fusion[name], expected)
    summed = torch.stack(list(told.fusion.values())).sum(0)
    torch.testing.assert_close(summed, torch.ones_like(summed))
    close(told.logits, forward.logits, 1e-6)


def test_explain_without_lcf_has_no_attention(small_network: Network) -> None:
    model = small_network(lcf=False)
    tile, contexts, windows = make_batch(model.config, tiles=1)
    with torch.no_grad():
        told = explain(model, *encode(model, tile, contexts), windows)
        assert told.attention == {}
        assert told.fusion == {}
        close(told.logits, model(tile, contexts, windows)[0])


def error(got: Tensor, expected: Tensor) -> float:
    """Root mean square error over the standard deviation of what is expected."""
    assert got.isfinite().all()
    return float((got.float() - expected).square().mean().sqrt() / expected.std())


@torch.no_grad()
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ale": "e", "fusion": "weighted"},
        {"encoder": "mit_b0", "width": 16},
        {"encoder": "mit_b0", "decoder": "segformer"},
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bfloat16_and_channels_last_agree_roughly(how: str, fields: dict[str, Any]) -> None:
    model = awaken(FCtL(small_config(**fields)))
    tile, contexts, windows = make_batch(model.config)
    features = model.encode_tile(tile)
    encoded = {name: model.encode_context(name, images) for name, images in contexts.items()}
    expected = model.decode(features, encoded, windows)

    model = model.to(memory_format=torch.channels_last)
    tile = tile.contiguous(memory_format=torch.channels_last)
    close(model(tile, contexts, windows), expected)
    if how == "weights":
        model = model.to(torch.bfloat16)
        features = {stride: x.bfloat16() for stride, x in features.items()}
        encoded = {name: x.bfloat16() for name, x in encoded.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        decoded = model.decode(features, encoded, windows)
        whole = model(tile, contexts, windows)
    assert decoded.dtype == whole.dtype == torch.bfloat16
    assert error(decoded, expected) < 0.02  # fusion and decoder keep bfloat16's 2 to 3 digits
    assert error(whole, expected) < 0.5  # an untrained encoder amplifies rounding from layer to layer


@torch.no_grad()
def test_bfloat16_on_vgg16() -> None:
    model = FCtL(small_config(encoder="vgg16", tile_size=32, contexts=(), ale="none", correlation_stride=32)).eval()
    batch = make_batch(model.config, tiles=1)
    expected = model(*batch)
    model = model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        got = model(*batch)
    assert float((got.float() - expected).abs().max()) < 0.05 * float(expected.abs().max())


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *((name, {}) for name in ("fctl_lite", "fctl_vgg16", "fctl_mit_b0", "lcc_released", "fcn8s", "deeplabv3plus")),
        ("fctl_mit_b0", {"decoder": "segformer"}),
    ],
)
def test_a_pass_makes_no_tensor_on_the_host(name: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # It would be copied to a GPU in every pass, which waits for it, and a CUDA graph cannot hold the copy.
    config = preset(name, **fields)
    with torch.device("meta"):
        model = make_network(config).eval()
    inputs = random_inputs(config, "meta")
    model(*inputs)  # computes what is computed once per network
    for way in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.delattr(torch, way)
    assert model(*inputs).shape[1] == config.classes
