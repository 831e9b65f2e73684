"""Maps of tiles by px, on the device: certainty from the probabilities, fusion weights from the feature cells."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fctl_napari.model.geometry import FeatureGrid


def classify_tiles(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the class of each px.

    Parameters
    ----------
    logits
        float32 [B, classes, T, T].

    Returns
    -------
    probabilities : Tensor
        float32 [B, classes, T, T].
    probability, chosen : Tensor
        The largest, float32 [B, T, T], and whose it is, int64 [B, T, T].
    """
    probabilities = logits.softmax(1)
    probability, chosen = probabilities.max(1)
    return probabilities, probability, chosen


def as_bytes(values: Tensor) -> Tensor:
    """Store values of 0..1 as uint8 1..255: 0 is left for what is not computed."""
    return (values * 255).round().clamp(1, 255).to(torch.uint8)


def tile_maps(
    probabilities: Tensor, probability: Tensor, chosen: Tensor, weights: Tensor | None, grid: FeatureGrid
) -> Tensor:
    """Compute all maps of tiles, in the order of ``map_names``.

    Parameters
    ----------
    probabilities, probability, chosen
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
    classes = probabilities.shape[1]
    entropy = torch.special.entr(probabilities).sum(1) / math.log(classes)
    # all but the chosen one, so that a tie leaves the other
    second = probabilities.scatter(1, chosen[:, None], -1.0).amax(1)
    certainty = as_bytes(torch.stack([entropy, probability - second], dim=1))
    if weights is None:
        return certainty
    cells = grid.cells_of_pixels().to(weights.device)
    return torch.cat([certainty, as_bytes(weights)[:, :, cells[:, None], cells]], dim=1)
