"""Forward pass of a batch, and its loss with the losses that are a network's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fctl_napari.model.baselines.cascadepsp import CascadePSP
from fctl_napari.model.config import GLOBAL_VIEW
from fctl_napari.model.network import Network
from fctl_napari.training.augment import Batch
from fctl_napari.training.auxiliary_losses import AuxiliaryLosses
from fctl_napari.training.cascade_losses import cascade_loss
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.losses import focal_loss
from fctl_napari.training.pretraining.reconstruction import hide, reconstruction_loss


def forward_pass(model: Network, batch: Batch, device: torch.device) -> Tensor:
    """Compute the logits of a batch. Each context that tiles share is encoded once.

    Parameters
    ----------
    model : Network
        The network, on the device.
    batch : Batch
        The batch, on the CPU.
    device : torch.device
        The device.

    Returns
    -------
    Tensor of float [B, classes, T, T]
        Logits.
    """
    layout, contexts = torch.channels_last, {}
    for name, images in batch.contexts.items():
        features = model.encode_context(name, images.to(device, memory_format=layout))
        if batch.tiles:
            rows = zip(features.split(1), batch.tiles, strict=True)
            features = torch.cat([model.with_tiles(x, tiles.on(device), tiles.whole.to(device)) for x, tiles in rows])
        contexts[name] = features[batch.indices[name].to(device)]
    windows = {name: window.to(device) for name, window in batch.windows.items()}
    return model.decode(model.encode_tile(batch.tile.to(device, memory_format=layout)), contexts, windows)


def batch_loss(
    model: Network,
    auxiliary: AuxiliaryLosses | None,
    batch: Batch,
    forward: Callable[[Batch], Tensor],
    config: TrainConfig,
    weights: Tensor | None,
    device: torch.device,
) -> Tensor:
    """Compute the loss of a batch.

    Parameters
    ----------
    model : Network
        The network, on the device.
    auxiliary : AuxiliaryLosses or None
        Its auxiliary losses.
    batch : Batch
        The batch, on the CPU.
    forward : callable
        Function that computes the logits of the batch.
    config : TrainConfig
        The settings: ``loss`` and ``focal_gamma`` count.
    weights : Tensor of float [C] or None
        Weight of each class.
    device : torch.device
        The device.

    Returns
    -------
    Tensor of float []
        The config's loss and the auxiliary ones; for CascadePSP its own, and without ground truth that of
        ``training.pretraining.reconstruction``.
    """
    ground_truth = batch.ground_truth.to(device)
    gamma = config.focal_gamma if config.loss == "focal" else 0.0

    def criterion(logits: Tensor) -> Tensor:
        with torch.autocast(device.type, enabled=False):
            return focal_loss(logits, ground_truth, gamma, weights)

    if config.data.images:
        encoder = model.encoder("tile")
        hidden, where = hide(batch, encoder)
        return reconstruction_loss(forward(hidden), encoder.normalize(batch.tile.to(device)), where.to(device))
    if isinstance(model, CascadePSP):
        return cascade_loss(model, batch.tile.to(device), ground_truth)
    if auxiliary is None:
        return criterion(forward(batch))
    with auxiliary.watched(model) as features:
        loss = criterion(forward(batch))
    whole = model.config.inference == "global"
    return loss + auxiliary(features, batch.indices[GLOBAL_VIEW.name].to(device) if whole else None, criterion)
