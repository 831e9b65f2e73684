"""The released code's grid: as it is there, over the whole image, and the same seen from eight sides."""

from __future__ import annotations

import numpy as np
import pytest
import released_reference
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.model.windows import TURNS
from fctl_napari.segmentation.tiling.released_grid import ReleasedGrid, released_starts
from fctl_napari.windows import Window

sides = st.one_of(st.integers(1, 4000), st.sampled_from([507, 508, 509, 966, 967, 1101, 2448, 5000]))


@pytest.mark.parametrize(("length", "count", "overlap"), [(2448, 6, 120.0), (5000, 11, 58.8), (508, 1, 0), (90, 1, 0)])
def test_known_grids(length: int, count: int, overlap: float) -> None:
    starts = released_starts(length, 508)
    assert len(starts) == count
    if count > 1:
        assert 508 - (length - 508) / (count - 1) == pytest.approx(overlap)


def test_halves_are_rounded_to_even() -> None:
    assert released_starts(1101, 508).tolist() == [0, 296, 593]


@given(sides, sides)
def test_tiles_are_the_released_ones_and_cover_the_image(height: int, width: int) -> None:
    grid = ReleasedGrid((height, width), 508)
    tiles = grid.tiles_over((0, 0, height, width))
    assert [grid.window(t)[:2] for t in tiles] == released_reference.tiles((height, width))
    for axis in (0, 1):
        starts = released_starts((height, width)[axis], 508)
        assert starts[0] == 0
        assert starts[-1] == max(0, (height, width)[axis] - 508)
        assert (np.diff(starts) <= 508 - 50).all()


@given(sides, sides, st.data())
def test_tiles_over_a_cell_are_those_that_meet_it(height: int, width: int, data: st.DataObject) -> None:
    grid = ReleasedGrid((height, width), 508, data.draw(st.booleans()))
    cells = grid.cells_in((0, 0, height, width))
    assert len(cells) == grid.rows * grid.cols
    cell = data.draw(st.sampled_from(cells))
    core = grid.core(cell)

    def meets(window: tuple[int, int, int, int]) -> bool:
        y0, x0, y1, x1 = Window(*core).intersect(window)
        return y1 > y0 and x1 > x0

    everything = grid.tiles_over((-508, -508, height + 508, width + 508))
    assert grid.tiles_over(core) == [t for t in everything if meets(grid.window(t))]
    assert all(cell in grid.cells_in(grid.window(t)) for t in grid.tiles_over(core))


@given(sides, sides)
def test_a_turned_block_is_the_grid_of_the_turned_image(height: int, width: int) -> None:
    grid = ReleasedGrid((height, width), 508, augmented=True)
    tiles = grid.tiles_over((-508, -508, height + 508, width + 508))
    for turn in TURNS:
        mine = [grid.window(t) for t in tiles if grid.turn(t) == turn]
        top, left, bottom, right = turn.window(np.array([0, 0, height, width], float))
        turned = ReleasedGrid((int(bottom - top), int(right - left)), 508)
        expected = {turned.window(t) for t in turned.tiles_over((0, 0, 5000, 5000))}
        seen = {tuple((turn.window(np.array(w, float)) - [top, left, top, left]).astype(int).tolist()) for w in mine}
        assert seen == expected


@given(st.sampled_from(TURNS), st.integers(1, 6), st.integers(1, 6))
def test_turning_back_undoes_a_turn(turn, height: int, width: int) -> None:
    array = np.arange(2 * height * width).reshape(2, height, width)
    np.testing.assert_array_equal(turn.back(turn.pixels(array)), array)
