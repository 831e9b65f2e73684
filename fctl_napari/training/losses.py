"""Focal loss with class weights and ignored pixels; distillation to a parent's prediction."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fctl_napari.model.classes import IGNORE

RARE = 10.0
"""A class weighs at most this many times as much as another, however few of its pixels were corrected."""


def focal_loss(
    logits: Tensor, truth: Tensor, gamma: float = 3.0, weights: Tensor | None = None, ignore_index: int = IGNORE
) -> Tensor:
    """Mean over labelled pixels of ``-w_k (1 - p_k) ** gamma log p_k`` (section 3.5; gamma 0 is cross-entropy).

    Parameters
    ----------
    logits
        [B, C, H, W].
    truth
        Class indices, integer [B, H, W]; ``ignore_index`` is left out.
    gamma
        Focusing exponent.
    weights
        Per class, [C]; None is 1 for all. The mean is weighted by them.

    Returns
    -------
    Tensor
        Scalar; 0 where nothing is labelled.
    """
    truth = truth.long()
    labelled = truth != ignore_index
    log_p = F.log_softmax(logits.float(), dim=1)
    log_p = log_p.gather(1, truth.where(labelled, 0)[:, None])[:, 0]
    w = labelled.float() if weights is None else weights.float()[truth.where(labelled, 0)] * labelled
    # 1 - exp(log p) loses the gradient of nearly certain pixels to rounding; expm1 does not
    focus = (-torch.expm1(log_p)).clamp(min=0) ** gamma if gamma else torch.ones_like(log_p)
    return -(w * focus * log_p).sum() / w.sum().clamp(min=1e-6)


def distillation_loss(logits: Tensor, parent: Tensor, weights: Tensor) -> Tensor:
    """Mean of KL(parent || network) over pixels, by their weights.

    Parameters
    ----------
    logits
        The network's, [B, C, H, W].
    parent
        Log-probabilities of the parent, [B, C, H, W].
    weights
        0 or more, [B, H, W]; 0 leaves a pixel out.

    Returns
    -------
    Tensor
        Scalar, 0 or more; 0 where every weight is 0.
    """
    parent = parent.float()
    kl = (parent.exp() * (parent - F.log_softmax(logits.float(), dim=1))).sum(1)
    return (kl * weights).sum() / weights.sum().clamp(min=1e-6)


def class_weights(pixels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights that make classes count alike, [classes]: 1 / pixels, at most ``RARE`` times the least; mean 1."""
    there = pixels > 0
    weights = np.zeros(len(pixels), np.float32)
    weights[there] = np.minimum(pixels.max() / pixels[there], RARE)
    return np.asarray(weights / weights[there].mean(), np.float32)
