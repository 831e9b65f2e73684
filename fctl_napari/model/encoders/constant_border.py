"""Inference through a padded stack of convolutions without what no image pixel reaches.

VGG16 in the FCN-8s convention pads the image by 100 px. Far from the image every layer's output is a function of the
weights alone, the same for every tile: 37 % of the work. Here each layer computes the part that the image reaches; the
one or two rows and columns around it that the next layer needs are computed once per network and kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Reach:
    """The part [start, stop) of a feature map of ``size`` rows (and columns) that the image reaches."""

    start: int
    stop: int
    size: int

    def after(self, layer: nn.Conv2d | nn.MaxPool2d) -> Reach:
        """Tell what it reaches of the layer's output."""
        if isinstance(layer, nn.Conv2d):
            return Reach(max(self.start - 1, 0), min(self.stop + 1, self.size), self.size)
        return Reach(self.start // 2, -(-self.stop // 2), -(-self.size // 2))

    def needed(self, layer: nn.Conv2d | nn.MaxPool2d) -> Reach:
        """Tell which input the layer needs for ``after``; beyond the map's ends it pads with zeros."""
        out = self.after(layer)
        if isinstance(layer, nn.Conv2d):
            return Reach(max(out.start - 1, 0), min(out.stop + 1, self.size), self.size)
        return Reach(2 * out.start, min(2 * out.stop, self.size), self.size)


@dataclass(frozen=True)
class Frame:
    """Rows above and below, and columns left and right of a part: [1, C, n, w] and [1, C, h, n]."""

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    @classmethod
    def around(cls, constant: Tensor, part: Reach, needed: Reach) -> Frame:
        """Cut from a whole map [1, C, size, size]."""
        a, b, c, d = needed.start, part.start, part.stop, needed.stop
        return cls(
            constant[:, :, a:b, a:d].clone(),
            constant[:, :, c:d, a:d].clone(),
            constant[:, :, b:c, a:b].clone(),
            constant[:, :, b:c, c:d].clone(),
        )

    def put(self, x: Tensor) -> Tensor:
        """Put around a part [B, C, h, h]."""
        if not (self.top.numel() or self.bottom.numel() or self.left.numel() or self.right.numel()):
            return x
        top, left = self.top.shape[2], self.left.shape[3]
        height = top + x.shape[2] + self.bottom.shape[2]
        width = left + x.shape[3] + self.right.shape[3]
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        out = torch.empty((*x.shape[:2], height, width), dtype=x.dtype, device=x.device, memory_format=layout)
        out[:, :, :top] = self.top
        out[:, :, height - self.bottom.shape[2] :] = self.bottom
        middle = out[:, :, top : top + x.shape[2]]
        middle[..., :left] = self.left
        middle[..., left : left + x.shape[3]] = x
        middle[..., left + x.shape[3] :] = self.right
        return out


class ConstantBorder:
    """The frames of one stack for one input size, dtype and device.

    Parameters
    ----------
    layers
        3x3 convolutions (the first padded by ``padding``, the others by 1), ReLUs, and 2x2 max poolings in ceil mode.
    padding
        Of the first convolution, px.
    size
        Side of the images, px.
    kept
        Indices of the poolings whose outputs are wanted.
    like
        An image batch whose dtype and device count.
    """

    def __init__(
        self, layers: Sequence[nn.Module], padding: int, size: int, kept: Collection[int], like: Tensor
    ) -> None:
        self.layers = layers
        whole = size + 2 * padding - 2
        # the first convolution's output; its padded input is zero but for the image
        self.first = Reach(padding - 2, padding + size, whole)
        self.frames: dict[int, Frame] = {}
        self.whole: dict[int, Tensor] = {}
        x = like.new_zeros((1, like.shape[1], size, size))
        reach = self.first
        for index, layer in enumerate(layers):
            if index > 0 and isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
                self.frames[index] = Frame.around(x, reach, reach.needed(layer))
                reach = reach.after(layer)
            x = layer(x)
            if index in kept:
                self.whole[index] = x

    def run(self, images: Tensor, last: int) -> dict[int, Tensor]:
        """Compute what the layers give.

        Parameters
        ----------
        images
            Normalised, [B, 3, size, size].
        last
            Index of the last layer to run.

        Returns
        -------
        dict of int to Tensor
            Whole outputs of the kept poolings by index, [B, C, n, n].
        """
        found: dict[int, Tensor] = {}
        x = images
        reach = self.first
        for index, layer in enumerate(self.layers[: last + 1]):
            if isinstance(layer, nn.Conv2d):
                if index == 0:
                    x = F.conv2d(x, layer.weight, layer.bias, padding=2)
                    continue
                needed, out = reach.needed(layer), reach.after(layer)
                x = self.frames[index].put(x)
                # zeros only where the map really ends
                pads = [int(needed.start == out.start), int(needed.stop == out.stop)] * 2
                if pads == [0] * 4:
                    x = F.conv2d(x, layer.weight, layer.bias)
                elif pads == [1] * 4:
                    x = F.conv2d(x, layer.weight, layer.bias, padding=1)
                else:
                    x = F.conv2d(F.pad(x, pads), layer.weight, layer.bias)
                reach = out
            elif isinstance(layer, nn.MaxPool2d):
                x = layer(self.frames[index].put(x))
                reach = reach.after(layer)
                if index in self.whole:
                    found[index] = self._complete(index, x, reach)
            else:
                x = layer(x)
        return found

    def _complete(self, index: int, x: Tensor, reach: Reach) -> Tensor:
        """The whole map: the constant one with the part in its place."""
        if (reach.start, reach.stop) == (0, reach.size):
            return x
        out = self.whole[index].to(x.dtype).expand(x.shape[0], -1, -1, -1).clone()
        out[:, :, reach.start : reach.stop, reach.start : reach.stop] = x
        return out
