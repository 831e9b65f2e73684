"""Base class of the encoders: channels, strides, offsets, normalization and key maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.bands import RGB
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.geometry import FeatureGrid

Features = dict[int, Tensor]
"""Feature maps by stride (8, 16, 32, and finer ones where an encoder has them): [B, C, h, w]."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class Encoder(nn.Module, ABC):
    """Base of the encoders.

    Each encoder has a file of its own.

    Attributes
    ----------
    channels : dict of int to int
        Channels of the feature maps by stride: 8, 16 and 32, and finer ones that the decoder may use.
    offsets : ClassVar[dict[int, float]]
        Offset of cell 0 by stride, px of the network's input; see ``FeatureGrid``.
    first_weight : ClassVar[str]
        Key of the weight of the convolution that takes the input.
    mean, std : tuple of float
        The network's input is ``(v - mean) / std`` with values v of each band in 0..255.
    unit_input : bool
        If True, the network's input is v / 255 instead, for a network that was trained so.
    skip_scales : ClassVar[dict[int, float]]
        Factors in front of the decoder's skips by stride. FCN-8s "at once" scales VGG's large activations down.
    multiple_of : ClassVar[int]
        Tile sizes must be a multiple of this, px.
    published : str
        File of published weights and its source, for people. Empty if there is none.
    gradient_checkpointing : bool
        If True, a block's inner activations are recomputed in the backward pass instead of being kept. The gradients
        are the same.
    """

    channels: dict[int, int]
    offsets: ClassVar[dict[int, float]] = {2: 0.0, 4: 0.0, 8: 0.0, 16: 0.0, 32: 0.0}
    first_weight: ClassVar[str]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    unit_input: bool = False
    skip_scales: ClassVar[dict[int, float]] = {2: 1.0, 4: 1.0, 8: 1.0, 16: 1.0}
    multiple_of: ClassVar[int] = 32
    published: str = ""
    gradient_checkpointing: bool = False

    def normalize_as(self, config: FCtLConfig) -> None:
        """Set the normalization of the input to that of a network.

        Parameters
        ----------
        config : FCtLConfig
            Settings of the network.
        """
        self.unit_input = config.normalization == "unit"
        self.mean = tuple(_stated(b.mean, b.name, type(self).mean) for b in config.bands) or type(self).mean
        self.std = tuple(_stated(b.std, b.name, type(self).std) for b in config.bands) or type(self).std

    @abstractmethod
    def features(self, images: Tensor, last_stride: int) -> Features:
        """Compute the feature maps of normalized images.

        Parameters
        ----------
        images : Tensor of float [B, C, T, T]
            Normalized images; see ``normalize``.
        last_stride : int
            Coarsest stride that is computed.

        Returns
        -------
        Features
            Maps [B, C, h, w] at every stride of ``channels`` up to ``last_stride``.
        """

    @abstractmethod
    def published_keys(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename the arrays of a published state dict to this module's keys.

        Arrays that are stored in another convention are refitted. Keys without a counterpart are dropped.

        Parameters
        ----------
        state : dict of str to Tensor
            Arrays of the published file by name.

        Returns
        -------
        dict of str to Tensor
            Arrays by this module's keys.
        """

    def run(self, block: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """Run one block of the encoder.

        With ``gradient_checkpointing`` the block's inputs are all that is kept of it for the backward pass.

        Parameters
        ----------
        block : callable
            Module or function to run.
        *inputs : object
            Its arguments.

        Returns
        -------
        Tensor
            Output of the block.
        """
        if self.gradient_checkpointing and torch.is_grad_enabled():
            again: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return again
        return block(*inputs)

    def cells(self, tile_size: int, stride: int) -> int:
        """Count the cells along one side of the feature map of a tile.

        Parameters
        ----------
        tile_size : int
            Side of the network's input, px.
        stride : int
            Stride of the feature map, px.

        Returns
        -------
        int
            Number of cells along one side.
        """
        return tile_size // stride

    def grid(self, tile_size: int, stride: int) -> FeatureGrid:
        """Lay out the feature map of a tile at one stride.

        Parameters
        ----------
        tile_size : int
            Side of the network's input, px.
        stride : int
            Stride of the feature map, px.

        Returns
        -------
        FeatureGrid
            Grid of the map's cells in the network's input.

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
        """Normalize pixels as this encoder expects them.

        Computes (v - mean) / std, or v / 255 with ``unit_input``.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float [B, C, T, T]
            Normalized images in the weights' dtype.
        """
        dtype = next(self.parameters()).dtype
        if self.unit_input:
            return (images.float() / 255).to(dtype)
        # Filled on the device: a copy from the host would wait for the GPU, and cannot be part of a CUDA graph.
        mean, std = (
            torch.cat([images.new_full((1, 1, 1), value, dtype=torch.float32) for value in values])
            for values in (self.mean, self.std)
        )
        return ((images.float() - mean) / std).to(dtype)

    def forward(self, images: Tensor, last_stride: int = 32) -> Features:
        """Compute feature maps.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.
        last_stride : int, optional
            Coarsest stride that is computed: 8, 16 or 32.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride up to ``last_stride``.
        """
        return self.features(self.normalize(images), last_stride)


def _stated(value: float | None, name: str, published: tuple[float, ...]) -> float:
    """Return a band's own figure, or else the encoder's."""
    if value is not None:
        return value
    return published[RGB.index(name)] if name in RGB else sum(published) / len(published)
