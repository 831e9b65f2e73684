"""SegNet (Badrinarayanan et al., 2017): a mirrored VGG16 that puts maxima back at their positions."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from fctl_napari.model.baselines.base import Baseline, ConvNorm, Decoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.vgg16 import LAYERS, WIDTHS
from fctl_napari.model.encoders.vgg16_bn import VGG16BatchNorm


class SegNetDecoder(Decoder):
    """VGG16's blocks in reverse order, with an unpooling in front of each.

    The last convolution gives the scores.

    Parameters
    ----------
    classes : int
        Scores per pixel.
    tile_size : int
        Side of the network's input, px.
    """

    strides: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16, 32)

    def __init__(self, classes: int, tile_size: int) -> None:
        super().__init__()
        self.tile_size = tile_size
        blocks = []
        for number in reversed(range(len(WIDTHS))):
            width, after = WIDTHS[number], WIDTHS[max(number - 1, 0)]
            convs = [ConvNorm(width, width, 3) for _ in range(LAYERS[number] - 1)]
            last = ConvNorm(width, after, 3) if number else nn.Conv2d(width, classes, 3, padding=1)
            blocks.append(nn.Sequential(*convs, last))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: Features) -> Tensor:
        """Score every pixel.

        Parameters
        ----------
        features : Features
            The last map (32), and positions of the maxima at strides 1 to 16; see ``VGG16BatchNorm``.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Scores at stride 1.
        """
        x = features[32]
        for block, stride in zip(self.blocks, (16, 8, 4, 2, 1), strict=True):
            size = self.tile_size // stride  # an odd row or column was not pooled
            x = block(unpool(x, features[stride], size))
        return x


def unpool(x: Tensor, indices: Tensor, size: int) -> Tensor:
    """Put values at their positions among zeros.

    Parameters
    ----------
    x : Tensor of float [B, C, h, w]
        Values.
    indices : Tensor of int64 [B, C, h, w]
        Positions, as indices into size * size.
    size : int
        Side of the result, cells.

    Returns
    -------
    Tensor of float [B, C, size, size]
        The values at their positions, and 0 elsewhere.
    """
    flat = x.new_zeros((*x.shape[:2], size * size))
    return flat.scatter(2, indices.flatten(2), x.flatten(2)).reshape(*x.shape[:2], size, size)


def segnet(config: FCtLConfig) -> Baseline:
    """Build SegNet.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    return Baseline(config, VGG16BatchNorm(config.in_channels), SegNetDecoder(config.classes, config.tile_size))
