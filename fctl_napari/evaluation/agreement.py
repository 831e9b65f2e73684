"""Comparison of two segmentations of the same image: where they agree, and which of them is right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.ground_truth import GroundTruth, SegmentationAsGroundTruth, scored_classes
from fctl_napari.evaluation.metrics import Scores, confusion_matrix, plain
from fctl_napari.exceptions import InputError
from fctl_napari.model.classes import IGNORE
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow, require_region

if TYPE_CHECKING:
    from fctl_napari.segmentation.store.store import Segmentation

OUTCOMES = ("both wrong", "only the first is right", "only the second is right", "both right")
"""Outcomes of comparing two segmentations with a ground truth at a pixel."""


@dataclass(frozen=True, eq=False)
class AgainstGroundTruth:
    """Two segmentations against a ground truth, on the pixels that it labels and both have computed.

    Attributes
    ----------
    outcomes : ndarray of int64 [classes, 4]
        Number of pixels of each true class with each of ``OUTCOMES``.
    first, second : Scores
        Scores of each segmentation.
    """

    outcomes: NDArray[np.int64]
    first: Scores
    second: Scores

    @property
    def pixels(self) -> dict[str, int]:
        """Number of pixels with each of ``OUTCOMES``."""
        return dict(zip(OUTCOMES, self.outcomes.sum(0).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of two segmentations, on the pixels that both have computed.

    Attributes
    ----------
    names : tuple of str
        Names of class 0, 1, ..., in the second's order.
    region : IntWindow
        Compared region, (y0, x0, y1, x1) px.
    confusion : ndarray of int64 [classes, classes]
        Number of pixels by the class that the first predicts (row) and that the second predicts (column).
    ground_truth : AgainstGroundTruth or None
        Comparison of both with a ground truth. None means that none was given.
    """

    names: tuple[str, ...]
    region: IntWindow
    confusion: NDArray[np.int64]
    ground_truth: AgainstGroundTruth | None = None

    @cached_property
    def scores(self) -> Scores:
        """Scores of the second with the first as ground truth (IoU is the same the other way round)."""
        return Scores.from_confusion(self.confusion, self.names)

    @property
    def share(self) -> float:
        """Share of the pixels that both predict alike, 0..1."""
        return self.scores.accuracy

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain values, with None for what is undefined."""
        against = None
        if self.ground_truth is not None:
            against = {
                "first": self.ground_truth.first.to_json(),
                "second": self.ground_truth.second.to_json(),
                "pixels": self.ground_truth.pixels,
                "pixels_by_class": {
                    name: dict(zip(OUTCOMES, row, strict=True))
                    for name, row in zip(self.names, self.ground_truth.outcomes.tolist(), strict=True)
                },
            }
        return {
            "agreement": plain(self.share),
            "miou": plain(self.scores.miou),
            "iou": {name: plain(value) for name, value in self.scores.iou.items()},
            "pixels": self.scores.pixels,
            "region": list(self.region),
            "classes": list(self.names),
            "confusion": self.confusion.tolist(),
            "truth": against,
        }


def compare(
    first: Segmentation,
    second: Segmentation,
    ground_truth: GroundTruth | None = None,
    region: IntWindow | None = None,
    *,
    progress: Progress | None = None,
) -> Agreement:
    """Compare two segmentations of an image, block by block.

    Parameters
    ----------
    first, second : Segmentation
        Opened stores. Classes of the same name are the same, in whatever order.
    ground_truth : GroundTruth or None, optional
        Class indices of the second's classes.
    region : IntWindow or None, optional
        (y0, x0, y1, x1) px, to compare only there.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    Agreement
        Agreement on the pixels that both have computed, with ``ground_truth`` where one is given.

    Raises
    ------
    InputError
        Sizes or classes differ, the region holds no pixel, or nothing is computed in both.
    Cancelled
        ``progress`` raised it.
    """
    names = second.class_table.names
    count = len(names)
    as_ground_truth = SegmentationAsGroundTruth(first, second)
    scored_classes(second, as_ground_truth)  # refuses sizes that differ
    scored = None if ground_truth is None else scored_classes(second, ground_truth)
    within = require_region(region, second.shape, second.path)
    confusion, of_first, of_second = np.zeros((3, count, count), np.int64)
    outcomes = np.zeros((count, 4), np.int64)
    for block in iter_blocks(within, second.labels.chunk, progress=progress):
        one, other = as_ground_truth.read(block), second.labels.read(block) - np.uint8(1)
        confusion += confusion_matrix(one, other, count)
        if ground_truth is None or scored is None:
            continue
        there = scored[ground_truth.read(block)]
        there[(one == IGNORE) | (other == IGNORE)] = IGNORE
        of_first += confusion_matrix(there, one, count)
        of_second += confusion_matrix(there, other, count)
        outcome = (one == there) + np.uint8(2) * (other == there)
        judged = there != IGNORE
        index = there[judged].astype(np.intp) * 4 + outcome[judged]
        outcomes += np.bincount(index, minlength=4 * count).reshape(count, 4)
    if not confusion.any():
        raise InputError("nothing to compare: no pixel is segmented in both; segment the same part first.")
    against = None
    if ground_truth is not None:
        if not outcomes.any():
            raise InputError("nothing to compare with the ground truth: it labels no pixel that is segmented in both.")
        against = AgainstGroundTruth(
            outcomes, Scores.from_confusion(of_first, names), Scores.from_confusion(of_second, names)
        )
    return Agreement(names, within, confusion, against)
