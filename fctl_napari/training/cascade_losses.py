"""Losses of CascadePSP's outputs, for one class of each tile."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fctl_napari.model.baselines.cascadepsp import CascadePSP
from fctl_napari.model.classes import IGNORE
from fctl_napari.model.config import FCtLConfig

CROP = 224
"""Largest side of the tiles that are learned from, px, as in the paper."""
GRADIENT = 5.0
"""Weight of the loss of the gradient's magnitude at stride 1."""
SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


def learned_view(config: FCtLConfig) -> FCtLConfig:
    """Change a network's settings to those of the tiles that it learns from.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    FCtLConfig
        For CascadePSP settings of small tiles without the image around, which its two steps have in common. Others stay
        as they are.
    """
    if config.architecture != "cascadepsp":
        return config
    return config.model_copy(update={"contexts": (), "tile_size": min(CROP, config.tile_size)})


def cascade_loss(model: CascadePSP, tiles: Tensor, ground_truth: Tensor) -> Tensor:
    """Compute the loss of one class for each tile, drawn from those that its ground truth has.

    Parameters
    ----------
    model : CascadePSP
        The network.
    tiles : Tensor of float [B, 4, T, T]
        RGB in 0..255, and labels (0 nothing, k + 1 class k).
    ground_truth : Tensor of int64 [B, T, T]
        Class indices, ``IGNORE`` where there is none.

    Returns
    -------
    Tensor of float []
        The sum of the losses of all outputs, see ``output_loss``.
    """
    classes = drawn_classes(ground_truth, model.config.classes)[:, None, None, None]
    known = (ground_truth != IGNORE).float()[:, None]
    wanted = (ground_truth[:, None] == classes).float()
    mask = (tiles[:, 3:] == classes + 1) * 2.0 - 1
    levels = model.cascade(tiles[:, :3], mask)
    with torch.autocast(tiles.device.type, enabled=False):
        losses = [
            output_loss(scores.float(), wanted, known, stride) for one in levels for stride, scores in one.items()
        ]
    return torch.stack(losses).sum()


def drawn_classes(ground_truth: Tensor, classes: int) -> Tensor:
    """Draw a class of each tile's ground truth, with torch's random numbers on the CPU.

    Parameters
    ----------
    ground_truth : Tensor of int64 [B, T, T]
        Class indices, ``IGNORE`` where there is none.
    classes : int
        Number of classes.

    Returns
    -------
    Tensor of int64 [B]
        Classes, on the device of the ground truth. Any class where there is no ground truth.
    """
    there = (ground_truth[:, None] == torch.arange(classes, device=ground_truth.device)[:, None, None]).any(-1).any(-1)
    weights = (there | ~there.any(1, keepdim=True)).float().cpu()
    return torch.multinomial(weights, 1)[:, 0].to(ground_truth.device)


def output_loss(scores: Tensor, wanted: Tensor, known: Tensor, stride: int) -> Tensor:
    """Compute the loss of one output over px with ground truth.

    Parameters
    ----------
    scores : Tensor of float32 [B, 1, T, T]
        Logits of the class.
    wanted : Tensor of float32 [B, 1, T, T]
        1 where the class is, else 0.
    known : Tensor of float32 [B, 1, T, T]
        1 where there is ground truth, else 0.
    stride : int
        Stride of the output. 8: cross-entropy. 1: L1 and L2 of the probability, and five times L1 of its gradient's
        magnitude. 4: the mean of cross-entropy and of the mean of L1 and L2.

    Returns
    -------
    Tensor of float []
        The loss; 0 without ground truth.
    """

    def mean(values: Tensor, weights: Tensor = known) -> Tensor:
        return (values * weights).sum() / weights.sum().clamp(min=1)

    if stride == 8:
        return mean(F.binary_cross_entropy_with_logits(scores, wanted, reduction="none"))
    probability = scores.sigmoid()
    distances = mean((probability - wanted).abs()) + mean((probability - wanted) ** 2)
    if stride == 4:
        return 0.5 * mean(F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")) + 0.25 * distances
    sure = 1 - F.max_pool2d(1 - known, 5, 1, 2)  # a magnitude depends on 5 x 5 px
    return distances + GRADIENT * mean((gradient_magnitude(probability) - gradient_magnitude(wanted)).abs(), sure)


def gradient_magnitude(mask: Tensor) -> Tensor:
    """Compute the magnitude of the Sobel gradient of a mask that is smoothed over 3 x 3 px.

    Parameters
    ----------
    mask : Tensor of float32 [B, 1, T, T]
        Mask, 0 to 1.

    Returns
    -------
    Tensor of float32 [B, 1, T, T]
        Magnitudes, 0.01 where the mask is flat.
    """
    x = torch.tensor(SOBEL, device=mask.device) / 4
    kernels = torch.stack([x, x.T])[:, None]
    gradients = F.conv2d(F.avg_pool2d(mask, 3, 1, 1), kernels, padding=1)
    return (gradients.square().sum(1, keepdim=True) + 1e-4).sqrt()
