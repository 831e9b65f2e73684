"""Evaluation of a stored segmentation against its ground truth, block by block."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.boundary_iou import BoundaryCounter
from fctl_napari.evaluation.calibration import Calibration
from fctl_napari.evaluation.ground_truth import Comparable, GroundTruth, check_indices, scored_classes
from fctl_napari.evaluation.metrics import Scores, mean, plain
from fctl_napari.exceptions import InputError
from fctl_napari.files import write_json
from fctl_napari.model.classes import IGNORE
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow, require_region

BOUNDARY_PX = 15
"""Width of the bands of Boundary IoU by default, px."""

ROWS = 512
"""Number of rows of a block that are counted at once."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of a segmentation, or of a region of it, against its ground truth.

    Attributes
    ----------
    names : tuple of str
        Names of class 0, 1, ...
    region : IntWindow
        Scored region, (y0, x0, y1, x1) px.
    confusion : ndarray of int64 [classes, classes]
        Number of pixels by true class (row) and predicted class (column).
    calibration : Calibration
        Accuracy by confidence.
    boundary_px : int or None
        Width of the bands of Boundary IoU, px. None means that it was not computed.
    boundary_iou : dict of str to float or None
        Boundary IoU (Cheng et al. 2021) by class name, NaN for a class without a boundary. None means not computed.
    inherited : int
        Number of the region's tiles that were taken over from a parent's segmentation and not computed anew.
    """

    names: tuple[str, ...]
    region: IntWindow
    confusion: NDArray[np.int64]
    calibration: Calibration
    boundary_px: int | None = None
    boundary_iou: dict[str, float] | None = None
    inherited: int = 0

    @cached_property
    def scores(self) -> Scores:
        """IoU, F1, precision and recall by class, their means, accuracy, and the number of scored pixels."""
        return Scores.from_confusion(self.confusion, self.names)

    @property
    def mean_boundary_iou(self) -> float | None:
        """Mean over the classes that have a boundary, or None if it was not computed."""
        return None if self.boundary_iou is None else mean(np.array(list(self.boundary_iou.values())))

    @property
    def unscored(self) -> int:
        """Number of px of the region that were not scored."""
        y0, x0, y1, x1 = self.region
        return (y1 - y0) * (x1 - x0) - self.scores.pixels

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain values, with None for what is undefined."""
        scores = self.scores
        boundary = self.boundary_iou

        def column(values: dict[str, float]) -> dict[str, float | None]:
            return {name: plain(value) for name, value in values.items()}

        without = scores.miou_without_background
        return {
            **scores.to_json(),
            **({} if without is None else {"miou_without_background": plain(without)}),
            "f1_by_class": column(scores.f1_by_class),
            "precision": column(scores.precision),
            "recall": column(scores.recall),
            "boundary_px": self.boundary_px,
            "boundary_iou": None if boundary is None else column(boundary),
            "mean_boundary_iou": None if boundary is None else plain(self.mean_boundary_iou or 0.0),
            "ece": plain(self.calibration.ece()),
            "reliability": self.calibration.reliability().to_json(),
            "pixels": scores.pixels,
            "region": list(self.region),
            "inherited_tiles": self.inherited,
            "classes": list(self.names),
            "confusion": self.confusion.tolist(),
        }

    def table(self) -> list[list[Any]]:
        """Return the figures by class: a row of titles, a row for each class, and the means, with None if undefined."""
        scores = self.scores
        columns: dict[str, tuple[dict[str, float], float]] = {
            "IoU": (scores.iou, scores.miou),
            "F1": (scores.f1_by_class, scores.f1),
            "precision": (scores.precision, mean(np.array(list(scores.precision.values())))),
            "recall": (scores.recall, mean(np.array(list(scores.recall.values())))),
        }
        if self.boundary_iou is not None:
            columns["boundary IoU"] = self.boundary_iou, mean(np.array(list(self.boundary_iou.values())))
        rows: list[list[Any]] = [["class", *columns]]
        rows += [[name, *(plain(by_class[name]) for by_class, _ in columns.values())] for name in self.names]
        rows.append(["mean", *(plain(value) for _, value in columns.values())])
        return rows

    def to_csv(self) -> str:
        """Return the figures by class, then the confusion matrix, as comma-separated values."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(self.table())
        writer.writerow([])
        writer.writerow(["truth \\ called", *self.names])
        writer.writerows([name, *row] for name, row in zip(self.names, self.confusion.tolist(), strict=True))
        return text.getvalue()

    def save_json(self, path: Path | str) -> None:
        """Write :meth:`to_json`, whole or not at all.

        Parameters
        ----------
        path : Path or str
            Path of the file.

        Raises
        ------
        OutputError
            The disk is full or the location is not writable.
        """
        write_json(path, self.to_json())


def evaluate(
    segmentation: Comparable,
    ground_truth: GroundTruth,
    region: IntWindow | None = None,
    *,
    boundary_px: int | None = BOUNDARY_PX,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a stored segmentation, or a final map, against its ground truth.

    Memory does not grow with the image, and each chunk is read once. Pixels that are ignored in the ground truth or not
    computed yet are left out.

    Parameters
    ----------
    segmentation : Comparable
        An opened store: the figures are the network's. A final map: they are those of what people get, and the
        calibration is that of the px that nobody painted.
    ground_truth : GroundTruth
        Class indices of the same size.
    region : IntWindow or None, optional
        (y0, x0, y1, x1) px, to score only there.
    boundary_px : int or None, optional
        Width of the bands of Boundary IoU, px; they are those of the whole image, also in a region. None leaves it out.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    Evaluation
        Confusion matrix, calibration and, unless left out, Boundary IoU.

    Raises
    ------
    InputError
        The ground truth has another size or other classes, the region holds no pixel, or nothing is left to score.
    Cancelled
        ``progress`` raised it.
    """
    names = segmentation.class_table.names
    scored = scored_classes(segmentation, ground_truth)
    within = require_region(region, segmentation.shape, segmentation.path)
    extent = within.padded(boundary_px or 0).clip(segmentation.shape)
    counter = _Counter(len(names))
    boundary = None if boundary_px is None else BoundaryCounter(len(names), boundary_px, within, extent)
    for block in iter_blocks(extent, segmentation.labels.chunk, progress=progress):
        values = ground_truth.read(block)
        there = scored[values]
        labels = segmentation.labels.read(block)
        inside = within.intersect(block)
        if not inside.empty:
            part = inside.slices_in(block)
            if ground_truth.class_names is None:
                check_indices("ground truth", _highest(values[part]), len(segmentation.predicted_classes))
            counter.add(there[part], labels[part], segmentation.confidence.read(inside))
        if boundary is not None:
            predicted = labels - np.uint8(1)  # 0 (not computed) wraps to 255 = none, k + 1 becomes k
            unjudged = (there == IGNORE) | (predicted == IGNORE)
            there[unjudged] = predicted[unjudged] = IGNORE
            boundary.add(block, there, predicted)
    confusion = counter.confusion()
    if not confusion.any():
        raise InputError(
            "nothing to score: no pixel is both segmented and labeled in the ground truth; segment it first."
        )
    return Evaluation(
        names=names,
        region=within,
        confusion=confusion,
        calibration=counter.calibration(),
        boundary_px=boundary_px,
        boundary_iou=None if boundary is None else dict(zip(names, boundary.iou().tolist(), strict=True)),
        inherited=segmentation.inherited_in(within),
    )


