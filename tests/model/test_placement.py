"""What a context contributes lies where its window says, for padded and unpadded encoders.

Features are built by hand: one bright cell in an otherwise dark context.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fctl_napari.model.encoders import make_encoder
from fctl_napari.model.encoders.base import Encoder
from fctl_napari.model.fctl import FCtL
from fctl_napari.model.geometry import FeatureGrid, relative_positions
from fctl_napari.model.lcf import LCC

from .conftest import awaken, small_config
from .helpers_plain import PADDED, UNPADDED, Box, cells, center

TILE_SIZE = 256
ENCODERS = ["vgg16", "efficientnet_lite0"]
GRIDS = st.sampled_from([PADDED, UNPADDED])


@st.composite
def tile_and_context(draw: st.DrawFn) -> tuple[Box, Box]:
    """A tile and a context that covers it, anywhere."""
    size = draw(st.floats(64, 512))
    y0, x0 = draw(st.floats(0, 3000)), draw(st.floats(0, 3000))
    top, left, bottom, right = (draw(st.floats(0, 1500)) for _ in range(4))
    return (y0, x0, y0 + size, x0 + size), (y0 - top, x0 - left, y0 + size + bottom, x0 + size + right)


def nearest(grid: FeatureGrid, window: Box, point: tuple[float, float]) -> float:
    """Distance (px, squared) from an image point to the nearest cell centre."""
    return min(
        (cy - point[0]) ** 2 + (cx - point[1]) ** 2 for cy, cx in (center(grid, window, *c) for c in cells(grid))
    )


@given(GRIDS, tile_and_context())
def test_gpe_starts_at_the_contexts_cell_nearest_in_the_image(grid: FeatureGrid, windows: tuple[Box, Box]) -> None:
    tile, context = windows
    lcc = LCC(1, projections=False, scale_logits=False, values_from="context", gate_init=1.0, gpe=True)
    tensors = [torch.tensor([w], dtype=torch.float64) for w in (tile, context)]
    with torch.no_grad():
        rows_y, rows_x = lcc.positional(*relative_positions(grid, tensors[0], grid, tensors[1]))
    for y, x in cells(grid):
        here = center(grid, tile, y, x)
        there = center(grid, context, int(rows_y[0, y].argmax()), int(rows_x[0, x].argmax()))
        distance = (there[0] - here[0]) ** 2 + (there[1] - here[1]) ** 2
        assert distance == pytest.approx(nearest(grid, context, here), rel=1e-6, abs=1e-3)


@cache
def network(encoder: Any, part: str) -> FCtL:
    """A network whose contexts act through GPE alone, or through ALE alone."""
    options = (
        {"fusion": "average", "projections": False, "ale": "none"} if part == "gpe" else {"lcf": False, "ale": "concat"}
    )
    config = small_config(encoder=encoder, tile_size=TILE_SIZE, width=8, share_encoders="all", **options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FCtL(config).double().eval()
    for correlation in [] if model.lcf is None else model.lcf.correlations.values():
        assert isinstance(correlation, LCC)
        assert correlation.z is not None
        correlation.z.data.fill_(-40.0)  # positional attention alone
    return model


def contribution(model: FCtL, name: str, cell: tuple[int, int], window: Box) -> Tensor:
    """Change of the logits [T, T] when one cell of one context lights up; the tile lies at 1000 px, 1000 px."""
    encoder, size, stride = model.encoder("tile"), model.config.tile_size, model.config.correlation_stride
    tile = {}
    for s in (32, 16, 8):
        n = encoder.grid(size, s).size
        tile[s] = torch.ones(1, 8 if s == stride else encoder.channels[s], n, n, dtype=torch.float64)
    dark = {n: torch.zeros_like(tile[stride]) for n in ("medium", "large")}
    bright = dark[name].clone()
    bright[:, :, cell[0], cell[1]] = 1
    box = torch.tensor([window]).double()
    windows = {"tile": torch.tensor([[1000.0, 1000.0, 1256.0, 1256.0]]).double(), "medium": box, "large": box}
    with torch.no_grad():
        change = model.decode(tile, {**dark, name: bright}, windows) - model.decode(tile, dark, windows)
    return change[0].abs().sum(0)


def centroid(effect: Tensor) -> tuple[float, float]:
    """Centre of mass (y, x), px."""
    position = torch.arange(effect.shape[-1]) + 0.5
    return (
        float((effect.sum(1) * position).sum() / effect.sum()),
        float((effect.sum(0) * position).sum() / effect.sum()),
    )


@pytest.mark.parametrize("name", ["medium", "large"])
@pytest.mark.parametrize("part", ["gpe", "ale"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_shifting_a_window_shifts_its_contribution(encoder: str, part: str, name: str) -> None:
    model = network(encoder, part)
    grid = model.grid
    window = (872.0, 872.0, 1384.0, 1384.0)  # the tile's middle, twice its size
    cell = (grid.size // 2, grid.size // 2 - 1)
    y, x = (v - 1000 for v in center(grid, window, *cell))
    here = contribution(model, name, cell, window)
    assert centroid(here) == pytest.approx((y, x), abs=2.0)

    down, right = 3 * 16, -2 * 16  # whole cells of the tile: the whole network then shifts exactly
    moved = contribution(model, name, cell, (872.0 + down, 872.0 + right, 1384.0 + down, 1384.0 + right))
    inner = slice(64, -64)
    expected = here.roll((down, right), (0, 1))
    torch.testing.assert_close(moved[inner, inner], expected[inner, inner], rtol=1e-6, atol=1e-6 * float(here.max()))
    assert float(here.max()) > 0


@pytest.mark.parametrize("part", ["gpe", "ale"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_smaller_context_with_the_cell_at_the_same_place_contributes_there(encoder: str, part: str) -> None:
    """The centre third of a x3 context is no special case: any scale and any position go through windows."""
    model = network(encoder, part)
    grid = model.grid
    for window in ((744.0, 744.0, 1512.0, 1512.0), (900.0, 760.0, 1412.0, 1272.0), (1000.0, 1000.0, 1256.0, 1256.0)):
        inside = [
            c for c in cells(grid) if all(1064 < v < 1192 for v in center(grid, window, *c))
        ]  # well inside the tile
        cell = inside[len(inside) // 2]
        y, x = (v - 1000 for v in center(grid, window, *cell))
        assert centroid(contribution(model, "medium", cell, window)) == pytest.approx((y, x), abs=4.0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_cell_far_outside_the_tile_contributes_nothing_through_ale(encoder: str) -> None:
    model = network(encoder, "ale")
    window = (0.0, 0.0, 3000.0, 3000.0)
    assert float(contribution(model, "large", (1, 1), window).max()) == 0


@pytest.mark.parametrize(
    ("name", "stride", "tile_size"), [("vgg16", 8, 64), ("efficientnet_lite0", 8, 128), ("mit_b0", 8, 128)]
)
def test_an_encoders_cells_lie_where_its_grid_says(name: Any, stride: int, tile_size: int) -> None:
    """A bright spot changes the features around the spot, in px by the grid."""
    config = small_config(encoder=name, tile_size=tile_size, contexts=(), ale="none", correlation_stride=32)
    encoder: Encoder = awaken(FCtL(config)).encoder("tile") if name == "efficientnet_lite0" else make_encoder(name)
    grid = encoder.grid(tile_size, stride)
    spot = (0.4 * tile_size, 0.55 * tile_size)
    images = torch.full((2, 3, tile_size, tile_size), 120.0)
    y, x = int(spot[0]), int(spot[1])
    images[1, :, y - 2 : y + 3, x - 2 : x + 3] = 255.0
    with torch.no_grad():
        dark, bright = encoder.eval()(images, stride)[stride]
    assert dark.shape[-2:] == (grid.size, grid.size)
    change = (bright - dark).square().sum(0)
    position = grid.offset + (torch.arange(grid.size) + 0.5) * stride
    found = (change.sum(1) * position).sum() / change.sum(), (change.sum(0) * position).sum() / change.sum()
    assert float(found[0]) == pytest.approx(y + 0.5, abs=0.75 * stride)
    assert float(found[1]) == pytest.approx(x + 0.5, abs=0.75 * stride)
