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
    """Expanding path of U-Net.

    Each step is a 2x2 transposed convolution to the channels of the skip, the skip beside it, and two convolutions.
    There are four steps.

    Parameters
    ----------
    classes : int
        Scores per pixel.
    widths : tuple of int, optional
        Channels at each stride, as in the encoder.
    """

    strides: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16)

    def __init__(self, classes: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in pairs)
        self.blocks = nn.ModuleList(DoubleConv(2 * fine, fine) for _, fine in pairs)
        self.score = nn.Conv2d(widths[0], classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score every pixel.

        An odd row or column that pooling left out is padded with zeros.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 1, 2, 4, 8 and 16.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Scores at stride 1.
        """
        x = features[16]
        for up, block, stride in zip(self.up, self.blocks, (8, 4, 2, 1), strict=True):
            skip, x = features[stride], up(x)
            x = F.pad(x, (0, skip.shape[-1] - x.shape[-1], 0, skip.shape[-2] - x.shape[-2]))
            x = block(cat([skip, x], 1))
        scores: Tensor = self.score(x)
        return scores


def unet(config: FCtLConfig) -> Baseline:
    """Build U-Net.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    return Baseline(config, UNetEncoder(config.in_channels), UNetDecoder(config.classes))
