"""Measuring a network on regions of scenes while it trains."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.context_reliance import RELIANCE_TILES, context_reliance
from fctl_napari.evaluation.metrics import Scores, confusion_matrix
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.tiling.grid import TileGrid, default_overlap
from fctl_napari.training.data import Scene
from fctl_napari.training.distributed import Group
from fctl_napari.windows import IntWindow

RELIANCE_SCENES = 8
"""Scenes, evenly chosen, that context reliance is measured on."""


def score_scenes(
    model: Network,
    scenes: Sequence[tuple[Scene, Sequence[IntWindow]]],
    names: Sequence[str],
    *,
    precision: str = "auto",
    group: Group | None = None,
) -> Scores:
    """Figures over regions of scenes, segmented as ``fctl segment`` does (merge ``crop``).

    Parameters
    ----------
    model
        Left as it is; a copy runs.
    scenes
        Scenes and which regions (y0, x0, y1, x1) of them count.
    names
        Of the classes.
    precision
        Of the predictor.
    group
        Processes that share the scenes; each gets the figures over all of them.
    """
    own = scenes if group is None else scenes[group.rank :: group.size]
    device = next(model.parameters()).device
    predictor = Predictor(copy.deepcopy(model), device=str(device), precision=precision)
    tile_size = model.config.tile_size
    matrix = np.zeros((len(names), len(names)), np.int64)
    try:
        for scene, regions in own:
            grid = TileGrid(scene.pyramid.shape, tile_size, default_overlap(tile_size))
            cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
            for index, labels, _ in predictor.classify(scene.pyramid, [grid.window(c) for c in cells]):
                y0, x0, y1, x1 = core = grid.core(cells[index])
                top, left = grid.window(cells[index])[:2]
                predicted = labels[y0 - top : y1 - top, x0 - left : x1 - left] - np.uint8(1)
                matrix += confusion_matrix(counted_ground_truth(scene, regions, core), predicted, len(names))
    finally:
        predictor.close()
    return Scores.from_confusion(matrix if group is None else group.sum(matrix), names)


def counted_ground_truth(scene: Scene, regions: Sequence[IntWindow], core: IntWindow) -> NDArray[np.uint8]:
    """Read the truth of a tile's core (y0, x0, y1, x1), uint8 [y, x]; ``IGNORE`` outside of the regions."""
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
    """Mean context reliance over scenes (of many, some), on evenly chosen tiles; a group's processes share them."""
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
