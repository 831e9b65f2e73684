"""Pixel maps of tiles, on the device: certainty from the probabilities, fusion weights from the feature cells."""

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
    """Classes of the pixels of some tiles, on the device.

    Attributes
    ----------
    probabilities : Tensor of float32 [B, classes, T, T]
        Probabilities of the classes.
    probability : Tensor of float32 [B, T, T]
        The largest probability.
    chosen : Tensor of int64 [B, T, T]
        The class of the largest probability.
    """

    probabilities: Tensor
    probability: Tensor
    chosen: Tensor

    def labels(self) -> NDArray[np.uint8]:
        """Return the labels, uint8 [B, T, T]: k + 1 for class k."""
        return np.asarray((self.chosen + 1).to(torch.uint8).cpu().numpy())

    def confidence(self) -> NDArray[np.uint8]:
        """Return the confidence, uint8 [B, T, T]: the probability of the chosen class times 255, 1..255."""
        return np.asarray(_as_bytes(self.probability).cpu().numpy())


@torch.inference_mode()
def classify_tiles(logits: Tensor) -> ClassifiedTiles:
    """Choose the class of each pixel.

    Parameters
    ----------
    logits : Tensor of float32 [B, classes, T, T]
        Logits of the tiles.

    Returns
    -------
    ClassifiedTiles
        Probabilities and chosen classes.
    """
    probabilities = logits.softmax(1)
    return ClassifiedTiles(probabilities, *probabilities.max(1))


def _as_bytes(values: Tensor) -> Tensor:
    """Convert values of 0..1 to uint8 1..255, because 0 stands for pixels that are not computed."""
    return (values * 255).round().clamp(1, 255).to(torch.uint8)


@torch.inference_mode()
def tile_maps(tiles: ClassifiedTiles, weights: Tensor | None, grid: FeatureGrid) -> Tensor:
    """Compute all maps of tiles, in the order of ``map_names``.

    Parameters
    ----------
    tiles : ClassifiedTiles
        Result of ``classify_tiles``.
    weights : Tensor [B, contexts, h, w] or None
        MCF's weights over the tiles' cells, the mean over channels. None without LCF.
    grid : FeatureGrid
        Feature cells of the tiles.

    Returns
    -------
    Tensor of uint8 [B, maps, T, T]
        The maps. Every pixel has the weights of the cell that covers it, or beyond the grid those of the cell at its
        rim: exactly what the network used there, without interpolation between the cells.
    """
    classes = tiles.probabilities.shape[1]
    entropy = torch.special.entr(tiles.probabilities).sum(1) / math.log(classes)
    # Only the chosen class is masked, so that a tie leaves the other one.
    second = tiles.probabilities.scatter(1, tiles.chosen[:, None], -1.0).amax(1)
    certainty = _as_bytes(torch.stack([entropy, tiles.probability - second], dim=1))
    if weights is None:
        return certainty
    cells = grid.cells_of_pixels().to(weights.device)
    return torch.cat([certainty, _as_bytes(weights)[:, :, cells[:, None], cells]], dim=1)
