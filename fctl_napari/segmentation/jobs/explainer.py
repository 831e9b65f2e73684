"""Explanation of pixels of an image: the tile that owns them is read and run as in a segmentation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.exceptions import ConfigError
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.explain import AttentionMaps, Explanation
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.segmentation.inference.explaining_predictor import EncodedTile, ExplainingPredictor
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.inference.pixel_maps import classify_tiles
from fctl_napari.segmentation.inference.tile_on_image import tile_on_image
from fctl_napari.segmentation.inference.tile_prefetch import Recent
from fctl_napari.segmentation.jobs.explanation import (
    ContextMaps,
    Enhancement,
    ExplainRequest,
    Map,
    TileExplanation,
    owning_tile,
)
from fctl_napari.windows import IntWindow

KEPT_VARIANTS = 4
"""Number of variants of the last tile's network, with other parts left out, that are kept."""


class Explainer:
    """Explanation of pixels by one network.

    A second pixel of the same tile costs no more than its rows of the attention.

    Parameters
    ----------
    predictor : ExplainingPredictor
        Predictor with the network.
    class_table : ClassTable
        Classes of the network.
    """

    def __init__(self, predictor: ExplainingPredictor, class_table: ClassTable) -> None:
        self.predictor = predictor
        self._class_table = class_table
        self._tile: _Tile | None = None

    def explain(self, image: Pyramid, request: ExplainRequest) -> TileExplanation:
        """Explain one pixel.

        Parameters
        ----------
        image : Pyramid
            Image of the request, opened.
        request : ExplainRequest
            The request; its checkpoint, device, precision and contexts are the predictor's.

        Returns
        -------
        TileExplanation
            The explanation.

        Raises
        ------
        InputError
            The pixel lies outside the image, or the image is damaged there.
        ConfigError
            The network has no such parts or channel, the overlap does not fit, or memory does not suffice.
        """
        begun = time.perf_counter()
        config = self.predictor.config
        network_image(image, config)  # refuses an image that it cannot read
        request.without.check(config)
        grid, cell = owning_tile(request, tile_on_image(config, image), image.shape)
        tile = self._at(image, grid.window(cell))
        whole = self._explain(request, tile, WHOLE, grid.core(cell), begun)
        if not whole.contexts and request.channel is not None:
            raise ConfigError("this network has no fusion weights, so no channel of them can be shown; drop it.")
        if not request.without:
            return whole
        without = self._explain(request, tile, request.without, grid.core(cell), begun)
        return replace(whole, without=without, seconds=without.seconds)

    def _at(self, image: Pyramid, window: IntWindow) -> _Tile:
        """Return the tile at a window, read and encoded unless it is the last one."""
        if self._tile is None or self._tile.image is not image or self._tile.window != window:
            self._tile = None  # frees its memory before the next one is encoded
            self._tile = _Tile(self.predictor, image, window)
        return self._tile

    def _explain(
        self, request: ExplainRequest, tile: _Tile, without: Without, core: IntWindow, begun: float
    ) -> TileExplanation:
        decoded = tile.decoded(without)
        found = decoded.explanation
        pixel = math.floor(request.pixel[0]), math.floor(request.pixel[1])
        cell = self.predictor.cell_at(tile.window, pixel)
        contexts = []
        for name, attention in found.attention.items():
            row, received = _numpy(attention.row(cell)), decoded.received[name]
            # a local context that is the tile has no window of its own
            window = tile.encoded.extents.get(name, tile.encoded.extents["tile"])
            contexts.append(
                ContextMaps(
                    name,
                    window,
                    found.grid.footprint(window),
                    *row,
                    *received,
                    attention.gate,
                    attention.gamma,
                    _weight(found.fusion[name], request.channel),
                )
            )
        y, x = pixel[0] - tile.window[0], pixel[1] - tile.window[1]
        return TileExplanation(
            request,
            tile.window,
            core,
            found.grid.footprint(tile.window),
            cell,
            found.grid.cell(tile.window, cell),
            tuple(contexts),
            decoded.enhancements,
            self._class_table,
            decoded.probabilities[:, y, x].copy(),
            decoded.labels,
            None,
            self.predictor.describe(),
            time.perf_counter() - begun,
        )


@dataclass(frozen=True)
class _Decoded:
    """Results that hold for all pixels of a tile, by a network perhaps without some parts."""

    explanation: Explanation
    probabilities: Map
    labels: NDArray[np.uint8]

    @cached_property
    def received(self) -> dict[str, tuple[Map, Map | None, Map]]:
        return {name: _numpy(attention.received()) for name, attention in self.explanation.attention.items()}

    @cached_property
    def enhancements(self) -> tuple[Enhancement, ...]:
        return tuple(
            Enhancement(e.step, e.target, {size: _array(found) for size, found in e.maps.items()})
            for e in self.explanation.enhancements
        )


class _Tile:
    """Tile that is read and encoded, with explanations that are computed on first use."""

    def __init__(self, predictor: ExplainingPredictor, image: Pyramid, window: IntWindow) -> None:
        self.image = image
        self.window = window
        self.encoded: EncodedTile = predictor.encode(image, window)
        self._predictor = predictor
        self._decoded: Recent[Without, _Decoded] = Recent(KEPT_VARIANTS)

    def decoded(self, without: Without) -> _Decoded:
        """Return the results for the tile by the network without some parts."""
        return self._decoded.get(without, lambda: self._explain(without))

    def _explain(self, without: Without) -> _Decoded:
        explanation = self._predictor.explain(self.encoded, without)
        tiles = classify_tiles(explanation.logits[None])
        return _Decoded(explanation, _array(tiles.probabilities[0]), tiles.labels()[0].cpu().numpy())


def _weight(weights: Tensor, channel: int | None) -> Map:
    """Return one channel of fusion weights [C, n, n], or their mean."""
    if channel is None:
        return _array(weights.mean(0))
    if not 0 <= channel < len(weights):
        raise ConfigError(f"the fusion weights have no channel {channel}; choose from 0 to {len(weights) - 1}.")
    return _array(weights[channel])


def _numpy(maps: AttentionMaps) -> tuple[Map, Map | None, Map]:
    positional = None if maps.positional is None else _array(maps.positional)
    return _array(maps.content), positional, _array(maps.combined)


def _array(tensor: Tensor) -> Map:
    array: Map = tensor.float().cpu().numpy()
    return np.ascontiguousarray(array)
