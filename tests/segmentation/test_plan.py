"""Plans hand out every cell once, whatever the order in which tasks come back."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fctl_napari.segmentation.grid import Cell, TileGrid
from fctl_napari.segmentation.plan import AveragePlan, CropPlan, Plan, Task

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
    order.shuffle(cells)
    return grid, cells, order


@given(work())
def test_crop_computes_each_cell_once_and_each_place_once(case: tuple[TileGrid, list[Cell], random.Random]) -> None:
    grid, cells, order = case
    plan = CropPlan(grid, cells)
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
    plan = AveragePlan(grid, cells, present)
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
        plan = AveragePlan(grid, grid.cells_in((0, 0, *grid.image_shape)))
        on_disk: set[Cell] = set()
        peak = 0
        while (task := plan.next(3)) is not None:
            on_disk.update(tile.cell for tile in task.tiles)
            peak = max(peak, len(on_disk))
            on_disk.difference_update(plan.released(plan.finish(task)))
        most[rows] = peak
    assert most[60] == most[10] < 4 * 20
