"""Validation of a network on regions of scenes."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.context_reliance import RELIANCE_TILES, context_reliance
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.tiling.average_plan import AveragePlan
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.segmentation.tiling.merge import drop_logits, save_logits, sum_cell
from fctl_napari.segmentation.tiling.released_grid import ReleasedGrid
from fctl_napari.training.data import Scene
from fctl_napari.training.distributed import Group
from fctl_napari.windows import IntWindow

RELIANCE_SCENES = 8
"""Largest number of scenes, evenly chosen, on which context reliance is measured."""

TILES = 8
"""Number of tiles that are run before the cells they complete are merged."""


def score_scenes(
    model: Network,
    scenes: Sequence[tuple[Scene, Sequence[IntWindow]]],
    names: Sequence[str],
    *,
    precision: str = "auto",
    group: Group | None = None,
    merge: Literal["crop", "released"] = "crop",
) -> Scores:
    """Compute figures over regions of scenes, segmented as ``fctl segment`` does.

    Parameters
    ----------
    model : Network
        The network. A copy of it runs, so that it stays as it is.
    scenes : sequence of tuple of (Scene, sequence of IntWindow)
        Scenes, each with its regions (y0, x0, y1, x1), px, that count.
    names : sequence of str
        Names of the classes, in order.
    precision : str, optional
        Precision of the predictor: ``"auto"``, ``"fp32"`` or ``"bf16"``.
    group : Group or None, optional
        Processes that share the scenes. Each gets the figures over all of them.
    merge : {"crop", "released"}, optional
        ``crop``: each tile owns its core. ``released``: the paper's grid and its sum of overlapping logits.

    Returns
    -------
    Scores
        Figures of all regions together.

    Raises
    ------
    InputError
        An image or its ground truth is damaged.
    """
    own = scenes if group is None else scenes[group.rank :: group.size]
    device = next(model.parameters()).device
    released = merge == "released"
    predictor = Predictor(copy.deepcopy(model), device=str(device), precision=precision, exact_contexts=released)
    classify = _released if released else _cropped
    matrix = np.zeros((len(names), len(names)), np.int64)
    try:
        for scene, regions in own:
            for core, predicted in classify(predictor, scene, regions):
                matrix += confusion_matrix(counted_ground_truth(scene, regions, core), predicted, len(names))
    finally:
        predictor.close()
    return Scores.from_confusion(matrix if group is None else group.sum(matrix), names)


def _cropped(
    predictor: Predictor, scene: Scene, regions: Sequence[IntWindow]
) -> Iterator[tuple[IntWindow, NDArray[np.uint8]]]:
    """Predict the cores of the default grid's tiles over regions, and yield them with their class indices."""
    tile_size = predictor.config.tile_size
    grid = TileGrid(scene.pyramid.shape, tile_size, default_overlap(tile_size))
    cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
    for index, labels, _ in predictor.classify(scene.pyramid, [grid.window(c) for c in cells]):
        y0, x0, y1, x1 = core = grid.core(cells[index])
        top, left = grid.window(cells[index])[:2]
        yield core, labels[y0 - top : y1 - top, x0 - left : x1 - left] - np.uint8(1)


def _released(
    predictor: Predictor, scene: Scene, regions: Sequence[IntWindow]
) -> Iterator[tuple[IntWindow, NDArray[np.uint8]]]:
    """Predict the cells of the released grid over regions by summed logits, which wait on disk for their neighbors."""
    grid = ReleasedGrid(scene.pyramid.shape, predictor.config.tile_size)
    wanted = np.zeros((grid.rows, grid.cols), bool)
    for region in regions:
        for cell in grid.cells_in(region):
            wanted[cell] = True
    plan = AveragePlan(grid, wanted)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while (task := plan.next(TILES)) is not None:
            for index, logits in predictor.predict(scene.pyramid, [grid.window(tile.cell) for tile in task.tiles]):
                save_logits(folder, task.tiles[index].cell, logits)
            for cell in task.merges:
                yield grid.core(cell), sum_cell(folder, grid, cell)[0].argmax(0).astype(np.uint8)
            drop_logits(folder, plan.released(plan.finish(task)))


def counted_ground_truth(scene: Scene, regions: Sequence[IntWindow], core: IntWindow) -> NDArray[np.uint8]:
    """Read the ground truth of a tile's core.

    Parameters
    ----------
    scene : Scene
        The scene.
    regions : sequence of IntWindow
        Regions (y0, x0, y1, x1), px, that count.
    core : IntWindow
        The part of the image that the tile decides, (y0, x0, y1, x1), px.

    Returns
    -------
    ndarray of uint8 [y, x]
        Class indices of the core, ``IGNORE`` outside the regions.

    Raises
    ------
    InputError
        The ground truth is damaged there.
    """
    y0, x0, y1, x1 = core
    ground_truth = scene.ground_truth[y0:y1, x0:x1]
    counted = np.full_like(ground_truth, IGNORE)
    for top, left, bottom, right in regions:
        part = slice(max(top - y0, 0), max(bottom - y0, 0)), slice(max(left - x0, 0), max(right - x0, 0))
        counted[part] = ground_truth[part]
    return counted


def reliance_on_scenes(
    model: Network, scenes: Sequence[tuple[Scene, Sequence[IntWindow]]], group: Group | None = None
) -> float:
    """Compute the mean context reliance over scenes, on evenly chosen tiles.

    Parameters
    ----------
    model : Network
        The network, in evaluation mode.
    scenes : sequence of tuple of (Scene, sequence of IntWindow)
        Scenes, each with its regions (y0, x0, y1, x1), px. If there are more than ``RELIANCE_SCENES``, that many are
        chosen evenly.
    group : Group or None, optional
        Processes that share the scenes. Each gets the mean over all of them.

    Returns
    -------
    float
        Share of pixels whose class changes with the contexts, 0..1.

    Raises
    ------
    InputError
        An image is damaged.
    """
    values = []
    some = np.linspace(0, len(scenes) - 1, min(RELIANCE_SCENES, len(scenes))).round().astype(int)
    own = some if group is None else some[group.rank :: group.size]
    for scene, regions in (scenes[i] for i in own):
        grid = TileGrid(scene.pyramid.shape, model.config.tile_size, 0)
        cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
        chosen = np.linspace(0, len(cells) - 1, min(RELIANCE_TILES, len(cells))).round().astype(int)
        windows = [grid.window(cells[i]) for i in chosen]
        values.append(context_reliance(model, scene.pyramid, windows))
    total = np.array([sum(values), len(values)], np.float64)
    total = total if group is None else group.sum(total)
    return float(total[0] / total[1]) if total[1] else 0.0
