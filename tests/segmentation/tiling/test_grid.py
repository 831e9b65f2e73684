from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.exceptions import ConfigError
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap, merge_windows
from fctl_napari.windows import Window


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    tile = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, tile - 1))
    sides = st.one_of(st.integers(1, 90), st.sampled_from([tile, tile - overlap, 2 * tile - overlap, tile + 1]))
    grid = TileGrid((draw(sides), draw(sides)), tile, overlap)
    return grid


def all_cells(grid: TileGrid) -> list[tuple[int, int]]:
    return [(r, c) for r in range(grid.rows) for c in range(grid.cols)]


@given(grids())
def test_cores_partition_the_image_and_lie_in_their_tiles(grid: TileGrid) -> None:
    owners = np.zeros(grid.image_shape, int)
    height, width = grid.image_shape
    for cell in all_cells(grid):
        y0, x0, y1, x1 = core = grid.core(cell)
        assert 0 <= y0 < y1 <= height
        assert 0 <= x0 < x1 <= width
        assert (y0 % grid.step, x0 % grid.step) == (0, 0)
        owners[y0:y1, x0:x1] += 1
        assert Window(*core).intersect(grid.window(cell)) == core
    assert (owners == 1).all()


@given(grids())
def test_tiles_stay_inside_wherever_the_image_is_large_enough(grid: TileGrid) -> None:
    for cell in all_cells(grid):
        y0, x0, y1, x1 = grid.window(cell)
        assert (y1 - y0, x1 - x0) == (grid.tile_size, grid.tile_size)
        for start, stop, length in ((y0, y1, grid.image_shape[0]), (x0, x1, grid.image_shape[1])):
            assert start >= 0
            assert stop <= length or start == 0


@given(grids(), st.data())
def test_cells_and_tiles_of_a_region_are_those_that_meet_it(grid: TileGrid, data: st.DataObject) -> None:
    y0, x0 = data.draw(st.integers(-20, 95)), data.draw(st.integers(-20, 95))
    region = (y0, x0, y0 + data.draw(st.integers(0, 60)), x0 + data.draw(st.integers(0, 60)))

    def meets(window: tuple[int, int, int, int]) -> bool:
        a, b, c, d = Window(*window).intersect(region)
        return c > a and d > b

    assert grid.cells_in(region) == [cell for cell in all_cells(grid) if meets(grid.core(cell))]
    tiles = grid.tiles_over(region)
    windows = [grid.window(tile) for tile in tiles]
    assert len(set(windows)) == len(windows)
    assert set(windows) == {grid.window(cell) for cell in all_cells(grid) if meets(grid.window(cell))}


@given(grids())
def test_merged_windows_cover_the_same_pixels_once(grid: TileGrid) -> None:
    cores = [grid.core(cell) for cell in all_cells(grid)][::-1]
    merged = merge_windows(cores[: len(cores) // 2 + 1])
    covered, expected = np.zeros(grid.image_shape, int), np.zeros(grid.image_shape, int)
    for target, windows in ((covered, merged), (expected, cores[: len(cores) // 2 + 1])):
        for y0, x0, y1, x1 in windows:
            target[y0:y1, x0:x1] += 1
    np.testing.assert_array_equal(covered, expected)
    assert len(merged) <= 2, "a part of a row, and whole rows"


@pytest.mark.parametrize(("tile", "overlap"), [(512, 128), (508, 124), (256, 64), (64, 16)])
def test_default_overlap(tile: int, overlap: int) -> None:
    assert default_overlap(tile) == overlap


@given(st.integers(32, 4096))
def test_default_overlap_is_about_a_quarter(tile: int) -> None:
    overlap = default_overlap(tile)
    assert 0 <= overlap <= tile / 2
    assert (tile - overlap) % 16 == 0


@pytest.mark.parametrize("overlap", [-1, 64, 100])
def test_an_overlap_without_core_is_refused(overlap: int) -> None:
    with pytest.raises(ConfigError, match="overlap"):
        TileGrid((100, 100), 64, overlap)
