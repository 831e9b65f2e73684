"""Alternating local enhancement against plain transcriptions of Eq. 6, 7, Algorithm 1 and Fig. 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fctl_napari.model.ale import ALE, LFI, split_evenly
from fctl_napari.model.geometry import FeatureGrid

from .conftest import randomise
from .helpers_plain import PADDED, UNPADDED, Box, bilinear, cells, center, conv1x1

CHANNELS = 7  # not divisible by two references or by the groups
BOXES: dict[str, Box] = {
    "tile": (100.0, 200.0, 164.0, 264.0),
    "medium": (68.0, 160.0, 196.0, 288.0),
    "large": (0.0, 0.0, 400.0, 500.0),
}


def depthwise(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """One kernel per channel, zeros outside: weight [C, 1, w, w], x [C, h, w]."""
    out = torch.zeros_like(x)
    reach = weight.shape[-1] // 2
    c, h, w = x.shape
    for y in range(h):
        for u in range(w):
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= y + dy < h and 0 <= u + dx < w:
                        out[:, y, u] += weight[:, 0, dy + reach, dx + reach] * x[:, y + dy, u + dx]
    return out + bias[:c, None, None]


def plain_lfi(lfi: nn.Module, target: Tensor, references: list[Tensor]) -> Tensor:
    """f(target; references), Eq. 6 and 7, of one tile."""
    assert isinstance(lfi, LFI)
    tokens = [conv1x1(t.weight, t.bias, r) for t, r in zip(lfi.tokens, references, strict=True)]  # type: ignore[arg-type]
    joined = torch.cat(tokens)
    assert len(joined) == len(target)
    groups = []
    start = 0
    for kernel in lfi.kernels:
        assert isinstance(kernel, nn.Conv2d)
        stop = start + kernel.out_channels
        groups.append(depthwise(kernel.weight, kernel.bias, joined[start:stop]))  # type: ignore[arg-type]
        start = stop
    assert start == len(target)
    enhancement = torch.cat(groups)
    first = conv1x1(lfi.target.weight, lfi.target.bias, target) if isinstance(lfi.target, nn.Conv2d) else target
    return first + enhancement * target


@torch.no_grad()
@pytest.mark.parametrize("tokenise", [True, False])
@pytest.mark.parametrize("windows", [(3,), (1, 3), (3, 5, 7, 9)])
@pytest.mark.parametrize("count", [1, 2])
def test_interaction_is_equation_6_and_7(count: int, windows: tuple[int, ...], tokenise: bool) -> None:
    lfi = LFI(CHANNELS, count, windows, tokenise).double()
    randomise(lfi)
    target, *references = torch.randn(1 + count, 2, CHANNELS, 4, 4, dtype=torch.float64)
    got = lfi(target, references)
    assert [k.kernel_size for k in lfi.kernels] == [(w, w) for w in windows]
    for b in range(2):
        torch.testing.assert_close(got[b], plain_lfi(lfi, target[b], [r[b] for r in references]))


@torch.no_grad()
def test_enhancement_starts_small() -> None:
    """f(target) starts near the target, and ALE near zero, so that X_I + ALE starts near X_I."""
    lfi = LFI(CHANNELS, 1, (3, 5), tokenise_target=True)
    x, reference = torch.randn(2, 1, CHANNELS, 4, 4)
    torch.testing.assert_close(lfi(x, [reference]), x, rtol=0.3, atol=0)
    ale = ALE(CHANNELS, "d", "medium", (3, 5), tokenise_target=True)
    features = {name: torch.randn(1, CHANNELS, UNPADDED.size, UNPADDED.size) for name in BOXES}
    enhanced = ale(UNPADDED, features, {name: torch.tensor([box]) for name, box in BOXES.items()})
    assert 0 < float(enhanced.abs().max()) < 0.3


def test_split_evenly() -> None:
    assert split_evenly(7, 4) == [2, 2, 2, 1]
    assert split_evenly(8, 2) == [4, 4]


Step = dict[str, Callable[..., Tensor]]


def structure_a(f: list[Step], tile: Tensor, ref: Tensor) -> Tensor:
    return f[0]["tile"](tile, [ref])


def structure_b(f: list[Step], tile: Tensor, ref: Tensor, name: str) -> Tensor:
    enhanced_tile = f[0]["tile"](tile, [ref])
    enhanced_ref = f[0][name](ref, [tile])
    return f[1]["tile"](enhanced_tile, [enhanced_ref])


def structure_c(f: list[Step], tile: Tensor, medium: Tensor, large: Tensor) -> Tensor:
    return f[0]["tile"](tile, [medium, large])


def everyone(f: Step, tile: Tensor, medium: Tensor, large: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lines 1 to 3 of Algorithm 1, all from the same features."""
    return f["tile"](tile, [medium, large]), f["medium"](medium, [tile, large]), f["large"](large, [tile, medium])


