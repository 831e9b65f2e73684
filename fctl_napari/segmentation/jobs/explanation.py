"""Request and result of the explanation of a pixel: plain arrays with windows (no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_names import Bands
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.segmentation.inference.tile_on_image import TileOnImage
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid
from fctl_napari.windows import FloatWindow, IntWindow

Map = NDArray[np.float32]


@dataclass(frozen=True)
class ExplainRequest:
    """Request to explain a pixel of an image with a network.

    Attributes
    ----------
    image : str
        File, folder or address of the image.
    checkpoint : str
        Built-in name or file of the checkpoint.
    pixel : tuple of 2 float
        (y, x), full-resolution px; pixel i covers [i, i + 1).
    overlap : int or None
        Overlap of the tiles, px, as for a segmentation with the merge ``crop``: the tile is the one that owns the pixel
        there. None means about a quarter of the tile.
    device : str
        Device, as for ``Predictor``.
    precision : str
        Precision, as for ``Predictor``.
    exact_contexts : bool
        If True, contexts are resampled from full resolution, as for ``Predictor``.
    value_range : tuple of 2 float or None
        Range of values, as for ``open_image``.
    bands : Bands or None
        Bands, as for ``open_image``.
    channel : int or None
        Channel of the fusion weights, from 0. None means their mean over channels.
    without : Without
        Parts of the network that are left out in a second explanation.
    """

    image: str
    checkpoint: str
    pixel: tuple[float, float]
    overlap: int | None = None
    device: str = DEVICE.default
    precision: str = PRECISION.default
    exact_contexts: bool = False
    value_range: tuple[float, float] | None = None
    bands: Bands | None = None
    channel: int | None = None
    without: Without = WHOLE


def owning_tile(request: ExplainRequest, tile: TileOnImage, shape: tuple[int, int]) -> tuple[TileGrid, Cell]:
    """Return the tile that owns the pixel of a request.

    Parameters
    ----------
    request : ExplainRequest
        The request.
    tile : TileOnImage
        Tiles of the network on the image.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    grid : TileGrid
        Tiles of the image.
    cell : Cell
        Cell of the tile.

    Raises
    ------
    InputError
        The pixel lies outside the image.
    ConfigError
        The overlap does not fit.
    """
    grid = TileGrid(shape, tile.size, tile.overlap if request.overlap is None else request.overlap)
    y, x = request.pixel
    height, width = shape
    if not (0 <= y < height and 0 <= x < width):
        raise InputError(
            f"{request.image}: pixel ({y:g}, {x:g}) (y, x) lies outside its {height} x {width} px (height x width); "
            "choose one inside."
        )
    return grid, (math.floor(y) // grid.step, math.floor(x) // grid.step)


@dataclass(frozen=True)
class ContextMaps:
    """Contribution of one context to a tile.

    Attributes
    ----------
    name : str
        ``"local"``, ``"medium"`` or ``"large"``.
    window : FloatWindow
        Window of the context, px.
    footprint : FloatWindow
        Window that its grid of cells covers, px. It may reach outside the image and the window. Maps over the context's
        cells are drawn over it.
    content, positional, combined : ndarray of float32 [h, w] or None
        Attention of the pixel's cell over the context's cells (Eq. 2). Each map sums to 1. Without GPE ``positional``
        is None and ``combined`` is ``content``.
    received_content, received_positional, received : ndarray of float32 [h, w] or None
        The same three, summed over all cells of the tile: each sums to their number.
    gate : float
        sigma(z), the content part's share; 1 without GPE.
    gamma : float
        Residual gate that multiplies what the attention adds.
    weight : ndarray of float32 [n, n]
        H_U (Eq. 3) over the tile's cells, of the requested channel or the mean over channels. Over contexts the weights
        sum to 1.
    """

    name: str
    window: FloatWindow
    footprint: FloatWindow
    content: Map
    positional: Map | None
    combined: Map
    received_content: Map
    received_positional: Map | None
    received: Map
    gate: float
    gamma: float
    weight: Map


@dataclass(frozen=True)
class Enhancement:
    """Contribution of one LFI block of ALE (Eq. 6).

    Attributes
    ----------
    step : int
        Number of the block: 1, 2, ...
    target : str
        Stream whose features it enhances: ``"tile"``, ``"medium"`` or ``"large"``.
    maps : dict of int to ndarray of float32 [n, n]
        By window size (cells): mean of abs(E) over that group's channels, over the tile's cells.
    """

    step: int
    target: str
    maps: dict[int, Map]


@dataclass(frozen=True)
class TileExplanation:
    """Explanation of the network's prediction for a pixel and its tile.

    Attributes
    ----------
    request : ExplainRequest
        The request.
    tile : IntWindow
        Window of the tile that owns the pixel, px.
    core : IntWindow
        Cell of the segmentation's grid that this tile owns, px.
    footprint : FloatWindow
        Window that the tile's grid of feature cells covers, px. Maps over the tile's cells are drawn over it.
    cell : tuple of 2 int
        (y, x) of the query cell on that grid: the one whose center is nearest to the pixel's.
    cell_window : FloatWindow
        Window that the query cell covers, px.
    contexts : tuple of ContextMaps
        Contexts in the order of the network's settings, without those that are left out; empty without LCF.
    enhancements : tuple of Enhancement
        ALE's blocks in the order of Alg. 1; empty without ALE and with ``concat``, which has none.
    class_table : ClassTable
        The classes.
    probabilities : ndarray of float32 [classes]
        Probabilities of the scored classes at the pixel.
    labels : ndarray of uint8 [T, T]
        Mask of the tile, k + 1 for class k. A segmentation with the merge ``crop`` stores the same of it in its core
        (to the bit where tiles run one by one, as on the CPU; in a GPU's batches rounding may differ).
    without : TileExplanation or None
        Explanation by the network without the parts in ``request.without``. None where that is nothing.
    where : str
        Device and precision, as text for people.
    seconds : float
        Time to read and compute, s.
    """

    request: ExplainRequest
    tile: IntWindow
    core: IntWindow
    footprint: FloatWindow
    cell: tuple[int, int]
    cell_window: FloatWindow
    contexts: tuple[ContextMaps, ...]
    enhancements: tuple[Enhancement, ...]
    class_table: ClassTable
    probabilities: Map
    labels: NDArray[np.uint8]
    without: TileExplanation | None
    where: str
    seconds: float

    @property
    def pixel(self) -> tuple[int, int]:
        """Index (y, x) of the pixel in the image."""
        return math.floor(self.request.pixel[0]), math.floor(self.request.pixel[1])
