"""What the baselines share: an encoder, and a decoder whose scores are resampled to the tile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Encoder, Features
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.model.network import Network


class Decoder(nn.Module, ABC):
    """Base of the decoders.

    Attributes
    ----------
    strides
        Of the features it takes.
    """

    strides: ClassVar[tuple[int, ...]]

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Compute scores [B, classes, h, w] that cover the tile, from maps by stride."""


class Baseline(Network):
    """A network that sees a tile, or with global inference an image, and nothing around it.

    Parameters
    ----------
    config
        The settings.
    encoder, decoder
        The two parts.
    """

    def __init__(self, config: FCtLConfig, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__(config)
        encoder.unit_input = config.normalization == "unit"
        self.encoders = nn.ModuleDict({"tile": encoder})
        self.decoder = decoder
        self.strides = decoder.strides
        self.lcf = self.ale = None
        stride = max(self.strides)
        self.grid = FeatureGrid(-(-config.tile_size // stride), stride, 0.0, config.tile_size)

    def tile_features(self, images: Tensor) -> Features:
        """Run the encoder as far as the decoder needs it."""
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
        """Run the decoder; there is nothing else to combine."""
        return resize(self.decoder(tile), self.config.tile_size)


def resize(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resample [B, C, h, w] to other cells of the same region, bilinear."""
    size = (size, size) if isinstance(size, int) else size
    return x if tuple(x.shape[-2:]) == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def like(x: Tensor, other: Tensor) -> Tensor:
    """Resample to the cells of another map."""
    return resize(x, (other.shape[-2], other.shape[-1]))


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm and ReLU; the size stays unless there is a stride.

    Parameters
    ----------
    before, after
        Channels.
    kernel, stride, dilation
        Of the convolution; the kernel is odd.
    """

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
