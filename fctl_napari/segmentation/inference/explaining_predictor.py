"""Predictor that also explains a tile, which torch alone does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.encoders import Features
from fctl_napari.model.explain import Explanation, explain
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.model.network import Network
from fctl_napari.segmentation.inference.device import numerics
from fctl_napari.segmentation.inference.pixel_maps import on_image
from fctl_napari.segmentation.inference.predictor import Predictor
from fctl_napari.windows import FloatWindow


@dataclass(frozen=True)
class EncodedTile:
    """One tile as ``Network.decode`` takes it, on the device.

    Attributes
    ----------
    tile : Features
        Features of the tile.
    contexts : dict of str to Tensor
        Features of the outer contexts, by name.
    windows : dict of str to Tensor
        Windows of ``"tile"`` and of each outer context in the turned world, float64 (y0, x0, y1, x1), full-resolution
        px. With the two above they are the arguments of ``Network.decode``.
    extents : dict of str to FloatWindow
        Windows of ``"tile"`` and of each outer context in the image, full-resolution px.
    """

    tile: Features
    contexts: dict[str, Tensor]
    windows: dict[str, Tensor]
    extents: dict[str, FloatWindow]


class ExplainingPredictor(Predictor):
    """Network of torch that is run over tiles of images, and explained on single ones.

    Parameters
    ----------
    model : Network
        The network, see ``Predictor``.
    **options : object
        See ``Predictor``.
    """

    def __init__(self, model: Network, **options: Any) -> None:
        super().__init__(model, **options)
        self._network = model

    def encode(self, pyramid: Pyramid, window: FloatWindow) -> EncodedTile:
        """Read and encode one tile with its contexts, as for ``predict``.

        Parameters
        ----------
        pyramid : Pyramid
            The image.
        window : FloatWindow
            Window of the tile, full-resolution px.

        Returns
        -------
        EncodedTile
            The encoded tile, on the device.

        Raises
        ------
        InputError
            The image is damaged there.
        ConfigError
            Memory does not suffice for a single tile.
        """
        pending = self._reader_of(pyramid).start(0, window)
        with self._one_tile(), torch.inference_mode(), numerics(self.device, self.precision):
            return EncodedTile(*self._encode_all([pending]), pending.windows)

    def explain(self, encoded: EncodedTile, without: Without = WHOLE) -> Explanation:
        """Explain a tile with the network, perhaps without some of its parts.

        Parameters
        ----------
        encoded : EncodedTile
            Tile from ``encode``.
        without : Without, optional
            Parts of the network that are left out.

        Returns
        -------
        Explanation
            The explanation, on the device.

        Raises
        ------
        ConfigError
            The network has no such parts, or memory does not suffice.
        """
        with self._one_tile(), torch.inference_mode(), numerics(self.device, self.precision):
            found = explain(self._network, encoded.tile, encoded.contexts, encoded.windows, without)
            logits = on_image(found.logits[None], self.config, encoded.extents["tile"])[0]
            return replace(found, logits=logits)

    def cell_at(self, window: FloatWindow, pixel: tuple[float, float]) -> tuple[int, int]:
        """Find the feature cell of a tile nearest to a pixel.

        Parameters
        ----------
        window : FloatWindow
            Window of the tile, full-resolution px.
        pixel : tuple of 2 float
            (y, x) in the image, full-resolution px.

        Returns
        -------
        tuple of 2 int
            (y, x) of the cell.
        """
        return self._network.cell_at(torch.tensor([window], dtype=torch.float64), pixel)
