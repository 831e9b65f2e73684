"""Measuring a network on regions of scenes while it trains."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from fctl_napari.analysis.metrics import Scores, confusion_matrix
from fctl_napari.analysis.reliance import RELIANCE_TILES, context_reliance
from fctl_napari.learning.data import Region, Scene
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.network import Network
from fctl_napari.segmentation.grid import TileGrid, default_overlap
from fctl_napari.segmentation.predictor import Predictor


def score_scenes(
    model: Network,
    scenes: Sequence[tuple[Scene, Sequence[Region]]],
    names: Sequence[str],
    *,
    precision: str = "auto",
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
    """
    device = next(model.parameters()).device
    predictor = Predictor(copy.deepcopy(model), device=str(device), precision=precision)
    tile_size = model.config.tile_size
    matrix = np.zeros((len(names), len(names)), np.int64)
    try:
        for scene, regions in scenes:
            grid = TileGrid(scene.pyramid.shape, tile_size, default_overlap(tile_size))
            counted = np.full_like(scene.truth, IGNORE)
            for y0, x0, y1, x1 in regions:
                counted[y0:y1, x0:x1] = scene.truth[y0:y1, x0:x1]
            cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
            for index, labels, _ in predictor.classify(scene.pyramid, [grid.window(c) for c in cells]):
                y0, x0, y1, x1 = grid.core(cells[index])
                top, left = grid.window(cells[index])[:2]
                core = labels[y0 - top : y1 - top, x0 - left : x1 - left] - np.uint8(1)
                matrix += confusion_matrix(counted[y0:y1, x0:x1], core, len(names))
    finally:
        predictor.close()
    return Scores.from_confusion(matrix, names)


def reliance_on_scenes(model: Network, scenes: Sequence[tuple[Scene, Sequence[Region]]]) -> float:
    """Mean context reliance over scenes, on evenly chosen tiles of their regions."""
    values = []
    for scene, regions in scenes:
        grid = TileGrid(scene.pyramid.shape, model.config.tile_size, 0)
        cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
        chosen = np.linspace(0, len(cells) - 1, min(RELIANCE_TILES, len(cells))).round().astype(int)
        windows = [grid.window(cells[i]) for i in chosen]
        values.append(context_reliance(model, scene.pyramid, windows))
    return float(np.mean(values)) if values else 0.0
