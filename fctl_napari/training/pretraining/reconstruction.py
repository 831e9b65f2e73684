"""Self-supervised pretraining: the network fills in hidden px of a tile from what is left and from its contexts.

As in CASWiT (the training of a network of two scales without labels), patches of the tile are hidden, and in every
context the whole place of the tile, so that a context shows its surroundings alone. The network's scores of the bands
are compared with the normalized values of the hidden px.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, l1_loss

from fctl_napari.model.classes import IGNORE
from fctl_napari.model.encoders import Encoder
from fctl_napari.training.augment import Batch

PATCHES = 4
"""Patches along the side of a tile."""

SHARE = 0.6
"""Probability that a patch is hidden."""


def hide(batch: Batch, encoder: Encoder) -> tuple[Batch, Tensor]:
    """Hide patches of tiles, drawn by torch's generator, and the corners of the tiles in their contexts.

    Parameters
    ----------
    batch : Batch
        The batch, on the CPU.
    encoder : Encoder
        Encoder, whose mean takes the place of what is hidden.

    Returns
    -------
    hidden : Batch
        The batch as the network sees it.
    where : Tensor of bool [B, T, T]
        True where a tile's px is hidden and holds data.
    """
    count, _, size, _ = batch.tile.shape
    drawn = (torch.rand(count, 1, PATCHES, PATCHES) < SHARE).float()
    where = interpolate(drawn, (size, size), mode="nearest")[:, 0].bool()
    mean = torch.tensor(encoder.mean)[:, None, None]
    tile = torch.where(where[:, None], mean, batch.tile)
    contexts = {}
    for name, images in batch.contexts.items():
        shown = images.clone()
        around, tile_window = batch.windows[name], batch.windows["tile"]
        scale = size / (around[:, 2:] - around[:, :2]).repeat(1, 2)
        edges = (tile_window - around[:, [0, 1, 0, 1]]) * scale
        corners = torch.cat([edges[:, :2].floor(), edges[:, 2:].ceil()], 1).clamp(0, size).int()
        for row, (top, left, bottom, right) in zip(batch.indices[name], corners.tolist(), strict=True):
            shown[row, :, top:bottom, left:right] = mean
        contexts[name] = shown
    return replace(batch, tile=tile, contexts=contexts), where & (batch.ground_truth != IGNORE)


def reconstruction_loss(scores: Tensor, values: Tensor, where: Tensor) -> Tensor:
    """Compute the mean absolute difference between reconstructed and normalized values of hidden px.

    Parameters
    ----------
    scores : Tensor of float [B, C, T, T]
        Scores of the network, one for each band.
    values : Tensor of float [B, C, T, T]
        Values of the bands, normalized as the encoder does.
    where : Tensor of bool [B, T, T]
        The px that count.

    Returns
    -------
    Tensor of float []
        The difference, in the encoder's standard deviations; 0 where no px counts.
    """
    shown = where[:, None].expand_as(scores)
    if not shown.any():
        return scores.sum() * 0
    return l1_loss(scores.float()[shown], values.float()[shown])
