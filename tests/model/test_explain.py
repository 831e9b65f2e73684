"""Attention maps, fusion weights and enhancements are those that the network computes with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fctl_napari.exceptions import ConfigError
from fctl_napari.model import explain as explain_module
from fctl_napari.model.ale import LFI
from fctl_napari.model.config import Context
from fctl_napari.model.explain import Attention, explain
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.feature_ablation import Without

from .conftest import encode, make_batch

Network = Callable[..., FCtL]


@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)),
    gpe=st.booleans(),
    gate=st.floats(0, 1),
    limit=st.integers(1, 200),
    seed=st.integers(0, 2**16),
)
def test_received_is_the_sum_of_the_rows(
    sizes: tuple[int, int, int], gpe: bool, gate: float, limit: int, seed: int
) -> None:
    n, h, w = sizes
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return 3 * torch.randn(*shape, generator=random)

    axes = (draw(n, h).softmax(1), draw(n, w).softmax(1)) if gpe else None
    attention = Attention(draw(4, n, n), draw(4, h, w), 0.7, axes, gate if gpe else 1.0, 0.3)
    rows = [attention.row((y, x)) for y in range(n) for x in range(n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain_module, "MAX_ATTENTION_CELLS", limit)
        received = attention.received()
    for row in rows:
        for part in (row.content, row.combined, *([row.positional] if row.positional is not None else [])):
            assert part.shape == (h, w)
            assert float(part.sum()) == pytest.approx(1, abs=1e-5)
        if row.positional is None:
            assert row.combined is row.content
        else:
            torch.testing.assert_close(row.combined, gate * row.content + (1 - gate) * row.positional)
    for name in ("content", "positional", "combined"):
        if gpe or name != "positional":
            summed = torch.stack([getattr(row, name) for row in rows]).sum(0)
            torch.testing.assert_close(getattr(received, name), summed, rtol=1e-4, atol=1e-5)
            assert float(getattr(received, name).sum()) == pytest.approx(n * n, rel=1e-5)


def test_received_holds_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_module, "MAX_ATTENTION_CELLS", 100)
    held: list[int] = []
    softmax = Tensor.softmax

    def spy(self: Tensor, *arguments: Any) -> Tensor:
        held.append(self.numel())
        return softmax(self, *arguments)

    monkeypatch.setattr(Tensor, "softmax", spy)
    Attention(torch.randn(4, 6, 6), torch.randn(4, 5, 5), 1.0, None, 1.0, 1.0).received()
    assert held == [100] * 9  # 4 rows of 25 at once, of 36


CASES: list[dict[str, Any]] = [
    {},
    {"gpe": False, "fusion": "released", "ale": "none"},
    {"values_from": "local", "ale": "e", "ale_windows": (3, 1, 3)},
    {"fusion": "average", "ale": "concat"},
    {"fusion": "weighted", "projections": False, "ale": "a"},
    {"lcf": False},
    {"contexts": (Context(name="local", scale=2.0), Context(name="large", scale=3.0)), "ale": "none"},
    {"contexts": (), "ale": "none"},
    {"encoder": "mit_b0", "decoder": "segformer"},
    {"encoder": "vgg16", "tile_size": 32, "correlation_stride": 32, "width": 8, "share_encoders": "all"},
]


@torch.no_grad()
@pytest.mark.parametrize("fields", CASES, ids=str)
def test_every_network_can_be_explained(fields: dict[str, Any], small_network: Network) -> None:
    model = small_network(**fields)
    config = model.config
    tile, contexts, windows = make_batch(config, tiles=1)
    encoded = encode(model, tile, contexts)
    names = [c.name for c in config.contexts] if config.lcf else []
    variants = [Without(), *[Without(frozenset({c.name})) for c in config.contexts]]
    variants += [Without(frozenset(names))] if names else []
    variants += [Without(ale=True)] if config.ale != "none" else []
    for without in variants:
        told = explain(model, *encoded, windows, without)
        assert torch.equal(told.logits, model.decode(*encoded, windows, without)[0]), "the same logits to the bit"
        left = [name for name in names if name not in without.contexts]
        assert list(told.attention) == list(told.fusion) == left
        n = model.grid.size
        if left:
            summed = torch.stack(list(told.fusion.values())).sum(0)
            assert summed.shape[1:] == (n, n)
            torch.testing.assert_close(summed, torch.ones_like(summed))
        for attention in told.attention.values():
            assert (attention.axes is not None) == config.gpe
        assert [(e.step, e.target) for e in told.enhancements] == [
            (step, target) for step, target in blocks(config.ale) if target not in without.contexts and not without.ale
        ]
        for enhancement in told.enhancements:
            assert set(enhancement.maps) == set(config.ale_windows)
            assert all(found.shape == (n, n) and (found >= 0).all() for found in enhancement.maps.values())
    assert not any(module._forward_pre_hooks for module in model.modules()), "nothing stays behind"


def blocks(structure: str) -> list[tuple[int, str]]:
    """The blocks of Fig. 13: step and target."""
    everyone = ["tile", "medium", "large"]
    steps = {"a": [["tile"]], "d": [everyone, ["tile"]], "e": [everyone, everyone, ["tile"]]}.get(structure, [])
    return [(number, target) for number, step in enumerate(steps, 1) for target in step]


@torch.no_grad()
def test_enhancement_maps_are_equation_6(small_network: Network) -> None:
    model = small_network(ale_windows=(3, 1, 3))
    assert model.ale is not None
    tile, contexts, windows = make_batch(model.config, tiles=1)
    features, encoded = encode(model, tile, contexts)
    told = explain(model, features, encoded, windows)
    current = model.ale.crop(model.grid, {"tile": features[16], **encoded}, windows)
    channels = features[16].shape[1]
    thirds = [channels - 2 * (channels // 3) - (channels % 3 == 2), channels // 3 + (channels % 3 == 2), channels // 3]
    for number, step in enumerate(model.ale.steps, 1):
        following = {}
        for name, lfi in step.items():  # type: ignore[operator]
            assert isinstance(lfi, LFI)
            e = lfi.enhancement([x for other, x in current.items() if other != name])[0].abs()
            (found,) = [m for m in told.enhancements if (m.step, m.target) == (number, name)]
            first, second, third = torch.split(e, thirds)
            torch.testing.assert_close(found.maps[1], second.mean(0))
            torch.testing.assert_close(found.maps[3], torch.cat([first, third]).mean(0))
            following[name] = lfi(current[name], [x for other, x in current.items() if other != name])
        current = following


@torch.no_grad()
def test_in_bfloat16_the_rows_are_float32(small_network: Network) -> None:
    model = small_network()
    tile, contexts, windows = make_batch(model.config, tiles=1)
    encoded = encode(model, tile, contexts)
    exact = explain(model, *encoded, windows)
    with torch.autocast("cpu", torch.bfloat16):
        told = explain(model, *encoded, windows)
        row, received = told.attention["large"].row((1, 2)), told.attention["large"].received()
    assert row.content.dtype == received.content.dtype == told.fusion["large"].dtype == torch.float32
    assert float(row.combined.sum()) == pytest.approx(1, abs=1e-6)
    assert float(received.combined.sum()) == pytest.approx(16, abs=1e-5)
    difference = (row.content - exact.attention["large"].row((1, 2)).content).abs().max()
    assert 0 < float(difference) < 0.05


def test_what_is_not_there_cannot_be_left_out(small_network: Network) -> None:
    model = small_network(ale="none")
    tile, contexts, windows = make_batch(model.config, tiles=1)
    with torch.no_grad(), pytest.raises(ConfigError, match="no local enhancement"):
        explain(model, *encode(model, tile, contexts), windows, Without(ale=True))
