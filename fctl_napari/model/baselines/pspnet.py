"""PSPNet (Zhao et al., 2017) over a dilated ResNet-50, without the auxiliary loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import Baseline, ConvNorm, Decoder, like
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet50

BINS = (1, 2, 3, 6)
"""Cells along a side of each level of the pyramid."""


class PSPDecoder(Decoder):
    """Pyramid pooling beside the features, a 3x3 convolution, scores at stride 8.

    Parameters
    ----------
    channels : int
        Channels of the features at stride 8.
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (8,)

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(ConvNorm(channels, channels // len(BINS)) for _ in BINS)
        self.fuse = ConvNorm(2 * channels, 512, 3)
        self.drop = nn.Dropout2d(0.1)
        self.score = nn.Conv2d(512, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score the cells at stride 8.

        Parameters
        ----------
        features : Features
            Map [B, C, h, w] at stride 8.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores at stride 8.
        """
        x = features[8]
        levels = [like(level(F.adaptive_avg_pool2d(x, n)), x) for n, level in zip(BINS, self.levels, strict=True)]
        scores: Tensor = self.score(self.drop(self.fuse(cat([x, *levels], 1))))
        return scores


def pspnet(config: FCtLConfig) -> Baseline:
    """Build PSPNet.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    encoder = ResNet50(8, config.in_channels)
    return Baseline(config, encoder, PSPDecoder(encoder.channels[8], config.classes))
