"""DeepLab v3+ with separable convolutions as the package segmentation_models.pytorch has it, with its module names."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn

from fctl_napari.model.baselines.base import Baseline, ConvNorm, Decoder, like, stretch
from fctl_napari.model.baselines.deeplab import DETAIL, WIDTH
from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import VARIANTS, ResNet

RATES = (12, 24, 36)
"""Dilations of the atrous spatial pyramid, cells."""


def _separable(before: int, after: int, dilation: int = 1) -> nn.Sequential:
    """Build a 3x3 convolution of each channel, and one of 1x1 across them, without bias."""
    each = nn.Conv2d(before, before, 3, padding=dilation, dilation=dilation, groups=before, bias=False)
    across = nn.Conv2d(before, after, 1, bias=False)
    nn.init.kaiming_normal_(across.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(each, across)


def _normed(before: int, after: int, dilation: int = 1) -> list[nn.Module]:
    """Build a separable convolution, its norm and ReLU."""
    return [_separable(before, after, dilation), BatchNorm(after), nn.ReLU(inplace=True)]


class Pyramid(nn.Module):
    """Atrous spatial pyramid of separable convolutions, and their projection.

    Parameters
    ----------
    channels : int
        Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        dilated = [nn.Sequential(*_normed(channels, WIDTH, rate)) for rate in RATES]
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *ConvNorm(channels, WIDTH))
        self.convs = nn.ModuleList([ConvNorm(channels, WIDTH), *dilated, pooled])
        self.project = nn.Sequential(*ConvNorm(len(self.convs) * WIDTH, WIDTH), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Run the pyramid.

        Parameters
        ----------
        x : Tensor of float [B, channels, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, 256, h, w]
            Feature map.
        """
        found: Tensor = self.project(cat([like(part(x), x) for part in self.convs], 1))
        return found


class SeparableDeepLabDecoder(Decoder):
    """Atrous spatial pyramid at stride 16, upsampled and refined with the features at stride 4.

    Parameters
    ----------
    channels, fine_channels : int
        Channels of the features at strides 16 and 4.
    tile_size : int
        Side of the tile, px.
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (4, 16)

    def __init__(self, channels: int, fine_channels: int, tile_size: int, classes: int) -> None:
        super().__init__()
        self.tile_size = tile_size
        self.aspp = nn.Sequential(Pyramid(channels), *_normed(WIDTH, WIDTH))
        self.block1 = ConvNorm(fine_channels, DETAIL)
        self.block2 = nn.Sequential(*_normed(WIDTH + DETAIL, WIDTH))
        self.score = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score every pixel.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 4 and 16.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Scores at stride 1.
        """
        fine: Tensor = self.block1(features[4])
        x = stretch(self.aspp(features[16]), (fine.shape[-2], fine.shape[-1]))
        scores: Tensor = self.score(self.block2(cat([x, fine], 1)))
        return stretch(scores, (self.tile_size, self.tile_size))


def deeplabv3plus_separable(config: FCtLConfig) -> Baseline:
    """Build DeepLab v3+ with separable convolutions.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    # All blocks of the last stage are dilated alike, its first one too.
    alike = (1,) * VARIANTS[config.encoder].counts[-1]
    encoder = ResNet(config.encoder, 16, config.in_channels, alike)
    decoder = SeparableDeepLabDecoder(encoder.channels[16], encoder.channels[4], config.tile_size, config.classes)
    return Baseline(config, encoder, decoder)
