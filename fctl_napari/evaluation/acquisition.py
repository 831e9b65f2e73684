"""Suggestions of where a correction is worth most: uncertain regions, ranked by expected gain without ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.connected_components import RegionFinder
from fctl_napari.evaluation.error_regions import SMALLEST, Region
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import NOT_COMPUTED
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.map_names import ENTROPY
from fctl_napari.windows import IntWindow, require_region

if TYPE_CHECKING:
    from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
    from fctl_napari.segmentation.store.store import Segmentation

MOST = 1000
"""Number of regions that are listed at most by default, those of the largest gain."""

CELL = 512
"""Side of the squares at whose borders regions end, px: no region is larger than what one looks at, at once."""

DOUBTFUL = 0.2
"""Share of a mask's px, those of the largest entropy, that regions are made of."""

HALF = 8192
"""Number of px of a region whose size counts half: about what two strokes cover."""

NEAR = 128
"""Distance from a correction, px (along rows or columns), within which px count as corrected too: they are seen with
it, and the network learns them with it."""

SAMPLED_PX = 2**22
"""Number of px of the finest level on which frequencies are counted, at most."""


class Corrected(Protocol):
    """The part of ``Corrections`` that the ranking needs."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            Window, px; may reach outside the image.

        Returns
        -------
        ndarray of uint8 [h, w]
            Corrected classes, 0 where nothing was painted, also outside the image.
        """


@dataclass(frozen=True)
class Suggestion:
    """A region to correct.

    Attributes
    ----------
    region : Region
        Connected uncertain px of one class, as ``find_uncertain`` by entropy gives them; no part of it is corrected.
    entropy : float
        Mean entropy of the region, 0..1.
    rarity : float
        Rarity of the predicted class, 0..1.
    size : float
        Weight of the region's number of px, 0..1.
    """

    region: Region
    entropy: float
    rarity: float
    size: float

    @property
    def gain(self) -> float:
        """Expected gain of correcting the region, 0..1: entropy x rarity x size."""
        return self.entropy * self.rarity * self.size


def find_next(
    segmentation: Segmentation,
    corrections: Corrected | None = None,
    region: IntWindow | None = None,
    *,
    smallest: int = SMALLEST,
    most: int = MOST,
    progress: Progress | None = None,
) -> list[Suggestion]:
    """Rank regions by the expected gain of correcting them: entropy x rarity x size.

    A region is 4-connected px of one class, within a square of ``CELL`` px, of an entropy that at most the share
    ``DOUBTFUL`` of the mask reaches. There are no regions where corrections are, nor within ``NEAR`` px of them.

    * *Entropy* is the mean over the region. Where the run kept maps, it is that of the class probabilities (over the
      log of their number). Elsewhere it is that of "this class or another one" with the confidence c,
      ``-c log2 c - (1 - c) log2(1 - c)``, and 1 below a confidence of 1/2.
    * *Rarity* of the predicted class is ``sqrt(1 - f)``, with f its share of the mask: a network errs more on what it
      saw little of, and few px decide the IoU of a rare class. (Without the root, common classes came too late.)
    * *Size* of n px is ``n / (n + HALF)``: it saturates, because a stroke in a large region carries no more information
      than one in a larger one.

    Parameters
    ----------
    segmentation : Segmentation
        An opened store.
    corrections : Corrected or None, optional
        Corrections made so far, of the same size.
    region : IntWindow or None, optional
        (y0, x0, y1, x1) px, to search only there; regions end where it does. Whole squares (see ``whole_cells``) give
        the same regions as the whole image.
    smallest : int, optional
        Regions of fewer pixels are left out.
    most : int, optional
        Number of regions to list at most.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    list of Suggestion
        Suggestions, the largest gain first.

    Raises
    ------
    InputError
        The corrections have another size, or the region holds no pixel.
    Cancelled
        ``progress`` raised it.
    """
    if corrections is not None and tuple(corrections.shape) != segmentation.shape:
        (h, w), (height, width) = corrections.shape, segmentation.shape
        raise InputError(
            f"the corrections are {h} x {w} px (height x width) and the segmentation {height} x {width}; give those of "
            f"the same image."
        )
    within = require_region(region, segmentation.shape, segmentation.path)
    entropy = _Entropy(segmentation)
    rarity = np.sqrt(1 - _shares(segmentation.labels))
    width = segmentation.shape[1]

    def worth(rows: NDArray[np.void]) -> NDArray[np.float64]:
        pixels = rows["pixels"]
        return rows["weight"] / pixels * rarity[rows["value"] & 255] * (pixels / (pixels + HALF))

    finder = RegionFinder(within, width, smallest=smallest, most=most, worth=worth)
    for block in iter_blocks(within, segmentation.labels.chunk, progress=progress):
        labels = segmentation.labels.read(block)
        entropies = entropy.read(block)
        values = labels.astype(np.uint16)
        values |= _checks(block)
        values *= (labels != NOT_COMPUTED) & (entropies >= entropy.threshold)
        if corrections is not None:
            values *= ~_near(corrections, block)
        finder.add(block, values, entropies)
    return [_suggestion(row, width, rarity) for row in finder.finish().tolist()]


