"""Regions to review one after the other: errors, uncertain regions, and disagreements of two segmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.connected_components import RegionFinder
from fctl_napari.evaluation.ground_truth import (
    Comparable,
    GroundTruth,
    SegmentationAsGroundTruth,
    check_indices,
    scored_classes,
)
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import IGNORE, NOT_COMPUTED
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow, require_region

if TYPE_CHECKING:
    from fctl_napari.segmentation.store.store import Segmentation

SMALLEST = 16
"""Number of pixels of the smallest regions that are listed by default."""
MOST = 10_000
"""Number of regions that are listed at most by default, the largest."""

Order = Literal["size", "confidence", "class"]
Measure = Literal["confidence", "entropy", "margin"]

THRESHOLDS: dict[Measure, float] = {"confidence": 0.5, "entropy": 0.5, "margin": 0.2}
"""Thresholds of uncertain pixels by default: below that confidence or margin, above that entropy."""


@dataclass(frozen=True)
class Region:
    """A 4-connected region of pixels of one true class that were predicted as one class.

    Attributes
    ----------
    window : IntWindow
        Bounding box, (y0, x0, y1, x1) px.
    point : tuple of 2 int
        First pixel in reading order, (y, x).
    pixels : int
        Number of pixels.
    ground_truth : int or None
        Class index in the ground truth, or in the first segmentation of disagreements. None for uncertain regions.
    predicted : int
        Class index that was predicted.
    confidence : float
        Mean confidence, 0..1. For uncertain regions by margin it is the mean margin, by entropy 1 less the mean
        entropy.
    """

    window: IntWindow
    point: tuple[int, int]
    pixels: int
    ground_truth: int | None
    predicted: int
    confidence: float


class Regions(list[Region]):
    """The largest regions, the largest first, with the counts of all.

    Parameters
    ----------
    regions : iterable of Region, optional
        The regions to list.
    found, small, pixels : int, optional
        See Attributes.

    Attributes
    ----------
    found : int
        Number of regions that are large enough to be listed.
    small : int
        Number of regions that are too small.
    pixels : int
        Number of pixels of all regions.
    """

    def __init__(self, regions: Iterable[Region] = (), *, found: int = 0, small: int = 0, pixels: int = 0) -> None:
        super().__init__(regions)
        self.found = found
        self.small = small
        self.pixels = pixels


def find_errors(
    segmentation: Segmentation,
    ground_truth: GroundTruth,
    region: IntWindow | None = None,
    *,
    smallest: int = SMALLEST,
    most: int = MOST,
    progress: Progress | None = None,
) -> Regions:
    """List the connected regions that were predicted as another class than they are.

    Parameters
    ----------
    segmentation : Segmentation
        An opened store.
    ground_truth : GroundTruth
        Class indices of the same size.
    region : IntWindow or None, optional
        (y0, x0, y1, x1) px, to search only there; a region of errors ends where it does.
    smallest : int, optional
        Regions of fewer pixels are only counted.
    most : int, optional
        Number of regions to list at most, the largest.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    Regions
        The largest regions of errors, the largest first, and the counts of all.

    Raises
    ------
    InputError
        The ground truth has another size or other classes, or the region holds no pixel.
    Cancelled
        ``progress`` raised it.
    """
    scored = scored_classes(segmentation, ground_truth)
    classes = len(segmentation.class_table.names)

    def read(block: IntWindow) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        there = scored[ground_truth.read(block)]
        labels = segmentation.labels.read(block)
        check_indices("ground truth", int((there + np.uint8(1)).max()) - 1, classes)
        wrong = (there != labels - np.uint8(1)) & (there != IGNORE) & (labels != NOT_COMPUTED)
        return _values(there, labels, wrong), segmentation.confidence.read(block)

    return _find(segmentation, read, region, smallest, most, progress)


def find_disagreements(
    first: Segmentation,
    second: Segmentation,
    region: IntWindow | None = None,
    *,
    smallest: int = SMALLEST,
    most: int = MOST,
    progress: Progress | None = None,
) -> Regions:
    """List the connected regions where two segmentations of an image differ.

    Parameters
    ----------
    first, second : Segmentation
        Opened stores.
    region : IntWindow or None, optional
        As for :func:`find_errors`.
    smallest, most : int, optional
        As for :func:`find_errors`.
    progress : Progress or None, optional
        As for :func:`find_errors`.

    Returns
    -------
    Regions
        The largest regions, the largest first, and the counts of all. ``ground_truth`` of a region is the class of the
        first segmentation and ``predicted`` that of the second, both as indices of the second's class table. Its
        ``confidence`` is the second's.

    Raises
    ------
    InputError
        The sizes or the names of the classes differ, or the region holds no pixel.
    Cancelled
        ``progress`` raised it.
    """
    return find_errors(
        second,
        SegmentationAsGroundTruth(first, second),
        region,
        smallest=smallest,
        most=most,
        progress=progress,
    )


def find_uncertain(
    segmentation: Comparable,
    region: IntWindow | None = None,
    *,
    measure: Measure = "confidence",
    threshold: float | None = None,
    smallest: int = SMALLEST,
    most: int = MOST,
    progress: Progress | None = None,
) -> Regions:
    """List the connected regions of one class where the network was uncertain.

    No ground truth is needed.

    Parameters
    ----------
    segmentation : Comparable
        An opened store, or a final map: px that people decided are not uncertain. That has no map of another measure.
    region : IntWindow or None, optional
        As for :func:`find_errors`.
    measure : Measure, optional
        ``"confidence"`` is the probability of the predicted class. ``"margin"`` is that less the second largest.
        ``"entropy"`` is that of the class probabilities, over the log of their number. The last two are at hand where
        the run kept maps.
    threshold : float or None, optional
        A pixel is uncertain if its confidence or margin is below, or its entropy above. None takes that of
        ``THRESHOLDS``.
    smallest, most : int, optional
        As for :func:`find_errors`.
    progress : Progress or None, optional
        As for :func:`find_errors`.

    Returns
    -------
    Regions
        The largest uncertain regions, the largest first, and the counts of all.

    Raises
    ------
    InputError
        The store does not hold the measure, or the region holds no pixel.
    Cancelled
        ``progress`` raised it.
    """
    limit = 255 * (THRESHOLDS[measure] if threshold is None else threshold)
    stored = segmentation.confidence if measure == "confidence" else getattr(segmentation, "maps", {}).get(measure)
    if stored is None:
        raise InputError(
            f"{segmentation.path}: holds no map of the {measure}; run fctl segment --maps (in Python: maps=True), or "
            "ask for the confidence."
        )
    entropy = measure == "entropy"

    def read(block: IntWindow) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        labels = segmentation.labels.read(block)
        values = stored.read(block)
        doubtful = values > limit if entropy else values < limit
        doubtful &= (values != NOT_COMPUTED) & (labels != NOT_COMPUTED)
        sureness = np.uint8(255) - values if entropy else values
        return _values(np.full_like(labels, IGNORE), labels, doubtful), sureness

    return _find(segmentation, read, region, smallest, most, progress)


def order(regions: Iterable[Region], by: Order) -> list[Region]:
    """Sort regions.

    Parameters
    ----------
    regions : iterable of Region
        Regions of one kind.
    by : Order
        ``"size"``: the largest first. ``"confidence"``: the most confident errors and disagreements first, but the
        least confident uncertain regions. ``"class"``: by ground truth, then by predicted class, the largest first.

    Returns
    -------
    list of Region
        The regions, sorted.
    """

    def key(region: Region) -> tuple[float, ...]:
        sure = region.confidence if region.ground_truth is None else -region.confidence
        pair = (-1 if region.ground_truth is None else region.ground_truth, region.predicted)
        first: tuple[float, ...] = {"size": (), "confidence": (sure,), "class": pair}[by]
        return *first, -region.pixels, *region.point

    return sorted(regions, key=key)


def _values(ground_truth: NDArray[np.uint8], labels: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Combine ground truth and label to one number, 256 * truth + label.

    It is 0 where nothing is shown.
    """
    values = ground_truth.astype(np.uint16)
    values <<= 8
    values |= labels
    values *= shown
    return values


