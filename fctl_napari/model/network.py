"""What the rest of the package asks of a network: encode the tile and its contexts, decode them to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fctl_napari.model.ale import ALE
from fctl_napari.model.config import GLOBAL_VIEW, FCtLConfig
from fctl_napari.model.encoders import Encoder, Features
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.geometry import FeatureGrid, apply_separable, interpolation_matrices
from fctl_napari.model.lcf import LCF


class Network(nn.Module, ABC):
    """Base of the networks: FCtL and the baselines.

    With global inference the whole image, as the context ``"large"``, goes through encoder and decoder, and each tile
    takes its part of those logits.

    Parameters
    ----------
    config
        The settings.

    Attributes
    ----------
    encoders
        By stream; streams may share one.
    decoder
        Makes logits.
    lcf, ale
        FCtL's parts, where it has them.
    grid
        The tile's cells that contexts are related to, and that explanations are placed by.
    strides
        Of the tile's features that the decoder takes.

    Notes
    -----
    Windows are ``(y0, x0, y1, x1)`` in image px. ``"tile"`` names the tile; contexts are named ``"medium"`` and
    ``"large"``; the local context is passed only where it is larger than the tile.
    """

    encoders: nn.ModuleDict
    decoder: nn.Module
    lcf: LCF | None
    ale: ALE | None
    grid: FeatureGrid
    strides: tuple[int, ...]

    def __init__(self, config: FCtLConfig) -> None:
        super().__init__()
        self.config = config
        self._global = config.inference == "global"
        self._stream = {"tile": "tile"}
        if self._global:
            self._stream[GLOBAL_VIEW.name] = "tile"

    # -- what a network is -----------------------------------------------------------------------------------------

    @abstractmethod
    def tile_features(self, images: Tensor) -> Features:
        """Compute what the decoder takes, of RGB in 0..255 [B, 3, T, T]."""

    @abstractmethod
    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Compute logits [B, classes, T, T]; parameters as of ``decode``."""

    def context_features(self, name: str, images: Tensor) -> Tensor:
        """Compute the features of a context [B, C, h, w], of RGB in 0..255 [B, 3, T, T].

        Only networks whose settings name contexts are asked; the others do not say how.
        """
        raise NotImplementedError(f"this network has no context {name}")

    def modules_before(self, name: str) -> list[nn.Module]:
        """List what lies between a stream's pixels and what ``encode_tile`` or ``encode_context`` gives."""
        return [self] if self._global else [self.encoder(name)]

    # -- how it is used --------------------------------------------------------------------------------------------

    def encoder(self, name: str) -> Encoder:
        """Get the encoder of a stream (``"tile"``, ``"medium"``, ``"large"``)."""
        module = self.encoders[self._stream[name]]
        assert isinstance(module, Encoder)
        return module

    def encode_tile(self, images: Tensor) -> Features:
        """Encode tiles: features by stride; none with global inference, which looks at the image only.

        Parameters
        ----------
        images
            RGB in 0..255, uint8 or float, [B, 3, T, T].
        """
        return {} if self._global else self.tile_features(images)

    def encode_context(self, name: str, images: Tensor) -> Tensor:
        """Encode contexts.

        Parameters
        ----------
        name
            ``"medium"`` or ``"large"``.
        images
            RGB in 0..255, uint8 or float, [B, 3, T, T].

        Returns
        -------
        Tensor
            X_U, [B, C, h, w]; with global inference the logits of the image, [B, classes, T, T].
        """
        if self._global:
            return self.logits(self.tile_features(images), {}, {})
        return self.context_features(name, images)

    def decode(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Turn what was encoded into logits.

        Parameters
        ----------
        tile
            From ``encode_tile``.
        contexts
            By name, from ``encode_context``; a batch of 1 is shared by all tiles.
        windows
            ``"tile"`` and the same names: [B or 1, 4] px.
        without
            Parts that are left out; see ``Without.check``.
        fusion
            MCF's weights H_U over the tile's cells, [B, contexts, C, h, w], are appended to it; nothing without LCF.

        Returns
        -------
        Tensor
            Logits [B, classes, T, T].
        """
        if not self._global:
            return self.logits(tile, contexts, windows, without, fusion)
        whole = contexts[GLOBAL_VIEW.name].float()  # half precision would blur the places
        pixels = FeatureGrid(self.config.tile_size, 1, 0.0, self.config.tile_size)
        matrices = interpolation_matrices(pixels, windows["tile"], pixels, windows[GLOBAL_VIEW.name])
        if whole.device.type == "meta":
            return apply_separable(*matrices, whole)
        with torch.autocast(whole.device.type, enabled=False):
            return apply_separable(*matrices, whole)

    def forward(self, tile: Tensor, contexts: dict[str, Tensor], windows: dict[str, Tensor]) -> Tensor:
        """Segment tiles with their contexts.

        Parameters
        ----------
        tile
            RGB in 0..255, [B, 3, T, T].
        contexts
            By name, RGB in 0..255, [B or 1, 3, T, T].
        windows
            ``"tile"`` and the same names: [B or 1, 4] px.

        Returns
        -------
        Tensor
            [B, classes, T, T].
        """
        encoded = {name: self.encode_context(name, images) for name, images in contexts.items()}
        return self.decode(self.encode_tile(tile), encoded, windows)

    def cell_at(self, window: Tensor, pixel: tuple[float, float]) -> tuple[int, int]:
        """Find the tile's feature cell (y, x) nearest to an image pixel (y, x); ``window`` is [1, 4]."""
        y, x = self.grid.centres(window)
        return int((y[0] - pixel[0] - 0.5).abs().argmin()), int((x[0] - pixel[1] - 0.5).abs().argmin())