def whole_cells(window: IntWindow, shape: tuple[int, int]) -> IntWindow:
    """Return the window of all squares whose suggestions can change with corrections in a window.

    Parameters
    ----------
    window : IntWindow
        Window of the corrections, px.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    IntWindow
        (y0, x0, y1, x1) px: squares of ``CELL`` px within ``NEAR`` px of the window, cut to the image.
    """
    y0, x0, y1, x1 = window
    top, left = max(y0 - NEAR, 0) // CELL * CELL, max(x0 - NEAR, 0) // CELL * CELL
    bottom, right = -(-(y1 + NEAR) // CELL) * CELL, -(-(x1 + NEAR) // CELL) * CELL
    return top, left, min(bottom, shape[0]), min(right, shape[1])


def renewed(before: Iterable[Suggestion], fresh: Iterable[Suggestion], window: IntWindow) -> list[Suggestion]:
    """Replace the suggestions of a window by fresh ones.

    Parameters
    ----------
    before : iterable of Suggestion
        Suggestions of the whole image.
    fresh : iterable of Suggestion
        Suggestions found anew in ``window``.
    window : IntWindow
        Whole squares, (y0, x0, y1, x1) px, from ``whole_cells``.

    Returns
    -------
    list of Suggestion
        Suggestions of the whole image, the largest gain first.
    """
    y0, x0, y1, x1 = window
    kept = [one for one in before if not (y0 <= one.region.point[0] < y1 and x0 <= one.region.point[1] < x1)]
    return sorted([*kept, *fresh], key=lambda one: (-one.gain, *one.region.point))


class _Entropy:
    """Entropy of a mask's px, 0..255, with the threshold of uncertainty."""

    def __init__(self, segmentation: Segmentation) -> None:
        kept = segmentation.maps.get(ENTROPY)
        self._stored: LabelPyramid = segmentation.confidence if kept is None else kept
        self._of = _binary_entropy() if kept is None else np.arange(256, dtype=np.uint8)
        labels, stored = (_sampled(pyramid) for pyramid in (segmentation.labels, self._stored))
        counts = np.bincount(self._of[stored[labels != NOT_COMPUTED]], minlength=256)
        above = np.cumsum(counts[::-1])[::-1]
        few = int(np.count_nonzero(above > DOUBTFUL * counts.sum()))
        largest = int(np.count_nonzero(above)) - 1
        self.threshold = max(min(few, largest), 2)  # a stored 1 stands for an entropy of 0

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read the entropy of a window, uint8 [h, w]."""
        entropies: NDArray[np.uint8] = self._of[self._stored.read(window)]
        return entropies


def _binary_entropy() -> NDArray[np.uint8]:
    """Compute the entropy times 255 of each stored confidence."""
    sure = np.clip(np.arange(256) / 255, 0.5, 1 - 1e-12)
    bits = -sure * np.log2(sure) - (1 - sure) * np.log2(1 - sure)
    return np.rint(255 * bits).astype(np.uint8)


def _shares(labels: LabelPyramid) -> NDArray[np.float64]:
    """Return the share of each label value among the computed px, [256]."""
    counts = np.bincount(_sampled(labels).ravel(), minlength=256).astype(float)
    counts[NOT_COMPUTED] = 0
    return counts / max(counts.sum(), 1)


def _sampled(pyramid: LabelPyramid) -> NDArray[np.uint8]:
    """Read every px of the finest level that is not too large.

    They are picked px of level 0.
    """
    chosen = next((array for array in pyramid.levels if array.shape[0] * array.shape[1] <= SAMPLED_PX), None)
    return np.asarray((pyramid.levels[-1] if chosen is None else chosen)[:])


def _checks(block: IntWindow) -> NDArray[np.uint16]:
    """Return 256 in every second square, like a chess board.

    Regions of neighboring squares then differ in value and are not joined.
    """
    y0, x0, y1, x1 = block
    rows, columns = np.arange(y0, y1) // CELL, np.arange(x0, x1) // CELL
    return ((rows[:, None] + columns) % 2 * 256).astype(np.uint16)


def _near(corrections: Corrected, block: IntWindow) -> NDArray[np.bool_]:
    """Return whether each px of a block is corrected or lies near a corrected one."""
    y0, x0, y1, x1 = block
    corrected_px = corrections.read((y0 - NEAR, x0 - NEAR, y1 + NEAR, x1 + NEAR)) != 0
    if not corrected_px.any():
        return np.zeros((y1 - y0, x1 - x0), bool)
    wide: NDArray[np.bool_] = maximum_filter(corrected_px, 2 * NEAR + 1)[NEAR:-NEAR, NEAR:-NEAR]
    return wide


def _suggestion(row: tuple[int, ...], width: int, rarity: NDArray[np.float64]) -> Suggestion:
    value, pixels, weight, first, *window = row
    y0, x0, y1, x1 = window
    entropy = weight / (255 * pixels)
    label = value & 255
    region = Region((y0, x0, y1, x1), divmod(first, width), pixels, None, label - 1, 1 - entropy)
    return Suggestion(region, entropy, float(rarity[label]), pixels / (pixels + HALF))
