"""Regions to look at one after the other: errors, doubts, and where two segmentations differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.connected_components import RegionFinder
from fctl_napari.evaluation.ground_truth import GroundTruth, SegmentationAsGroundTruth, check_indices, scored_classes
from fctl_napari.model.classes import IGNORE, NOT_COMPUTED
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow, require_region

if TYPE_CHECKING:
    from fctl_napari.segmentation.store.store import Segmentation

SMALLEST = 16
"""Regions of fewer pixels are not listed by default."""
MOST = 10_000
"""So many regions are listed at most by default, the largest."""

Order = Literal["size", "confidence", "class"]
Measure = Literal["confidence", "entropy", "margin"]

THRESHOLDS: dict[Measure, float] = {"confidence": 0.5, "entropy": 0.5, "margin": 0.2}
"""Where doubt begins by default: below that confidence or margin, above that entropy."""


@dataclass(frozen=True)
class Region:
    """A 4-connected region of pixels of one truth that were called one class.

    Attributes
    ----------
    window
        Its bounding box, (y0, x0, y1, x1) px.
    point
        Its first pixel in reading order, (y, x).
    pixels
        How many it has.
    ground_truth
        Class index of the truth (of disagreements: what the first segmentation says); None: of doubts.
    predicted
        Class index that was predicted.
    confidence
        Mean confidence, 0..1; of doubts by margin the mean margin, of doubts by entropy 1 less the mean entropy.
    """

    window: IntWindow
    point: tuple[int, int]
    pixels: int
    ground_truth: int | None
    predicted: int
    confidence: float


class Regions(list[Region]):
    """The largest regions, the largest first, and how many there are in all.

    Attributes
    ----------
    found
        How many are large enough to be listed.
    small
        How many are too small.
    pixels
        Of all of them.
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
    """List the connected regions that were called another class than they are.

    Parameters
    ----------
    segmentation
        An opened store.
    ground_truth
        Class indices of the same size.
    region
        (y0, x0, y1, x1) px, to look only there; a region of errors ends where it does.
    smallest
        Regions of fewer pixels are only counted.
    most
        How many to list, the largest.
    progress
        Called as ``progress(done, total)`` with counts of blocks.

    Raises
    ------
    InputError
        The truth has another size or other classes, or the region holds no pixel.
    Cancelled
        ``progress`` raised it.
    """
    scored = scored_classes(segmentation, ground_truth)
    classes = len(segmentation.class_table.names)

    def read(block: IntWindow) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        there = scored[ground_truth.read(block)]
        labels = segmentation.labels.read(block)
        check_indices("truth", int((there + np.uint8(1)).max()) - 1, classes)
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
    """List the connected regions that two segmentations of an image call differently.

    Parameters
    ----------
    first, second
        Opened stores. Of a region, ``ground_truth`` is what the first says and ``predicted`` what the second says, both
        as indices of the second's class table; ``confidence`` is the second's.
    region, smallest, most, progress
        As of `find_errors`.

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
    segmentation: Segmentation,
    region: IntWindow | None = None,
    *,
    measure: Measure = "confidence",
    threshold: float | None = None,
    smallest: int = SMALLEST,
    most: int = MOST,
    progress: Progress | None = None,
) -> Regions:
    """List the connected regions of one class where the network was in doubt; no truth is needed.

    Parameters
    ----------
    segmentation
        An opened store.
    measure
        ``"confidence"``: the probability of the chosen class; ``"margin"``: that less the second largest;
        ``"entropy"`` of the class probabilities, over the log of their number. The last two are at hand where the run
        kept maps.
    threshold
        A pixel is in doubt if its confidence or margin is below, or its entropy above. None: see ``THRESHOLDS``.
    region, smallest, most, progress
        As of `find_errors`.

    Raises
    ------
    InputError
        The store does not hold the measure, or the region holds no pixel.
    Cancelled
        ``progress`` raised it.
    """
    limit = 255 * (THRESHOLDS[measure] if threshold is None else threshold)
    stored = segmentation.confidence if measure == "confidence" else segmentation.maps.get(measure)
    if stored is None:
        raise InputError(
            f"{segmentation.path}: holds no map of the {measure}; run fctl segment --maps, or ask for the confidence."
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
    regions
        Of one kind.
    by
        ``"size"``: the largest first. ``"confidence"``: of errors and disagreements the most confident first, of
        doubts the least. ``"class"``: by truth, then by what was called, the largest first.
    """

    def key(region: Region) -> tuple[float, ...]:
        sure = region.confidence if region.ground_truth is None else -region.confidence
        pair = (-1 if region.ground_truth is None else region.ground_truth, region.predicted)
        first: tuple[float, ...] = {"size": (), "confidence": (sure,), "class": pair}[by]
        return *first, -region.pixels, *region.point

    return sorted(regions, key=key)


def _values(ground_truth: NDArray[np.uint8], labels: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Number the pairs of truth and label, 256 * truth + label; 0 where nothing is shown."""
    values = ground_truth.astype(np.uint16)
    values <<= 8
    values |= labels
    values *= shown
    return values


def _find(
    segmentation: Segmentation,
    read: Callable[[IntWindow], tuple[NDArray[np.uint16], NDArray[np.uint8]]],
    region: IntWindow | None,
    smallest: int,
    most: int,
    progress: Progress | None,
) -> Regions:
    """Find the regions of equal value; ``read`` gives values and confidences of a block."""
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
