"""The FCN-8s decoder against transposed convolutions without padding and explicit crops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.decoder import FCN8sDecoder, UpScores
from fctl_napari.model.encoders import make_encoder
from fctl_napari.model.encoders.base import Encoder

CLASSES = 3
CASES = [
    ("vgg16", 64, 8),
    ("vgg16", 75, 8),
    ("vgg16", 508, 8),
    ("efficientnet_lite0", 96, 8),
    ("efficientnet_lite0", 96, 2),
    ("mit_b0", 64, 8),
    ("mit_b0", 64, 4),
]


def encoder_on_meta(name: Any) -> Encoder:
    with torch.device("meta"):
        return make_encoder(name)


def inputs(encoder: Encoder, tile_size: int) -> dict[int, Tensor]:
    sizes = {stride: encoder.grid(tile_size, stride).size for stride in encoder.channels}
    return {s: torch.randn(2, encoder.channels[s], n, n, dtype=torch.float64) for s, n in sizes.items()}


def plain_decoder(
    decoder: FCN8sDecoder,
    features: dict[int, Tensor],
    tile_size: int,
    finest: int,
    before: int,
    scales: dict[int, float],
) -> Tensor:
    """Scores, x2 for every skip, then the rest; ``before`` is how many px the grids start before the tile."""

    def score(stride: int) -> Tensor:
        layer = decoder.score[str(stride)]
        return F.conv2d(features[stride] * scales.get(stride, 1.0), layer.weight, layer.bias)  # type: ignore[arg-type]

    def up(stride: int, x: Tensor, factor: int) -> Tensor:
        return F.conv_transpose2d(x, decoder.up[str(stride)].weight, stride=factor)  # type: ignore[arg-type]

    stride, x = 32, score(32)
    while stride > finest:
        skip = score(stride // 2)
        n = skip.shape[-1]
        x = up(stride, x, 2)[:, :, 1 : 1 + n, 1 : 1 + n] + skip  # a 4 x 4 kernel at stride 2 starts one cell early
        stride //= 2
    start = finest // 2 + before  # a 16 x 16 kernel at stride 8 starts four px early
    return up(finest, x, finest)[:, :, start : start + tile_size, start : start + tile_size]


@torch.no_grad()
@pytest.mark.parametrize(("name", "tile_size", "finest"), CASES)
def test_decoder_is_fcn8s_with_explicit_crops(name: Any, tile_size: int, finest: int) -> None:
    encoder = encoder_on_meta(name)
    decoder = FCN8sDecoder(encoder, encoder.channels, CLASSES, tile_size, finest_skip=finest).double()
    for parameter in decoder.parameters():
        parameter.copy_(torch.randn_like(parameter))
    features = inputs(encoder, tile_size)
    got = decoder(features)
    padded = name == "vgg16"
    scales = {8: 0.0001, 16: 0.01} if padded else {}
    assert got.shape == (2, CLASSES, tile_size, tile_size)
    torch.testing.assert_close(got, plain_decoder(decoder, features, tile_size, finest, 99 if padded else 0, scales))


def test_a_finer_skip_than_the_encoder_has_is_refused() -> None:
    encoder = encoder_on_meta("mit_b0")
    with pytest.raises(ConfigError, match=r"finest_skip 2: this encoder .* has features at strides \[4, 8, 16, 32\]"):
        FCN8sDecoder(encoder, encoder.channels, CLASSES, 64, finest_skip=2)


@torch.no_grad()
@pytest.mark.parametrize("factor", [2, 8])
def test_upsampling_starts_bilinear_with_cell_edges_aligned(factor: int) -> None:
    x = torch.randn(1, CLASSES, 6, 6)
    edge = factor  # beyond the outermost centres interpolation repeats, a transposed convolution fades
    inner = slice(edge, -edge)
    got = UpScores(CLASSES, factor)(x)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    assert got.shape == expected.shape
    torch.testing.assert_close(got[..., inner, inner], expected[..., inner, inner], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("name", "tile_size"), [("vgg16", 256), ("efficientnet_lite0", 256)])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_a_score_lands_on_its_cells_pixels(name: Any, tile_size: int, stride: int) -> None:
    encoder = encoder_on_meta(name)
    decoder = FCN8sDecoder(encoder, encoder.channels, CLASSES, tile_size).double()
    features = {s: torch.zeros_like(f) for s, f in inputs(encoder, tile_size).items()}
    zero = decoder(features)
    grid = encoder.grid(tile_size, stride)
    cell = grid.size // 2
    features[stride][:, :, cell, cell - 1] = 1
    effect = (decoder(features) - zero).abs().sum((0, 1))
    position = torch.arange(tile_size) + 0.5
    y = float((effect.sum(1) * position).sum() / effect.sum())
    x = float((effect.sum(0) * position).sum() / effect.sum())
    assert y == pytest.approx(grid.offset + (cell + 0.5) * stride, abs=0.01)
    assert x == pytest.approx(grid.offset + (cell - 0.5) * stride, abs=0.01)
