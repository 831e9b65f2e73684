"""Focal loss with class weights and ignored pixels, and distillation from a parent's prediction."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fctl_napari.model.classes import IGNORE

RARE = 10.0
"""Largest ratio between the weights of two classes, however few pixels of one were corrected."""


def focal_loss(
    logits: Tensor, ground_truth: Tensor, gamma: float = 3.0, weights: Tensor | None = None, ignore_index: int = IGNORE
) -> Tensor:
    """Compute the focal loss, the mean over labelled pixels of ``-w_k (1 - p_k) ** gamma log p_k`` (section 3.5).

    With ``gamma`` 0 it is cross-entropy.

    Parameters
    ----------
    logits : Tensor of float [B, C, H, W]
        Output of the network.
    ground_truth : Tensor of int [B, H, W]
        Class indices.
    gamma : float, optional
        Focusing exponent.
    weights : Tensor of float [C], optional
        Weight of each class. The mean is weighted by them. None weighs all classes 1.
    ignore_index : int, optional
        Value of ``ground_truth`` whose pixels are left out.

    Returns
    -------
    Tensor of float []
        The loss, 0 where nothing is labelled.
    """
    ground_truth = ground_truth.long()
    labelled = ground_truth != ignore_index
    log_p = F.log_softmax(logits.float(), dim=1)
    log_p = log_p.gather(1, ground_truth.where(labelled, 0)[:, None])[:, 0]
    w = labelled.float() if weights is None else weights.float()[ground_truth.where(labelled, 0)] * labelled
    # 1 - exp(log p) loses the gradient of nearly certain pixels to rounding; expm1 does not
    focus = (-torch.expm1(log_p)).clamp(min=0) ** gamma if gamma else torch.ones_like(log_p)
    return -(w * focus * log_p).sum() / w.sum().clamp(min=1e-6)


def distillation_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the cross-entropy of each tile with weighted probabilities, ``-w p log q`` summed over its pixels.

    It is the weighted KL divergence from the parent, but for a constant: the entropy ``-w p log p``.

    Parameters
    ----------
    logits : Tensor of float [B, C, H, W]
        Output of the network.
    targets : Tensor of float [B, C, H, W]
        Probabilities of the parent times the weight of the pixel. A weight of 0 leaves a pixel out.

    Returns
    -------
    Tensor of float [B]
        The sums, 0 or more.
    """
    return -(targets.float() * F.log_softmax(logits.float(), dim=1)).sum((1, 2, 3))


def class_weights(pixels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compute weights that make classes count alike.

    Parameters
    ----------
    pixels : ndarray of int64 [C]
        Number of pixels of each class.

    Returns
    -------
    ndarray of float32 [C]
        Weights proportional to 1 / pixels, but at most ``RARE`` times the least one. Their mean over classes with
        pixels is 1. Classes without pixels weigh 0.
    """
    there = pixels > 0
    weights = np.zeros(len(pixels), np.float32)
    weights[there] = np.minimum(pixels.max() / pixels[there], RARE)
    return np.asarray(weights / weights[there].mean(), np.float32)
