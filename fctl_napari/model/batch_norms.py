"""Batch norms that stand a single value, and their folding into the convolutions before them."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that uses its running statistics where a batch has a single value for each channel.

    A pooled map of a single tile is such a batch. It has no deviation, and torch refuses it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize a batch.

        Parameters
        ----------
        x : Tensor of float [B, C, h, w]
            Feature maps.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Normalized maps.
        """
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def fold_batch_norms(model: nn.Module) -> None:
    """Fold each batch norm that directly follows a convolution into it, in place.

    The network computes the same in fewer passes over memory. It cannot be trained or saved as a checkpoint afterwards.

    Parameters
    ----------
    model : nn.Module
        Network in evaluation mode, whose convolutions and batch norms follow each other in ``nn.Sequential``.
    """
    for block in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for (first, conv), (second, norm) in itertools.pairwise(list(block.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, first, fuse_conv_bn_eval(conv, norm))
                setattr(block, second, nn.Identity())
