"""Plans hand out every cell once, whatever the order in which tasks come back."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from helpers_segmentation import bitmap
from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.segmentation.tiling.average_plan import AveragePlan
from fctl_napari.segmentation.tiling.cells_in_view import cells_slices, outward
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid
from fctl_napari.segmentation.tiling.live_plan import LivePlan
from fctl_napari.segmentation.tiling.plan import CropPlan, Plan, Task

shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))


def carry_out(plan: Plan, order: random.Random) -> tuple[list[Task], list[Cell]]:
    """Carry a plan out with up to three tasks under way; returns the tasks and the cells they finished."""
    tasks: list[Task] = []
    cells: list[Cell] = []
    under_way: list[Task] = []
    while True:
        task = plan.next(order.randint(1, 4)) if len(under_way) < 3 else None
        if task is not None:
            under_way.append(task)
        elif under_way:
            tasks.append(under_way.pop(order.randrange(len(under_way))))
            cells += plan.finish(tasks[-1])
        else:
            return tasks, cells


@st.composite
def work(draw: st.DrawFn) -> tuple[TileGrid, list[Cell], random.Random]:
    tile = draw(st.integers(2, 16))
    grid = TileGrid(draw(shapes), tile, draw(st.integers(0, tile - 1).filter(lambda o: tile - o >= 2)))
    order = random.Random(draw(st.integers(0, 1000)))
    cells = [cell for cell in grid.cells_in((0, 0, *grid.image_shape)) if order.random() < 0.8]
    return grid, cells, order


@given(work())
def test_crop_computes_each_cell_once_and_each_place_once(case: tuple[TileGrid, list[Cell], random.Random]) -> None:
    grid, cells, order = case
    plan = CropPlan(grid, bitmap(grid, cells))
    tasks, finished = carry_out(plan, order)
    assert sorted(finished) == sorted(cells)
    windows = [grid.window(tile.cell) for task in tasks for tile in task.tiles]
    assert len(windows) == len(set(windows))
    for task in tasks:
        for tile in task.tiles:
            assert {grid.window(cell) for cell in tile.cells} == {grid.window(tile.cell)}
    assert plan.tiles_left == 0


@given(work(), st.booleans())
def test_average_merges_each_cell_once_when_its_tiles_are_there(
    case: tuple[TileGrid, list[Cell], random.Random], resumed: bool
) -> None:
    grid, cells, order = case
    everything = grid.tiles_over((0, 0, *grid.image_shape))
    present = order.sample(everything, len(everything) // 2) if resumed else []
    plan = AveragePlan(grid, bitmap(grid, cells), present)
    kept, merged, run, under_way = set(present), [], [], []
    while True:
        task = plan.next(order.randint(1, 4)) if len(under_way) < 3 else None
        if task is not None:
            for cell in task.merges:
                assert set(grid.tiles_over(grid.core(cell))) <= kept
            under_way.append(task)
            continue
        if not under_way:
            break
        task = under_way.pop(order.randrange(len(under_way)))
        run += [tile.cell for tile in task.tiles]
        kept.update(tile.cell for tile in task.tiles)
        merged += plan.finish(task)
        released = plan.released(task.merges)
        # what is let go is not needed by cells whose merging is under way or still to come
        kept.difference_update(released)
    assert sorted(merged) == sorted(cells)
    assert len(run) == len(set(run))
    assert not set(run) & set(present)
    needed = {tile for cell in cells for tile in grid.tiles_over(grid.core(cell))}
    assert set(run) == needed - set(present)
    assert not kept & needed
    assert plan.tiles_left == 0


def test_average_in_rows_keeps_few_tiles_on_disk_however_tall_the_image() -> None:
    most = {}
    for rows in (10, 60):
        grid = TileGrid((rows * 12, 20 * 12), 16, 4)
        plan = AveragePlan(grid, np.ones((grid.rows, grid.cols), bool))
        on_disk: set[Cell] = set()
        peak = 0
        while (task := plan.next(3)) is not None:
            on_disk.update(tile.cell for tile in task.tiles)
            peak = max(peak, len(on_disk))
            on_disk.difference_update(plan.released(plan.finish(task)))
        most[rows] = peak
    assert most[60] == most[10] < 4 * 20


@pytest.mark.parametrize("kind", [CropPlan, AveragePlan])
def test_a_plan_of_an_image_of_gigapixels_takes_no_memory_to_speak_of(
    kind: Callable[[TileGrid, np.ndarray], Plan],
) -> None:
    grid = TileGrid((60_000, 60_000), 256, 64)
    missing = np.ones((grid.rows, grid.cols), bool)
    tracemalloc.start()
    try:
        plan = kind(grid, missing)
        for _ in range(50):
            task = plan.next(8)
            assert task is not None
            assert len(task.tiles) == 8
        assert tracemalloc.get_traced_memory()[1] < 20 * missing.size
    finally:
        tracemalloc.stop()


# -- views ---------------------------------------------------------------------------------------------------------


@st.composite
def views(draw: st.DrawFn, grid: TileGrid) -> tuple[int, int, int, int]:
    """A window that may reach outside the image, or lie beside it."""
    height, width = grid.image_shape
    y0, x0 = draw(st.integers(-20, height + 5)), draw(st.integers(-20, width + 5))
    return y0, x0, y0 + draw(st.integers(1, height + 20)), x0 + draw(st.integers(1, width + 20))


@given(work(), st.data())
def test_the_cells_of_a_view_come_from_its_middle_outward(
    case: tuple[TileGrid, list[Cell], random.Random], data: st.DataObject
) -> None:
    grid, _, _ = case
    view = data.draw(views(grid))
    found = outward(grid, view)
    assert sorted(found) == sorted(grid.cells_in(view))
    rows, cols = cells_slices(grid, view)
    assert sorted(found) == [(r, c) for r in range(rows.start, rows.stop) for c in range(cols.start, cols.stop)]

    def far(cell: Cell) -> float:
        y0, x0, y1, x1 = grid.core(cell)
        return (y0 + y1 - view[0] - view[2]) ** 2 + (x0 + x1 - view[1] - view[3]) ** 2

    assert [far(cell) for cell in found] == sorted(far(cell) for cell in found)


@given(work(), st.data())
def test_a_view_only_changes_the_order_of_a_run(
    case: tuple[TileGrid, list[Cell], random.Random], data: st.DataObject
) -> None:
    grid, cells, order = case
    plan = CropPlan(grid, bitmap(grid, cells))
    finished: list[Cell] = []
    for _ in range(3):
        view = data.draw(views(grid))
        plan.look(view)
        wanted = {grid.window(cell) for cell in grid.cells_in(view) if cell in set(cells) - set(finished)}
        for _ in range(order.randint(0, 3)):
            task = plan.next(1)
            if task is None:
                break
            (tile,) = task.tiles
            assert not wanted or grid.window(tile.cell) in wanted, "what is in view comes first"
            wanted.discard(grid.window(tile.cell))
            finished += plan.finish(task)
    finished += carry_out(plan, order)[1]
    assert sorted(finished) == sorted(cells)


@given(work(), st.data())
def test_a_live_plan_computes_what_is_in_view_and_nothing_twice(
    case: tuple[TileGrid, list[Cell], random.Random], data: st.DataObject
) -> None:
    grid, before, order = case
    done = bitmap(grid, before)
    plan = LivePlan(grid, done)
    assert plan.next(5) is None
    assert plan.in_view() is None
    under_way: list[Task] = []
    handed_out: list[tuple[int, int, int, int]] = []
    finished: list[Cell] = []
    view = None
    for _ in range(4):
        view = data.draw(st.one_of(st.none(), views(grid)))
        plan.look(view)
        for _ in range(order.randint(0, 4)):
            task = plan.next(order.randint(1, 2))
            if task is not None:
                assert view is not None
                assert all(tile.cell in grid.cells_in(view) for tile in task.tiles), "what left the view is dropped"
                handed_out += [grid.window(tile.cell) for tile in task.tiles]
                under_way.append(task)
            elif under_way:
                finished += plan.finish(under_way.pop(order.randrange(len(under_way))))
    while (task := plan.next(3)) or under_way:
        if task is not None:
            handed_out += [grid.window(tile.cell) for tile in task.tiles]
            under_way.append(task)
        else:
            finished += plan.finish(under_way.pop())
    assert len(handed_out) == len(set(handed_out))
    assert len(finished) == len(set(finished))
    assert not set(finished) & set(before)
    if view is not None:
        seen = plan.in_view()
        assert seen is not None
        assert (seen.done, seen.total, seen.waiting) == (len(grid.cells_in(view)),) * 2 + (0,)
        assert set(grid.cells_in(view)) <= set(finished) | set(before)


def test_a_live_plan_does_not_begin_with_a_whole_image() -> None:
    grid = TileGrid((300, 300), 12, 2)
    plan = LivePlan(grid, np.zeros((grid.rows, grid.cols), bool), most=100)
    plan.look((0, 0, 300, 300))
    assert plan.next(1) is None
    seen = plan.in_view()
    assert seen is not None
    assert (seen.done, seen.total, seen.waiting) == (0, 900, 0)
    plan.look((100, 100, 200, 200))
    assert plan.in_view().waiting == 100
    task = plan.next(100)
    assert task is not None
    plan.finish(task)
    plan.look((100, 100, 200, 300))
    assert plan.in_view() == type(seen)(100, 200, 100), "what is there does not count against the limit"
