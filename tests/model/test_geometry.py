"""Windows, feature grids and what crosses them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fctl_napari.model.geometry import FeatureGrid, apply_separable, interpolation_matrices, relative_positions
from fctl_napari.model.windows import context_window

from .helpers_plain import PADDED, UNPADDED, Box, bilinear, cells, center

GRIDS = st.sampled_from([PADDED, UNPADDED, FeatureGrid(23, 32, -99.0, 508), FeatureGrid(16, 16, 0.0, 256)])
SCALES = st.one_of(st.floats(1, 8), st.integers(1, 8).map(float))


@st.composite
def windows(draw: st.DrawFn) -> Box:
    y0, x0 = (draw(st.floats(-2000, 20000)) for _ in range(2))
    height, width = (draw(st.floats(32, 6000)) for _ in range(2))
    return (y0, x0, y0 + height, x0 + width)


@st.composite
def tiles_in_images(draw: st.DrawFn) -> tuple[Box, tuple[int, int]]:
    size = draw(st.integers(32, 512))
    shape = (draw(st.integers(size, 6000)), draw(st.integers(size, 6000)))
    y0, x0 = draw(st.integers(0, shape[0] - size)), draw(st.integers(0, shape[1] - size))
    return (float(y0), float(x0), float(y0 + size), float(x0 + size)), shape


@given(
    size=st.integers(1, 40),
    stride=st.sampled_from([8, 16, 32]),
    offset=st.one_of(st.integers(-120, 20).map(float), st.floats(-120, 20)),
    side=st.integers(16, 300),
)
def test_every_pixel_belongs_to_the_cell_that_covers_it(size: int, stride: int, offset: float, side: int) -> None:
    found = FeatureGrid(size, stride, offset, side).cells_of_pixels().tolist()
    assert len(found) == side
    end = offset + size * stride
    for px, cell in enumerate(found):
        middle = px + 0.5
        if middle < offset:
            assert cell == 0
        elif middle >= end:
            assert cell == size - 1
        else:
            assert offset + cell * stride <= middle < offset + (cell + 1) * stride


@given(GRIDS)
def test_the_cell_of_a_pixel_is_the_one_whose_center_is_nearest(grid: FeatureGrid) -> None:
    size = float(grid.input_size)
    centers, _ = grid.centers(tensor((0.0, 0.0, size, size)))
    for px, cell in enumerate(grid.cells_of_pixels().tolist()):
        distances = (centers[0] - px - 0.5).abs()
        assert distances[cell] == distances.min()


def tensor(window: Box) -> torch.Tensor:
    return torch.tensor([window], dtype=torch.float64)


@given(tiles_in_images(), SCALES, st.sampled_from(["pad", "shift"]))
def test_a_context_covers_its_tile(tile_in_image: tuple[Box, tuple[int, int]], scale: float, border: Any) -> None:
    tile, shape = tile_in_image
    window = context_window(tile, scale, shape, border)
    assert window[0] <= tile[0] + 1e-6
    assert window[1] <= tile[1] + 1e-6
    assert window[2] >= tile[2] - 1e-6
    assert window[3] >= tile[3] - 1e-6
    for low, high in ((0, 2), (1, 3)):
        assert window[high] - window[low] == pytest.approx(scale * (tile[high] - tile[low]))


@given(tiles_in_images(), SCALES)
def test_padded_contexts_are_centred_and_shifted_ones_stay_inside(
    tile_in_image: tuple[Box, tuple[int, int]], scale: float
) -> None:
    tile, shape = tile_in_image
    pad = context_window(tile, scale, shape, "pad")
    shift = context_window(tile, scale, shape, "shift")
    for low, high, length in ((0, 2, shape[0]), (1, 3, shape[1])):
        assert pad[low] + pad[high] == pytest.approx(tile[low] + tile[high], abs=1e-6)
        size = shift[high] - shift[low]
        if size <= length:
            assert shift[low] >= -1e-6
            assert shift[high] <= length + 1e-6
            inside = pad[low] >= 0 and pad[high] <= length
            assert not inside or shift[low] == pytest.approx(pad[low], abs=1e-6)
        else:
            assert shift[low] + shift[high] == pytest.approx(length, abs=1e-6)


@given(tiles_in_images(), st.sampled_from(["pad", "shift"]))
def test_the_global_context_is_the_image(tile_in_image: tuple[Box, tuple[int, int]], border: Any) -> None:
    tile, shape = tile_in_image
    assert context_window(tile, "global", shape, border) == (0.0, 0.0, float(shape[0]), float(shape[1]))


@given(GRIDS, windows())
def test_centers_and_footprint(grid: FeatureGrid, window: Box) -> None:
    y, x = grid.centers(tensor(window))
    pitch_y, pitch_x = grid.pitch(tensor(window))
    for i in (0, grid.size // 2, grid.size - 1):
        assert (float(y[0, i]), float(x[0, i])) == pytest.approx(center(grid, window, i, i))
    y0, x0, y1, x1 = grid.footprint(window)
    assert (y0, x0) == pytest.approx((float(y[0, 0] - pitch_y[0] / 2), float(x[0, 0] - pitch_x[0] / 2)), abs=1e-6)
    assert (y1, x1) == pytest.approx((float(y[0, -1] + pitch_y[0] / 2), float(x[0, -1] + pitch_x[0] / 2)), abs=1e-6)


@given(windows())
def test_an_unpadded_grid_covers_its_window(window: Box) -> None:
    assert UNPADDED.footprint(window) == pytest.approx(window)


@given(GRIDS, windows(), windows())
def test_relative_positions_are_in_units_of_the_tiles_pitch(grid: FeatureGrid, tile: Box, context: Box) -> None:
    d_y, d_x = relative_positions(grid, tensor(tile), grid, tensor(context))
    i, j = 1, grid.size - 2
    here, there = center(grid, tile, i, i), center(grid, context, j, j)
    unit = grid.stride / grid.input_size
    assert float(d_y[0, i, j]) == pytest.approx((there[0] - here[0]) / ((tile[2] - tile[0]) * unit), abs=1e-6)
    assert float(d_x[0, i, j]) == pytest.approx((there[1] - here[1]) / ((tile[3] - tile[1]) * unit), abs=1e-6)
    neighbours = float(d_y[0, i, j + 1] - d_y[0, i, j])
    assert neighbours == pytest.approx((context[2] - context[0]) / (tile[2] - tile[0]), rel=1e-6)


@given(GRIDS, windows(), windows())
def test_relative_positions_in_a_contexts_own_cells(grid: FeatureGrid, tile: Box, context: Box) -> None:
    d_y, d_x = relative_positions(grid, tensor(tile), grid, tensor(context), "context")
    torch.testing.assert_close(d_y.diff(dim=-1), torch.ones_like(d_y[..., 1:]))
    torch.testing.assert_close(d_x.diff(dim=-1), torch.ones_like(d_x[..., 1:]))
    in_tiles = relative_positions(grid, tensor(tile), grid, tensor(context))
    wider = (context[2] - context[0]) / (tile[2] - tile[0]), (context[3] - context[1]) / (tile[3] - tile[1])
    for own, other, ratio in zip((d_y, d_x), in_tiles, wider, strict=True):
        torch.testing.assert_close(own * ratio, other, atol=1e-6, rtol=1e-6)


@given(GRIDS, windows(), GRIDS, windows())
def test_interpolation_rows_are_weights(grid: FeatureGrid, tile: Box, source: FeatureGrid, context: Box) -> None:
    for matrix in interpolation_matrices(grid, tensor(tile), source, tensor(context)):
        assert matrix.shape == (1, grid.size, source.size)
        assert (matrix >= 0).all()
        torch.testing.assert_close(matrix.sum(-1), torch.ones(1, grid.size, dtype=torch.float64))
        assert int((matrix > 0).sum(-1).max()) <= 2


@given(GRIDS, windows(), windows(), st.tuples(*[st.floats(-3, 3)] * 3))
def test_linear_functions_of_image_px_are_reproduced_inside(
    grid: FeatureGrid, tile: Box, context: Box, slopes: tuple[float, float, float]
) -> None:
    def plane(window: Box) -> torch.Tensor:
        y, x = grid.centers(tensor(window))
        return (slopes[0] + slopes[1] * y[0, :, None] + slopes[2] * x[0, None, :])[None, None]

    resampled = apply_separable(*interpolation_matrices(grid, tensor(tile), grid, tensor(context)), plane(context))
    y, x = grid.centers(tensor(tile))
    from_y, from_x = grid.centers(tensor(context))
    inside_y = (y[0] >= from_y[0, 0]) & (y[0] <= from_y[0, -1])
    inside_x = (x[0] >= from_x[0, 0]) & (x[0] <= from_x[0, -1])
    inside = inside_y[:, None] & inside_x[None, :]
    torch.testing.assert_close(resampled[0, 0][inside], plane(tile)[0, 0][inside], rtol=1e-9, atol=1e-6)


@settings(max_examples=25)
@given(st.sampled_from([PADDED, UNPADDED]), windows(), windows(), st.integers(0, 100))
def test_resampling_equals_bilinear_lookup(grid: FeatureGrid, tile: Box, context: Box, seed: int) -> None:
    features = torch.randn(1, 2, grid.size, grid.size, generator=torch.Generator().manual_seed(seed)).double()
    resampled = apply_separable(*interpolation_matrices(grid, tensor(tile), grid, tensor(context)), features)
    for y, x in cells(grid):
        expected = bilinear(grid, features[0], context, center(grid, tile, y, x))
        torch.testing.assert_close(resampled[0, :, y, x], expected, rtol=1e-6, atol=1e-6)


def test_resampling_to_the_same_window_changes_nothing() -> None:
    window = torch.tensor([[10.0, 20.0, 74.0, 84.0]]).double()
    for grid in (PADDED, UNPADDED):
        features = torch.randn(1, 3, grid.size, grid.size).double()
        matrices = interpolation_matrices(grid, window, grid, window)
        torch.testing.assert_close(apply_separable(*matrices, features), features)
