"""U-Net (Ronneberger et al., 2015), with padded convolutions and batch norm."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import Baseline, Decoder
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.unet import WIDTHS, DoubleConv, UNetEncoder


class UNetDecoder(Decoder):
    """Four times: a 2x2 transposed convolution to the channels of the skip, the skip beside it, two convolutions.

    Parameters
    ----------
    classes
        Channels of the scores.
    widths
        As of the encoder.
    """

    strides: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16)

    def __init__(self, classes: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in pairs)
        self.blocks = nn.ModuleList(DoubleConv(2 * fine, fine) for _, fine in pairs)
        self.score = nn.Conv2d(widths[0], classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score every px; an odd row or column that pooling left out is padded with zeros."""
        x = features[16]
        for up, block, stride in zip(self.up, self.blocks, (8, 4, 2, 1), strict=True):
            skip, x = features[stride], up(x)
            x = F.pad(x, (0, skip.shape[-1] - x.shape[-1], 0, skip.shape[-2] - x.shape[-2]))
            x = block(cat([skip, x], 1))
        scores: Tensor = self.score(x)
        return scores


def unet(config: FCtLConfig) -> Baseline:
    """Build U-Net."""
    return Baseline(config, UNetEncoder(), UNetDecoder(config.classes))
