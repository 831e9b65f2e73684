"""Depthwise convolution with a fast gradient on CPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """Convolution of each channel by itself, of stride 1, with as many cells out as in.

    Its gradient is computed by two convolutions on CPUs. oneDNN's own takes 4 to 10 times as long (8 tiles, 32 channels
    of 16 x 16 cells, windows of 5 to 9, one core).

    Parameters
    ----------
    channels : int
        Number of channels.
    window : int
        Window size, cells, odd.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(channels, channels, window, padding=window // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Parameters
        ----------
        x : Tensor of float [B, C, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Convolved map.
        """
        if not (torch.is_grad_enabled() and self.weight.requires_grad and x.device.type == "cpu"):
            return super().forward(x)
        assert self.bias is not None
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            x, weight, bias = (t.to(torch.get_autocast_dtype("cpu")) for t in (x, weight, bias))
        out: Tensor = _Depthwise.apply(x, weight)  # type: ignore[no-untyped-call]
        return out + bias[:, None, None]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve without bias."""
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Correlate the gradient with the weights, and the input with the gradient."""
        x, weight = ctx.saved_tensors
        (b, channels, height, width), size = x.shape, weight.shape[-1]
        of_x = F.conv2d(gradient, weight.flip(2, 3), padding=size // 2, groups=channels)
        # each channel of each tile is a channel, and the gradient its kernel
        kernels = gradient.reshape(b * channels, 1, height, width)
        of_weight = F.conv2d(x.reshape(1, b * channels, height, width), kernels, padding=size // 2, groups=b * channels)
        return of_x, of_weight.reshape(b, channels, size, size).sum(0)[:, None]
