"""DeepLab v3+ (Chen et al., 2018) over a ResNet-50 dilated to stride 16, with plain convolutions."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import Baseline, ConvNorm, Decoder, like
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.resnet import ResNet50

MULTI_GRID = (1, 2, 4)
"""Multiples of the last stage's dilation with ``multi_grid``."""
RATES = (6, 12, 18)
"""Dilations of the atrous spatial pyramid, cells."""
WIDTH, DETAIL = 256, 48
"""Channels of the pyramid's parts, and of the fine features."""


class DeepLabDecoder(Decoder):
    """Atrous spatial pyramid at stride 16, upsampled and refined with the features at stride 4.

    Parameters
    ----------
    channels, fine_channels : int
        Channels of the features at strides 16 and 4.
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (4, 16)

    def __init__(self, channels: int, fine_channels: int, classes: int) -> None:
        super().__init__()
        self.pyramid = nn.ModuleList(
            [ConvNorm(channels, WIDTH), *(ConvNorm(channels, WIDTH, 3, dilation=rate) for rate in RATES)]
        )
        self.pooled = ConvNorm(channels, WIDTH)
        self.join = nn.Sequential(ConvNorm((len(RATES) + 2) * WIDTH, WIDTH), nn.Dropout(0.5))
        self.detail = ConvNorm(fine_channels, DETAIL)
        self.refine = nn.Sequential(
            ConvNorm(WIDTH + DETAIL, WIDTH, 3), nn.Dropout(0.5), ConvNorm(WIDTH, WIDTH, 3), nn.Dropout(0.1)
        )
        self.score = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score the cells at stride 4.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 4 and 16.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores at stride 4.
        """
        x, fine = features[16], self.detail(features[4])
        parts = [part(x) for part in self.pyramid]
        x = self.join(cat([*parts, like(self.pooled(F.adaptive_avg_pool2d(x, 1)), x)], 1))
        scores: Tensor = self.score(self.refine(cat([like(x, fine), fine], 1)))
        return scores


def deeplabv3plus(config: FCtLConfig) -> Baseline:
    """Build DeepLab v3+.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    encoder = ResNet50(16, config.in_channels, MULTI_GRID if config.multi_grid else None)
    return Baseline(config, encoder, DeepLabDecoder(encoder.channels[16], encoder.channels[4], config.classes))
