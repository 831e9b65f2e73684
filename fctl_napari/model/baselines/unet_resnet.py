"""U-Net over a ResNet as the package segmentation_models.pytorch has it, with its names of the decoder's modules."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import Baseline, ConvNorm, Decoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet

WIDTHS = (256, 128, 64, 32, 16)
"""Channels after each step of the decoder, from stride 16 to 1."""


class UpBlock(nn.Module):
    """Two 3x3 convolutions over upsampled features and the encoder's beside them.

    Parameters
    ----------
    before, skip, after : int
        Channels of the coarse features, of the encoder's (0 for none) and of the output.
    """

    def __init__(self, before: int, skip: int, after: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(before + skip, after, 3)
        self.conv2 = ConvNorm(after, after, 3)

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Run the block.

        Parameters
        ----------
        x : Tensor of float [B, before, h, w]
            Coarse features.
        skip : Tensor of float [B, skip, H, W] or None
            Features of the encoder.
        size : tuple of 2 int
            Cells (H, W) of the output.

        Returns
        -------
        Tensor of float [B, after, H, W]
            Finer features.
        """
        x = F.interpolate(x, size, mode="nearest")
        found: Tensor = self.conv2(self.conv1(x if skip is None else cat([x, skip], 1)))
        return found


class UNetResNetDecoder(Decoder):
    """Five steps from stride 32 to 1, with the encoder's features beside them as far as it has some.

    Parameters
    ----------
    channels : dict of int to int
        Channels of the encoder's features by stride.
    tile_size : int
        Side of the tile, px.
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (2, 4, 8, 16, 32)

    def __init__(self, channels: dict[int, int], tile_size: int, classes: int) -> None:
        super().__init__()
        self.tile_size = tile_size
        befores = (channels[32], *WIDTHS[:-1])
        skips = (channels[16], channels[8], channels[4], channels[2], 0)
        self.blocks = nn.ModuleList(UpBlock(*widths) for widths in zip(befores, skips, WIDTHS, strict=True))
        self.score = nn.Conv2d(WIDTHS[-1], classes, 3, padding=1)

    def forward(self, features: Features) -> Tensor:
        """Score every pixel.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 2, 4, 8, 16 and 32.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Scores at stride 1.
        """
        x = features[32]
        for block, stride in zip(self.blocks, (16, 8, 4, 2, 1), strict=True):
            skip = features.get(stride)
            x = block(x, skip, (self.tile_size,) * 2 if skip is None else (skip.shape[-2], skip.shape[-1]))
        scores: Tensor = self.score(x)
        return scores


def unet_resnet(config: FCtLConfig) -> Baseline:
    """Build U-Net over a ResNet.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    encoder = ResNet(config.encoder, in_channels=config.in_channels, fine=True)
    return Baseline(config, encoder, UNetResNetDecoder(encoder.channels, config.tile_size, config.classes))