def _highest(indices: NDArray[np.uint8]) -> int:
    """Return the highest class index, -1 where no px has a class."""
    return int((indices + np.uint8(1)).max()) - 1  # 255 (none) wraps to 0


class _Counter:
    """Counter of pixels by true class, label and confidence, all in one pass.

    Parameters
    ----------
    classes : int
        Number of classes. Row ``classes`` and column 0 take what is not judged.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._counts = np.zeros(((classes + 1) ** 2, 256), np.int64)

    def add(self, ground_truth: NDArray[np.uint8], labels: NDArray[np.uint8], confidence: NDArray[np.uint8]) -> None:
        """Count the pixels of an area.

        Ground truth holds class indices with 255 = none, labels hold 0 = none and k + 1 = class k.
        """
        for top in range(0, len(ground_truth), ROWS):
            rows = slice(top, top + ROWS)
            there, predicted = ground_truth[rows], labels[rows]
            check_indices("ground truth", _highest(there), self.classes)
            check_indices("segmentation", int(predicted.max()) - 1, self.classes)
            index = np.minimum(there, self.classes).astype(np.intp)
            index *= self.classes + 1
            index += predicted
            index *= 256
            index += confidence[rows]
            self._counts += np.bincount(index.ravel(), minlength=self._counts.size).reshape(self._counts.shape)

    def _judged(self) -> NDArray[np.int64]:
        """Return the counts of judged pixels, [classes, classes, 256]."""
        side = self.classes + 1
        return self._counts.reshape(side, side, 256)[: self.classes, 1:]

    def confusion(self) -> NDArray[np.int64]:
        """Return the confusion matrix, with the ground truth in rows and the prediction in columns."""
        return self._judged().sum(2)

    def calibration(self) -> Calibration:
        """Return the counts of pixels and of right ones by confidence."""
        judged = self._judged()
        return Calibration(pixels=judged.sum((0, 1)), right=np.einsum("kkc->c", judged))
