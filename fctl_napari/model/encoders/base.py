"""What the rest of the network asks of an encoder: channels, strides, offsets, normalisation, key maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fctl_napari.errors import ConfigError
from fctl_napari.model.geometry import FeatureGrid

Features = dict[int, Tensor]
"""Feature maps by stride (8, 16, 32, and finer ones where an encoder has them): [B, C, h, w]."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class Encoder(nn.Module, ABC):
    """Base of the encoders. One encoder is one file.

    Attributes
    ----------
    channels
        Channels of the feature maps at strides 8, 16 and 32, and of finer ones that the decoder may use.
    offsets
        Offset of cell 0 at each stride, px of the network's input; see ``FeatureGrid``.
    mean, std
        The network's input is ``(RGB - mean) / std`` with RGB in 0..255.
    unit_input
        Take RGB / 255 instead (a network trained so).
    skip_scales
        Factors in front of the decoder's skips (FCN-8s "at once" scales VGG's large activations down).
    multiple_of
        Tile sizes must be a multiple of this, px.
    gradient_checkpointing
        Compute what lies inside a block again in the backward pass, rather than keep it; the gradients are the same.
    """

    channels: dict[int, int]
    offsets: ClassVar[dict[int, float]] = {2: 0.0, 4: 0.0, 8: 0.0, 16: 0.0, 32: 0.0}
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    unit_input: bool = False
    skip_scales: ClassVar[dict[int, float]] = {2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}
    multiple_of: ClassVar[int] = 32
    gradient_checkpointing: bool = False

    @abstractmethod
    def features(self, images: Tensor, last_stride: int) -> Features:
        """Compute maps at every stride of ``channels`` up to ``last_stride``, of normalised images [B, 3, T, T]."""

    @abstractmethod
    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename (and refit) a published state dict to this module's keys; keys without a place are dropped."""

    def run(self, block: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Run one block of the encoder, whose inputs are all that is kept of it with ``gradient_checkpointing``."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            again: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return again
        return block(*inputs)

    def cells(self, tile_size: int, stride: int) -> int:
        """Count the cells along one side of the feature map of a tile."""
        return tile_size // stride

    def grid(self, tile_size: int, stride: int) -> FeatureGrid:
        """Lay out the feature map at ``stride`` for inputs of ``tile_size`` px.

        Raises
        ------
        ConfigError
            The tile size does not fit the encoder.
        """
        if tile_size % self.multiple_of:
            near = max(1, round(tile_size / self.multiple_of)) * self.multiple_of
            raise ConfigError(
                f"tile_size {tile_size} does not fit this encoder ({type(self).__name__}): it must be a multiple of "
                f"{self.multiple_of} px; {near} is the nearest."
            )
        return FeatureGrid(self.cells(tile_size, stride), stride, self.offsets[stride], tile_size)

    def normalize(self, images: Tensor) -> Tensor:
        """Compute (RGB - mean) / std in the weights' dtype, from uint8 or float RGB in 0..255 [B, 3, T, T]."""
        dtype = next(self.parameters()).dtype
        if self.unit_input:
            return (images.float() / 255).to(dtype)
        mean = torch.tensor(self.mean, device=images.device, dtype=torch.float32)[:, None, None]
        std = torch.tensor(self.std, device=images.device, dtype=torch.float32)[:, None, None]
        return ((images.float() - mean) / std).to(dtype)

    def forward(self, images: Tensor, last_stride: int = 32) -> Features:
        """Compute feature maps.

        Parameters
        ----------
        images
            RGB in 0..255, uint8 or float, [B, 3, T, T].
        last_stride
            8, 16 or 32: how far to run.

        Returns
        -------
        dict of int to Tensor
            By stride up to ``last_stride``, [B, C, h, w].
        """
        return self.features(self.normalize(images), last_stride)
