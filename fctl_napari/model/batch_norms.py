"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


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
