"""SegFormer (Xie et al., 2021): MiT under a decoder of linear layers, with the module names of transformers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.model.architectures import EncoderName
from fctl_napari.model.baselines.base import Baseline, Decoder, like
from fctl_napari.model.batch_norms import BatchNorm
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.encoders import Features
from fctl_napari.model.encoders.mit import MixTransformer

WIDTHS: dict[EncoderName, int] = {"mit_b0": 256, "mit_b2": 768, "mit_b5": 768}
"""Channels of the decoder."""


class _Projection(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.proj = nn.Linear(before, after)


class SegFormerDecoder(Decoder):
    """Linear layer for each stage, upsampling to stride 4, and a linear layer that fuses them, then scores.

    Parameters
    ----------
    channels : dict of int to int
        Channels of the encoder's features by stride.
    width : int
        Channels of the linear layers.
    classes : int
        Scores per pixel.
    """

    strides: ClassVar[tuple[int, ...]] = (4, 8, 16, 32)

    def __init__(self, channels: dict[int, int], width: int, classes: int) -> None:
        super().__init__()
        self.linear_c = nn.ModuleList(_Projection(channels[stride], width) for stride in self.strides)
        self.linear_fuse = nn.Conv2d(len(self.strides) * width, width, 1, bias=False)
        self.batch_norm = BatchNorm(width)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, features: Features) -> Tensor:
        """Score the cells at stride 4.

        Parameters
        ----------
        features : Features
            Maps [B, C, h, w] at strides 4, 8, 16 and 32.

        Returns
        -------
        Tensor of float [B, classes, h, w]
            Scores at stride 4.
        """
        maps = []
        for stride, layer in zip(self.strides, self.linear_c, strict=True):
            x = features[stride]
            tokens: Tensor = layer.get_submodule("proj")(x.flatten(2).transpose(1, 2))
            maps.append(like(tokens.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[-2:]), features[4]))
        x = F.relu(self.batch_norm(self.linear_fuse(cat(maps[::-1], 1))))
        scores: Tensor = self.classifier(self.dropout(x))
        return scores


def segformer(config: FCtLConfig) -> Baseline:
    """Build SegFormer.

    Parameters
    ----------
    config : FCtLConfig
        Settings of the network.

    Returns
    -------
    Baseline
        The network with random weights.
    """
    encoder = MixTransformer(config.encoder, config.in_channels)
    return Baseline(config, encoder, SegFormerDecoder(encoder.channels, WIDTHS[config.encoder], config.classes))