def _find(
    segmentation: Comparable,
    read: Callable[[IntWindow], tuple[NDArray[np.uint16], NDArray[np.uint8]]],
    region: IntWindow | None,
    smallest: int,
    most: int,
    progress: Progress | None,
) -> Regions:
    """Find the regions of equal value.

    ``read`` gives values and confidences of a block.
    """
    within = require_region(region, segmentation.shape, segmentation.path)
    width = segmentation.shape[1]
    finder = RegionFinder(within, width, smallest=smallest, most=most)
    for block in iter_blocks(within, segmentation.labels.chunk, progress=progress):
        finder.add(block, *read(block))
    found = finder.finish()
    return Regions(
        (_region(row, width) for row in found.tolist()), found=finder.found, small=finder.small, pixels=finder.pixels
    )


def _region(row: tuple[int, ...], width: int) -> Region:
    """Make a region of a record of ``REGION``."""
    value, pixels, weight, first, *window = row
    ground_truth, label = divmod(value, 256)
    y0, x0, y1, x1 = window
    return Region(
        window=(y0, x0, y1, x1),
        point=divmod(first, width),
        pixels=pixels,
        ground_truth=None if ground_truth == IGNORE else ground_truth,
        predicted=label - 1,
        confidence=weight / (255 * pixels),
    )
