"""Epochs as steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fctl_napari.model.config import FCtLConfig
from fctl_napari.segmentation.tiling.released_grid import released_starts
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import Scene


def counted(config: TrainConfig, scenes: Sequence[Scene], network: FCtLConfig) -> TrainConfig:
    """Convert the epochs of a config to steps.

    An epoch has as many tiles as the released grid cuts out of the training regions. For a network that is fed whole
    images, it has as many tiles as there are images.

    Parameters
    ----------
    config : TrainConfig
        The settings.
    scenes : sequence of Scene
        The scenes of the data.
    network : FCtLConfig
        The network's settings.

    Returns
    -------
    TrainConfig
        The settings with ``steps`` set, or unchanged if they have no epochs.
    """
    if not config.epochs:
        return config
    if network.inference == "global":
        tiles = sum(bool(scene.train) for scene in scenes)
    else:
        size = network.tile_size
        tiles = sum(
            len(released_starts(y1 - y0, size)) * len(released_starts(x1 - x0, size))
            for scene in scenes
            for y0, x0, y1, x1 in scene.train
        )
    steps = max(1, math.ceil(config.epochs * tiles / (config.batch * config.accumulate)))
    return config.model_copy(update={"steps": steps})
