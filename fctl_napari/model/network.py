"""Interface of a network: encode the tile and its contexts, decode them to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

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
    config : FCtLConfig
        Settings of the network.

    Attributes
    ----------
    encoders : nn.ModuleDict
        Encoders by stream; streams may share one.
    decoder : nn.Module
        Module that makes logits.
    lcf, ale : LCF or None, ALE or None
        FCtL's parts, where the network has them.
    grid : FeatureGrid
        Grid of the tile's cells that contexts are related to, and that explanations are placed by.
    strides : tuple of int
        Strides of the tile's features that the decoder takes.

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

    # -- interface of a network ------------------------------------------------------------------------------------

    @abstractmethod
    def tile_features(self, images: Tensor) -> Features:
        """Compute the features that the decoder takes.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride.
        """

    @abstractmethod
    def logits(
        self,
        tile: Features,
        contexts: dict[str, Tensor],
        windows: dict[str, Tensor],
        without: Without = WHOLE,
        fusion: list[Tensor] | None = None,
    ) -> Tensor:
        """Compute logits from encoded tiles and contexts.

        Parameters
        ----------
        tile : Features
            From ``tile_features``.
        contexts : dict of str to Tensor
            From ``context_features`` by name; a batch of 1 is shared by all tiles.
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].
        without : Without, optional
            Parts that are left out; see ``Without.check``.
        fusion : list of Tensor or None, optional
            List to which MCF's weights H_U are appended; see ``decode``.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """

    def context_features(self, name: str, images: Tensor) -> Tensor:
        """Compute the features of a context.

        This is called only for networks whose settings name contexts. The others do not override it.

        Parameters
        ----------
        name : str
            Name of the context.
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Features of the context.
        """
        raise NotImplementedError(f"this network has no context {name}")

    @property
    def gathers(self) -> bool:
        """True if features of the whole image depend on all of its tiles, see ``with_tiles``."""
        return False

    def with_tiles(self, context: Tensor, tiles: Iterable[tuple[Tensor, Tensor]], window: Tensor) -> Tensor:
        """Give features of all tiles of an image to those of the whole image.

        This is called only for networks that gather. The others do not override it.

        Parameters
        ----------
        context : Tensor of float [1, ...]
            From ``context_features``.
        tiles : iterable of tuple of (Tensor, Tensor)
            Images [n, C, T, T] of tiles that cover the image, and their windows (y0, x0, y1, x1), px, [n, 4].
        window : Tensor of float [1, 4]
            Window of the image, px.

        Returns
        -------
        Tensor of float [1, ...]
            Features of the same shape.
        """
        raise NotImplementedError("this network sees tiles one by one")

    def modules_before(self, name: str) -> list[nn.Module]:
        """List the modules between a stream's pixels and the output of ``encode_tile`` or ``encode_context``.

        Parameters
        ----------
        name : str
            Stream: ``"tile"``, ``"medium"``, ``"large"``.

        Returns
        -------
        list of nn.Module
            The modules; with global inference the whole network.
        """
        return [self] if self._global else [self.encoder(name)]

    @property
    def input_weights(self) -> tuple[str, ...]:
        """Names of the weights of the convolutions that take pixels, [O, C, k, k]."""
        return tuple(f"encoders.{name}.{self.encoders[name].first_weight}" for name in self.encoders)

    # -- use -------------------------------------------------------------------------------------------------------

    def encoder(self, name: str) -> Encoder:
        """Get the encoder of a stream.

        Parameters
        ----------
        name : str
            Stream: ``"tile"``, ``"medium"``, ``"large"``.

        Returns
        -------
        Encoder
            The encoder, which other streams may share.
        """
        module = self.encoders[self._stream[name]]
        assert isinstance(module, Encoder)
        return module

    def encode_tile(self, images: Tensor) -> Features:
        """Encode tiles.

        Parameters
        ----------
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Features
            Maps [B, C, h, w] by stride. Empty with global inference, which looks at the image only.
        """
        return {} if self._global else self.tile_features(images)

    def encode_context(self, name: str, images: Tensor) -> Tensor:
        """Encode contexts.

        Parameters
        ----------
        name : str
            Name of the context: ``"medium"`` or ``"large"``.
        images : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.

        Returns
        -------
        Tensor of float [B, C, h, w]
            X_U. With global inference the logits of the image, [B, classes, T, T].
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
        """Decode encoded tiles and contexts to logits.

        Parameters
        ----------
        tile : Features
            From ``encode_tile``.
        contexts : dict of str to Tensor
            From ``encode_context`` by name; a batch of 1 is shared by all tiles.
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].
        without : Without, optional
            Parts that are left out; see ``Without.check``.
        fusion : list of Tensor or None, optional
            List to which MCF's weights H_U over the tile's cells, [B, contexts, C, h, w], are appended. Nothing is
            appended without LCF.

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        if not self._global:
            return self.logits(tile, contexts, windows, without, fusion)
        return self.part_of_image(contexts[GLOBAL_VIEW.name], windows)

    def part_of_image(self, whole: Tensor, windows: dict[str, Tensor]) -> Tensor:
        """Resample a map of the whole image to the pixels of tiles.

        Parameters
        ----------
        whole : Tensor of float [B or 1, C, T, T]
            Map with a value for each pixel of the image as the network sees it.
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and ``"large"``, image px, [B or 1, 4].

        Returns
        -------
        Tensor of float32 [B, C, T, T]
            The map in the tiles.
        """
        whole = whole.float()  # half precision would blur the positions
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
        tile : Tensor of uint8 or float [B, C, T, T]
            Values of the bands, 0..255.
        contexts : dict of str to Tensor
            Values of the bands, 0..255, by name, [B or 1, C, T, T].
        windows : dict of str to Tensor
            Windows (y0, x0, y1, x1) of ``"tile"`` and the contexts, image px, [B or 1, 4].

        Returns
        -------
        Tensor of float [B, classes, T, T]
            Logits.
        """
        encoded = {name: self.encode_context(name, images) for name, images in contexts.items()}
        return self.decode(self.encode_tile(tile), encoded, windows)

    def cell_at(self, window: Tensor, pixel: tuple[float, float]) -> tuple[int, int]:
        """Find the tile's feature cell nearest to an image pixel.

        Parameters
        ----------
        window : Tensor of float [1, 4]
            Window (y0, x0, y1, x1) of the tile, image px.
        pixel : tuple of 2 float
            Image pixel (y, x).

        Returns
        -------
        tuple of 2 int
            Cell (y, x).
        """
        y, x = self.grid.centers(window)
        return int((y[0] - pixel[0] - 0.5).abs().argmin()), int((x[0] - pixel[1] - 0.5).abs().argmin())
