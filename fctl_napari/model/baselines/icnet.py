"""ICNet (Zhao et al., 2018) over a dilated ResNet-50, whose deeper branches see coarser images.

The pruning of the trained network to half its kernels is left out. While it is trained, its coarser branches have
losses of their own, see ``training.auxiliary_losses``.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.baselines.base import Baseline, ConvNorm, Decoder, like, resize
from fctl_napari.model.baselines.pspnet import BINS
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Encoder, Features
from fctl_napari.model.encoders.resnet import VARIANTS, ResNet50

LOW, WIDTH = 256, 128
"""Channels of the coarsest branch, and of the fused ones."""
FINE = (32, 32, 64)
"""Channels of the three convolutions that see the tile at its full size."""


class CascadeFusion(nn.Module):
    """Cascade feature fusion: the coarser map, upsampled and convolved, plus the finer one, projected.

    Parameters
    ----------
    coarse, fine : int
        Channels of the two maps.
    """

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        conv, norm, _ = ConvNorm(coarse, WIDTH, 3, dilation=2)
        self.coarse = nn.Sequential(conv, norm)
        conv, norm, _ = ConvNorm(fine, WIDTH)
        self.fine = nn.Sequential(conv, norm)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Fuse two maps.

        Parameters
        ----------
        coarse : Tensor of float [B, C, h, w]
            Coarser map.
        fine : Tensor of float [B, C', 2h, 2w]
            Finer map.

        Returns
        -------
        Tensor of float [B, 128, 2h, 2w]
            Fused map.
        """
        return F.relu(self.coarse(like(coarse, fine)) + self.fine(fine))


class ICNetDecoder(Decoder):
    """Pyramid pooling of the coarsest branch, two fusions, scores at stride 4.

    Parameters
    ----------
    channels, middle_channels : int
        Channels of the branches at strides 32 and 16.
    classes : int
        Scores per pixel.
    in_channels : int
        Number of bands of the input.
    """

    strides: ClassVar[tuple[int, ...]] = (1, 16, 32)

    def __init__(self, channels: int, middle_channels: int, classes: int, in_channels: int) -> None:
        super().__init__()
        self.low = ConvNorm(channels, LOW)
        self.fuse_middle = CascadeFusion(LOW, middle_channels)
        self.detail = nn.Sequential(
            *(ConvNorm(before, after, 3, stride=2) for before, after in zip((in_channels, *FINE), FINE, strict=False))
        )
        self.fuse_fine = CascadeFusion(WIDTH, FINE[-1])
        self.score = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score the cells at stride 4.

        Parameters
        ----------
        features : Features
            Normalized images (1), and the branches at strides 16 and 32.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores at stride 4.
        """
        x = features[32]
        x = self.low(x + sum(like(F.adaptive_avg_pool2d(x, n), x) for n in BINS))
        x = self.fuse_fine(self.fuse_middle(x, features[16]), self.detail(features[1]))
        scores: Tensor = self.score(resize(x, (2 * x.shape[-2], 2 * x.shape[-1])))
        return scores


class ICNet(Baseline):
    """Network of two branches over one ResNet-50.

    Half the image goes through the first stages. Their output, halved, goes through the other stages. The encoder must
    be a ``ResNet50``.
    """

    @property
    def input_weights(self) -> tuple[str, ...]:
        """Names of the weights of the convolutions that take pixels: the encoder's and the finest branch's."""
        return (*super().input_weights, "decoder.detail.0.0.weight")

    def tile_features(self, images: Tensor) -> Features:
        """Compute the normalized images and the two branches.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Normalized images (1), and the branches at strides 16 and 32.
        """
        encoder: Encoder = self.encoder("tile")
        assert isinstance(encoder, ResNet50)
        fine = encoder.normalize(images)
        blocks = [block for name, _ in encoder.stages for block in encoder.get_submodule(name).children()]
        # The branches share everything up to the first block of the second stage.
        shared = VARIANTS["resnet50"].counts[0] + 1
        middle = encoder.stem(_halve(fine))
        for block in blocks[:shared]:
            middle = encoder.run(block, middle)
        x = _halve(middle)
        for block in blocks[shared:]:
            x = encoder.run(block, x)
        return {1: fine, 16: middle, 32: x}


def _halve(x: Tensor) -> Tensor:
    """Resample a map to half as many cells, rounded up.

    Each cell is the mean of the four that it covers.
    """
    return resize(x, ((x.shape[-2] + 1) // 2, (x.shape[-1] + 1) // 2))


def icnet(config: FCtLConfig) -> Baseline:
    """Build ICNet.

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
    return ICNet(config, encoder, ICNetDecoder(encoder.channels[8], 512, config.classes, config.in_channels))
