"""Base classes of the baselines: an encoder, and a decoder whose scores are resampled to the tile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Encoder, Features
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.model.network import Network


class Decoder(nn.Module, ABC):
    """Base of the decoders.

    Attributes
    ----------
    strides : ClassVar[tuple[int, ...]]
        Strides of the features that the decoder takes.
    """

    strides: ClassVar[tuple[int, ...]]

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Compute scores that cover the tile.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] by stride.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores of the classes.
        """


class Baseline(Network):
    """Network that sees a tile, or with global inference an image, and nothing around it.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.
    encoder, decoder : Encoder, Decoder
        The two parts.
    """

    def __init__(self, config: FCtLConfig, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__(config)
        encoder.normalize_as(config)
        self.encoders = nn.ModuleDict({"tile": encoder})
        self.decoder = decoder
        self.strides = decoder.strides
        self.lcf = self.ale = None
        stride = max(self.strides)
        self.grid = FeatureGrid(-(-config.tile_size // stride), stride, 0.0, config.tile_size)

    def tile_features(self, images: Tensor) -> Features:
        """Run the encoder as far as the decoder needs it.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Maps [B, C, h, w] at the decoder's strides.
        """
        features = self.encoder("tile")(images, max(self.strides))
        return {stride: features[stride] for stride in self.strides}

    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Run the decoder and resample its scores to the tile.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts, windows : dict of str to Tensor
            Unused, as there is nothing else to combine.
        without : Without, optional
            Unused.
        fusion : list of Tensor or None, optional
            Unused.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        return resize(self.decoder(tile), self.config.tile_size)


def resize(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resample a map to another number of cells over the same region, bilinearly.

    Parameters
    ----------
    x : Tensor of float [B, C, h, w]
        Map.
    size : int or tuple of 2 int
        Number of cells along y and x; one number for both.

    Returns
    -------
    Tensor of float [B, C, h', w']
        Resampled map; ``x`` itself where the size is the same.
    """
    size = (size, size) if isinstance(size, int) else size
    return x if tuple(x.shape[-2:]) == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def like(x: Tensor, other: Tensor) -> Tensor:
    """Resample a map to the cells of another map of the same region.

    Parameters
    ----------
    x : Tensor of float [B, C, h, w]
        Map to resample.
    other : Tensor [B, C', h', w']
        Map that gives the size.

    Returns
    -------
    Tensor of float [B, C, h', w']
        Resampled map.
    """
    return resize(x, (other.shape[-2], other.shape[-1]))


def stretch(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample a map bilinearly so that the centers of its outermost cells are those of the new ones.

    Parameters
    ----------
    x : Tensor of float [B, C, h, w]
        Map.
    size : tuple of 2 int
        Number of cells along y and x.

    Returns
    -------
    Tensor of float [B, C, h', w']
        Resampled map.
    """
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm and ReLU.

    The size stays the same unless there is a stride.

    Parameters
    ----------
    before, after : int
        Channels of the input and of the output.
    kernel, stride, dilation : int, optional
        Kernel size (odd), stride and dilation of the convolution, cells.
    """

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, BatchNorm(after), nn.ReLU(inplace=True))
