"""Confusion matrix, IoU, F1 and accuracy; whole segmentations are scored block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fctl_napari.errors import InputError
from fctl_napari.model.classes import IGNORE

if TYPE_CHECKING:
    from fctl_napari.imagery.truth import LabelSource
    from fctl_napari.segmentation.store import Segmentation

BLOCK = 2048
"""Side of the blocks that a segmentation is scored by, px."""


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each true class was called each class.

    Parameters
    ----------
    truth, prediction
        Class indices, uint8, of equal shape. Pixels where either is 255 are left out: ignored in the truth, or not
        computed.
    classes
        Number of classes; indices 0 .. classes - 1.

    Returns
    -------
    numpy.ndarray
        int64 (classes, classes); rows are the truth, columns the prediction.

    Raises
    ------
    InputError
        An index is neither a class nor 255.
    ValueError
        The shapes differ.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    counted = (truth != IGNORE) & (prediction != IGNORE)
    rows, columns = truth[counted].astype(np.intp), prediction[counted].astype(np.intp)
    for name, values in (("truth", rows), ("prediction", columns)):
        if values.size and values.max() >= classes:
            raise InputError(
                f"the {name} holds class index {values.max()}, but there are {classes} classes (0 to {classes - 1}; "
                f"{IGNORE} is ignored); map its values first."
            )
    counts = np.bincount(rows * classes + columns, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class Scores:
    """Figures of a segmentation against its truth; each lies in 0..1, or is NaN where nothing was scored.

    Attributes
    ----------
    iou
        Intersection over union by class name; NaN for a class that is in neither truth nor prediction.
    miou
        Mean IoU over the classes that are in truth or prediction.
    f1
        Mean F1 over the same classes. Per class F1 = 2 IoU / (1 + IoU).
    accuracy
        Share of the scored pixels that are right.
    pixels
        How many pixels were scored.
    """

    iou: dict[str, float]
    miou: float
    f1: float
    accuracy: float
    pixels: int

    @classmethod
    def from_confusion(cls, matrix: np.ndarray, names: Sequence[str]) -> Scores:
        """Compute the figures from a confusion matrix (rows truth) and the classes' names."""
        if matrix.shape != (len(names), len(names)):
            raise ValueError(f"a {matrix.shape} matrix does not fit {len(names)} names")
        right = np.diagonal(matrix).astype(np.float64)
        union = matrix.sum(0) + matrix.sum(1) - right
        present = union > 0
        iou = np.divide(right, union, out=np.full(len(names), np.nan), where=present)
        f1 = 2 * iou / (1 + iou)
        total = int(matrix.sum())
        return cls(
            iou={name: float(value) for name, value in zip(names, iou, strict=True)},
            miou=float(iou[present].mean()) if present.any() else math.nan,
            f1=float(f1[present].mean()) if present.any() else math.nan,
            accuracy=float(right.sum() / total) if total else math.nan,
            pixels=total,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain ``{"miou", "accuracy", "f1", "iou": {name: value}}``; NaN becomes None."""

        def plain(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "miou": plain(self.miou),
            "accuracy": plain(self.accuracy),
            "f1": plain(self.f1),
            "iou": {name: plain(value) for name, value in self.iou.items()},
        }


def evaluate(
    segmentation: Segmentation,
    truth: LabelSource,
    region: tuple[int, int, int, int] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a stored segmentation, block by block; memory does not grow with the image.

    Pixels that are ignored in the truth or not computed yet are left out.

    Parameters
    ----------
    segmentation
        An opened store.
    truth
        Class indices of the same size.
    region
        (y0, x0, y1, x1), px, to score only there.
    progress
        Called as ``progress(done, total)`` with counts of blocks.

    Raises
    ------
    InputError
        The truth has another size or other classes, or nothing is left to score.
    """
    table = segmentation.class_table
    names = table.names
    height, width = segmentation.shape
    if tuple(truth.shape) != (height, width):
        raise InputError(
            f"the truth is {truth.shape[0]} x {truth.shape[1]} px (height x width) and the segmentation {height} x "
            f"{width}; give the truth of the same image."
        )
    if truth.class_names is not None and truth.class_names[: len(names)] != names:
        raise InputError(
            f"the truth's classes are {', '.join(truth.class_names)} and the segmentation's {', '.join(names)}; use a "
            f"checkpoint of the same classes."
        )
    y0, x0, y1, x1 = region or (0, 0, height, width)
    y0, x0, y1, x1 = max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)
    blocks = [
        (y, x, min(y + BLOCK, y1), min(x + BLOCK, x1)) for y in range(y0, y1, BLOCK) for x in range(x0, x1, BLOCK)
    ]
    scored = np.arange(256, dtype=np.uint8)
    scored[len(names) : len(table)] = IGNORE  # classes that the table leaves out of the score
    matrix = np.zeros((len(names), len(names)), np.int64)
    for done, block in enumerate(blocks, 1):
        labels = segmentation.labels.read(block)
        # 0 (not computed) wraps to 255 = ignored, k + 1 becomes k.
        matrix += confusion_matrix(scored[truth.read(block)], labels - np.uint8(1), len(names))
        if progress is not None:
            progress(done, len(blocks))
    if not matrix.any():
        raise InputError("nothing to score: no pixel is both segmented and labelled in the truth; segment it first.")
    return Scores.from_confusion(matrix, names)
