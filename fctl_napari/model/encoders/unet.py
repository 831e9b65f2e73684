"""Contracting path of U-Net (Ronneberger et al., 2015)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.encoders.base import Encoder, Features

WIDTHS = (64, 128, 256, 512, 1024)


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each with batch norm and ReLU.

    The paper's convolutions lose a pixel on each side and have no norm. Padded ones keep the size, as is usual since.

    Parameters
    ----------
    before, after : int
        Channels of the input and of the output.
    """

    def __init__(self, before: int, after: int) -> None:
        layers: list[nn.Module] = []
        for channels in (before, after):
            conv = nn.Conv2d(channels, after, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            layers += [conv, BatchNorm(after), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UNetEncoder(Encoder):
    """U-Net's encoder for tiles of any size.

    Strides 1, 2, 4, 8, 16 have 64 to 1024 channels. No weights are published.

    Parameters
    ----------
    in_channels : int, optional
        Channels of the input.
    widths : tuple of int, optional
        Channels at each stride.
    """

    multiple_of: ClassVar[int] = 1
    first_weight: ClassVar[str] = "blocks.0.0.weight"

    def __init__(self, in_channels: int = 3, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.channels = {2**n: width for n, width in enumerate(widths)}
        self.blocks = nn.ModuleList(
            DoubleConv(before, after) for before, after in zip((in_channels, *widths), widths, strict=False)
        )

    def features(self, images: Tensor, last_stride: int) -> Features:
        """Run the blocks, with a pooling between them.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """
        found: Features = {}
        x = images
        for stride, block in zip(self.channels, self.blocks, strict=True):
            x = self.run(block, x if stride == 1 else F.max_pool2d(x, 2))
            found[stride] = x
            if stride == last_stride:
                break
        return found

    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return no arrays, as there is no published file.

        Parameters
        ----------
        state : dict of str to Tensor
            Unused.

        Returns
        -------
        dict of str to Tensor
            An empty dict.
        """
        return {}
