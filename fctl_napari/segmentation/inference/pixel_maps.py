"""Maps of tiles by px, on the device: certainty from the probabilities, fusion weights from the feature cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.model.geometry import FeatureGrid


@dataclass(frozen=True)
class ClassifiedTiles:
    """The class of each px of some tiles, on the device.

    Attributes
    ----------
    probabilities
        float32 [B, classes, T, T].
    probability, chosen
        The largest, float32 [B, T, T], and whose it is, int64 [B, T, T].
    """

    probabilities: Tensor
    probability: Tensor
    chosen: Tensor

    def labels(self) -> NDArray[np.uint8]:
        """Fetch the labels, uint8 [B, T, T]: k + 1 for class k."""
        return np.asarray((self.chosen + 1).to(torch.uint8).cpu().numpy())

    def confidence(self) -> NDArray[np.uint8]:
        """Fetch the confidence, uint8 [B, T, T]: 1..255, the probability of the chosen class times 255."""
        return np.asarray(_as_bytes(self.probability).cpu().numpy())


@torch.inference_mode()
def classify_tiles(logits: Tensor) -> ClassifiedTiles:
    """Choose the class of each px from logits, float32 [B, classes, T, T]."""
    probabilities = logits.softmax(1)
    return ClassifiedTiles(probabilities, *probabilities.max(1))


def _as_bytes(values: Tensor) -> Tensor:
    """Store values of 0..1 as uint8 1..255: 0 is left for what is not computed."""
    return (values * 255).round().clamp(1, 255).to(torch.uint8)


@torch.inference_mode()
def tile_maps(tiles: ClassifiedTiles, weights: Tensor | None, grid: FeatureGrid) -> Tensor:
    """Compute all maps of tiles, in the order of ``map_names``.

    Parameters
    ----------
    tiles
        From :func:`classify_tiles`.
    weights
        MCF's weights [B, contexts, h, w] over the tiles' cells, the mean over channels; None without LCF.
    grid
        The tiles' cells.

    Returns
    -------
    Tensor
        uint8 [B, maps, T, T]. Every px has the weights of the cell that covers it, or beyond the grid of the cell at
        its rim: exactly what the network used there, and nothing between the cells.
    """
    classes = tiles.probabilities.shape[1]
    entropy = torch.special.entr(tiles.probabilities).sum(1) / math.log(classes)
    # all but the chosen one, so that a tie leaves the other
    second = tiles.probabilities.scatter(1, tiles.chosen[:, None], -1.0).amax(1)
    certainty = _as_bytes(torch.stack([entropy, tiles.probability - second], dim=1))
    if weights is None:
        return certainty
    cells = grid.cells_of_pixels().to(weights.device)
    return torch.cat([certainty, _as_bytes(weights)[:, :, cells[:, None], cells]], dim=1)
