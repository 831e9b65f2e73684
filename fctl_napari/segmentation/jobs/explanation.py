"""What is asked of a pixel, and what is told of it: plain arrays with windows (no torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.model.classes import ClassTable
from fctl_napari.model.feature_ablation import WHOLE, Without
from fctl_napari.windows import FloatWindow, IntWindow

Map = NDArray[np.float32]


@dataclass(frozen=True)
class ExplainRequest:
    """Which pixel of which image is to be explained, of which network.

    Attributes
    ----------
    image
        Its file or folder, or its address.
    checkpoint
        A built-in name or a file.
    pixel
        (y, x), full-resolution px; pixel i covers [i, i + 1).
    overlap
        px, as for a segmentation with the merge ``crop``: the tile is the one that owns the pixel there. None: about
        a quarter of the tile.
    device, precision, exact_contexts
        As for ``Predictor``.
    value_range, bands
        As for ``open_image``.
    channel
        Of the fusion weights, from 0; None: their mean over channels.
    without
        Parts of the network whose leaving out is told as well.
    """

    image: str
    checkpoint: str
    pixel: tuple[float, float]
    overlap: int | None = None
    device: str = "auto"
    precision: str = "auto"
    exact_contexts: bool = False
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None
    channel: int | None = None
    without: Without = WHOLE


@dataclass(frozen=True)
class ContextMaps:
    """What the tile drew from one context.

    Attributes
    ----------
    name
        ``"local"``, ``"medium"`` or ``"large"``.
    window
        Where the context lies, px.
    footprint
        What its grid of cells covers, px; it may reach outside the image and the window. Maps over the context's cells
        are drawn over it.
    content, positional, combined
        [h, w] over the context's cells: how the pixel's cell attends (Eq. 2). Each sums to 1; without GPE
        ``positional`` is None and ``combined`` is ``content``.
    received_content, received_positional, received
        The same three, summed over all cells of the tile: each sums to their number.
    gate
        sigma(z), the content part's share; 1 without GPE.
    gamma
        The residual gate that multiplies what the attention brings.
    weight
        H_U (Eq. 3) over the tile's cells [n, n], of the channel asked for or the mean over channels; over contexts
        they sum to 1.
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
    """What one LFI block of ALE adds (Eq. 6).

    Attributes
    ----------
    step
        1, 2, ...
    target
        Whose features it enhances: ``"tile"``, ``"medium"``, ``"large"``.
    maps
        By window size (cells): mean of abs(E) over that group's channels, [n, n] over the tile's cells.
    """

    step: int
    target: str
    maps: dict[int, Map]


@dataclass(frozen=True)
class TileExplanation:
    """Why the network says what it says of a pixel, and of its tile.

    Attributes
    ----------
    request
        What was asked.
    tile
        The tile that owns the pixel, px.
    core
        The cell of the segmentation's grid that this tile owns, px.
    footprint
        What the tile's grid of feature cells covers, px; maps over the tile's cells are drawn over it.
    cell
        (y, x) of the query cell on that grid: the one whose centre is nearest to the pixel's.
    cell_window
        What the query cell covers, px.
    contexts
        In the order of the network's settings, those that are left out missing; empty without LCF.
    enhancements
        ALE's blocks in the order of Alg. 1; empty without ALE and with ``concat``, which has none.
    class_table
        The classes.
    probabilities
        Of the scored classes, at the pixel.
    labels
        The tile's mask [T, T], k + 1 for class k: what a segmentation with the merge ``crop`` stores of it in its core
        (to the bit where tiles run one by one, as on the CPU; in a GPU's batches rounding may differ).
    without
        The same of the network without what ``request.without`` names; None where that is nothing.
    where
        Device and precision, for people.
    seconds
        How long it took to read and compute.
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
