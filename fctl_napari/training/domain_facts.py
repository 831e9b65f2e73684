"""Facts of training data that a model card keeps: images, px sizes, colors, and the network's confidence."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import PurePath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.imagery.geodesy.ground_size import ground_size
from fctl_napari.imagery.image_colors import SIDES, color_cells, joined_cells, sample_colors, unseen_share
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.domain import Confidence, Domain, SeenColors, SeenImage
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.segmentation.tiling.grid import TileGrid
from fctl_napari.training.data import Scene
from fctl_napari.windows import IntWindow

T = TypeVar("T")

SCENES, REGIONS = 64, 16
"""Largest number of scenes whose colors are read, and of regions of each, evenly chosen."""

TILES = 64
"""Approximate number of tiles, evenly chosen, on which confidence is measured; at least four of a scene."""

THINNED = 2
"""Every second px of the blocks is kept, of 64 scenes with many bands."""

UNKNOWN = 0.1
"""Largest mean share of the training scenes whose own colors are too rare to be known."""

USUAL = 0.9
"""Quantile of the scenes whose share of unseen colors is called usual."""

LOW = 0.1
"""Quantile of the tiles whose confidence is called low."""


def measure_domain(
    scenes: Sequence[Scene],
    config: FCtLConfig,
    *,
    confidence: Confidence | None = None,
    earlier: Sequence[SeenImage] = (),
) -> Domain:
    """Measure the facts of training data.

    Parameters
    ----------
    scenes : sequence of Scene
        All scenes. The training regions are measured, those of validation compared with them.
    config : FCtLConfig
        Settings of the network, which reads the images.
    confidence : Confidence or None, optional
        Confidence of the network, see :func:`confidence_on`.
    earlier : sequence of SeenImage, optional
        Images of the network that it started from.

    Returns
    -------
    Domain
        The facts.

    Raises
    ------
    InputError
        An image is damaged.
    """
    trained = [scene for scene in scenes if scene.train]
    sizes = [size for scene in trained if (size := ground_size(scene.pyramid)) is not None]
    images = [
        SeenImage(name=PurePath(scene.name).name, fingerprint=fingerprint(scene.pyramid), regions=scene.train)
        for scene in trained
    ]
    return Domain(
        images=tuple(dict.fromkeys([*images, *earlier])),
        pixel_size=(min(sizes), max(sizes)) if sizes else None,
        colors=_seen_colors(scenes, config),
        confidence=confidence,
    )


def _seen_colors(scenes: Sequence[Scene], config: FCtLConfig) -> SeenColors | None:
    """Measure the colors of training regions in the smallest cells that they fill, and what is usual beside them."""
    trained = [colors for scene in _some(scenes, "train") if len(colors := _colors(scene, scene.train, config))]
    if not trained:
        return None
    measured = [_colors(scene, scene.val, config) for scene in _some(scenes, "val")]
    for side in SIDES:
        cells = [color_cells(colors, side, frequent=True) for colors in trained]
        known = joined_cells(cells, side)
        unknown = [1 - own[:, -1].sum() + unseen_share(own, known, side) for own in cells]
        if np.mean(unknown) <= UNKNOWN:
            break
    images = [color_cells(colors, side) for colors in trained]
    unseen = [unseen_share(color_cells(colors, side), known, side) for colors in measured]
    if len(images) > 1:
        others = (joined_cells([*cells[:k], *cells[k + 1 :]], side) for k in range(len(images)))
        unseen += [unseen_share(own, other, side) for own, other in zip(images, others, strict=True)]
    if not unseen:  # one scene, and nothing beside it: one part of it with the other
        first, second = np.array_split(trained[0], 2)
        unseen = [unseen_share(color_cells(second, side), color_cells(first, side, frequent=True), side)]
    return SeenColors.of(known, side, float(np.quantile(unseen, USUAL)))


def _some(scenes: Sequence[Scene], part: str) -> list[Scene]:
    return _evenly([scene for scene in scenes if getattr(scene, part)], SCENES)


def _evenly(items: Sequence[T], most: int) -> list[T]:
    return [items[i] for i in np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]


def _colors(scene: Scene, regions: Sequence[IntWindow], config: FCtLConfig) -> NDArray[np.uint8]:
    """Read colors of regions of a scene, uint8 [n, channels]."""
    image = network_image(scene.pyramid, config)
    return np.concatenate([sample_colors(image, region) for region in _evenly(regions, REGIONS)])[::THINNED]


def confidence_on(model: Network, scenes: Sequence[tuple[Scene, Sequence[IntWindow]]], where: str) -> Confidence | None:
    """Measure the confidence of a network on tiles of regions of scenes.

    Parameters
    ----------
    model : Network
        The network. A copy of it runs.
    scenes : sequence of tuple of (Scene, sequence of IntWindow)
        Scenes, each with its regions (y0, x0, y1, x1), px. At most ``SCENES``, evenly chosen, are measured.
    where : str
        The regions in words.

    Returns
    -------
    Confidence or None
        The confidence. None if there is no region.

    Raises
    ------
    InputError
        An image is damaged.
    """
    predictor = Predictor(copy.deepcopy(model), device=str(next(model.parameters()).device))
    most, means = max(4, TILES // max(1, len(scenes))), []
    try:
        for scene, regions in _evenly(scenes, SCENES):
            grid = TileGrid(scene.pyramid.shape, model.config.tile_size, 0)
            cells = sorted({cell for region in regions for cell in grid.cells_in(region)})
            windows = [grid.window(cell) for cell in _evenly(cells, most)]
            for index, _, confidence in predictor.classify(scene.pyramid, windows):
                valid = scene.pyramid.read_valid(windows[index])
                if valid.any():
                    means.append(float(confidence[valid].mean()) / 255)
    finally:
        predictor.close()
    if not means:
        return None
    return Confidence(mean=round(float(np.mean(means)), 4), low=round(float(np.quantile(means, LOW)), 4), where=where)