def algorithm_1(f: list[Step], tile: Tensor, medium: Tensor, large: Tensor) -> Tensor:
    tile_1, medium_1, large_1 = everyone(f[0], tile, medium, large)
    return f[1]["tile"](tile_1, [medium_1, large_1])  # line 4


def structure_e(f: list[Step], tile: Tensor, medium: Tensor, large: Tensor) -> Tensor:
    step_1 = everyone(f[0], tile, medium, large)
    tile_2, medium_2, large_2 = everyone(f[1], *step_1)
    return f[2]["tile"](tile_2, [medium_2, large_2])


def plain_crop(grid: FeatureGrid, features: Tensor, window: Box) -> Tensor:
    out = torch.zeros_like(features)
    for y, x in cells(grid):
        out[:, y, x] = bilinear(grid, features, window, center(grid, BOXES["tile"], y, x))
    return out


@torch.no_grad()
@pytest.mark.parametrize("grid", [PADDED, UNPADDED], ids=["padded", "unpadded"])
@pytest.mark.parametrize("reference", ["medium", "large"])
@pytest.mark.parametrize("structure", ["a", "b", "c", "d", "e", "concat"])
def test_structures_of_table_6(structure: Any, reference: Any, grid: FeatureGrid) -> None:
    ale = ALE(CHANNELS, structure, reference, (1, 3), tokenise_target=True).double()
    randomise(ale)
    features = {name: torch.randn(1, CHANNELS, grid.size, grid.size, dtype=torch.float64) for name in BOXES}
    windows = {name: torch.tensor([box]).double() for name, box in BOXES.items()}
    got = ale(grid, features, windows)[0]

    tile = features["tile"][0]
    medium, large = (plain_crop(grid, features[name][0], BOXES[name]) for name in ("medium", "large"))
    f: list[Step] = [
        {name: (lambda t, r, lfi=lfi: plain_lfi(lfi, t, r)) for name, lfi in step.items()}  # type: ignore[operator]
        for step in ale.steps
    ]
    ref = {"medium": medium, "large": large}[reference]
    if structure == "a":
        expected = structure_a(f, tile, ref)
    elif structure == "b":
        expected = structure_b(f, tile, ref, reference)
    elif structure == "c":
        expected = structure_c(f, tile, medium, large)
    elif structure == "d":
        expected = algorithm_1(f, tile, medium, large)
    elif structure == "e":
        expected = structure_e(f, tile, medium, large)
    else:
        assert ale.concat is not None
        expected = conv1x1(ale.concat.weight, ale.concat.bias, torch.cat([tile, medium, large]))
    torch.testing.assert_close(got, expected)


@torch.no_grad()
@pytest.mark.parametrize("structure", ["a", "d", "concat"])
def test_contexts_and_windows_of_batch_1_are_shared(structure: Any) -> None:
    ale = ALE(CHANNELS, structure, "medium", (1, 3), tokenise_target=False).double()
    randomise(ale)
    shape = (CHANNELS, UNPADDED.size, UNPADDED.size)
    tiles = torch.randn(3, *shape, dtype=torch.float64)
    features = {"tile": tiles, **{n: torch.randn(1, *shape, dtype=torch.float64) for n in ("medium", "large")}}
    windows = {name: torch.tensor([box]).double() for name, box in BOXES.items()}
    repeated = {name: value.expand(3, *shape) for name, value in features.items()}
    torch.testing.assert_close(
        ale(UNPADDED, features, windows),
        ale(UNPADDED, repeated, {name: window.expand(3, -1) for name, window in windows.items()}),
    )
