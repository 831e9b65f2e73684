"""FPN (Kirillov et al., 2019) as the package segmentation_models.pytorch has it, with its names of modules."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import Baseline, Decoder, stretch
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet

PYRAMID, WIDTH = 256, 128
"""Channels of the pyramid's levels, and in front of the scores."""
GROUPS = 32
"""Groups of channels that are normed together."""


class Level(nn.Module):
    """Level of the pyramid: the encoder's features added to the coarser level.

    Parameters
    ----------
    channels : int
        Channels of the encoder's features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(channels, PYRAMID, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Run the level.

        Parameters
        ----------
        x : Tensor of float [B, 256, h, w]
            Coarser level.
        skip : Tensor of float [B, channels, H, W]
            Features of the encoder.

        Returns
        -------
        Tensor of float [B, 256, H, W]
            The level.
        """
        own: Tensor = self.skip_conv(skip)
        return F.interpolate(x, own.shape[-2:], mode="nearest") + own


class ConvGroupNorm(nn.Module):
    """3x3 convolution without bias, group norm and ReLU.

    Parameters
    ----------
    before : int
        Channels of the input.
    """

    def __init__(self, before: int) -> None:
        super().__init__()
        conv = nn.Conv2d(before, WIDTH, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.block = nn.Sequential(conv, nn.GroupNorm(GROUPS, WIDTH), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Run the block.

        Parameters
        ----------
        x : Tensor of float [B, before, h, w]
            Feature map.

        Returns
        -------
        Tensor of float [B, 128, h, w]
            Feature map.
        """
        found: Tensor = self.block(x)
        return found


class Branch(nn.Module):
    """Convolutions from one level of the pyramid to stride 4, with upsampling after each.

    Parameters
    ----------
    steps : int
        Number of times that the level is upsampled; one convolution at least.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*(ConvGroupNorm(WIDTH if step else PYRAMID) for step in range(max(1, steps))))

    def forward(self, x: Tensor, finer: list[Tensor]) -> Tensor:
        """Run the branch.

        Parameters
        ----------
        x : Tensor of float [B, 256, h, w]
            Level of the pyramid.
        finer : list of Tensor
            Maps whose cells it is upsampled to, one after the other.

        Returns
        -------
        Tensor of float [B, 128, H, W]
            Features at stride 4.
        """
        for number, block in enumerate(self.block):
            x = block(x)
            if number < len(finer):
                x = stretch(x, (finer[number].shape[-2], finer[number].shape[-1]))
        return x


class FPNDecoder(Decoder):
    """Pyramid of the encoder's features from stride 32 to 4, whose levels are added at stride 4 and scored.

    Parameters
    ----------
    channels : dict of int to int
        Channels of the encoder's features by stride.
    tile_size : int
        Side of the tile, px.
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)

    def __init__(self, channels: dict[int, int], tile_size: int, classes: int) -> None:
        super().__init__()
        self.tile_size = tile_size
        self.p5 = nn.Conv2d(channels[32], PYRAMID, 1)
        self.p4, self.p3, self.p2 = (Level(channels[stride]) for stride in (16, 8, 4))
        self.seg_blocks = nn.ModuleList(Branch(steps) for steps in (3, 2, 1, 0))
        self.dropout = nn.Dropout2d(0.2)
        self.score = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score every pixel.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 4, 8, 16 and 32.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Scores at stride 1.
        """
        levels: list[Tensor] = [self.p5(features[32])]
        for level, stride in ((self.p4, 16), (self.p3, 8), (self.p2, 4)):
            levels.append(level(levels[-1], features[stride]))
        parts = [branch(levels[k], levels[k + 1 :]) for k, branch in enumerate(self.seg_blocks)]
        scores: Tensor = self.score(self.dropout(sum(parts)))
        return stretch(scores, (self.tile_size, self.tile_size))


def fpn(config: FCtLConfig) -> Baseline:
    """Build FPN.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    encoder = ResNet(config.encoder, in_channels=config.in_channels)
    return Baseline(config, encoder, FPNDecoder(encoder.channels, config.tile_size, config.classes))
