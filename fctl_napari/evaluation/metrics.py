"""Confusion matrix, IoU, F1, precision, recall and accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fctl_napari.evaluation.ground_truth import check_indices
from fctl_napari.model.classes import IGNORE, background_of, foreground_of
from fctl_napari.words import count_of


def confusion_matrix(ground_truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each true class was predicted as each class.

    Parameters
    ----------
    ground_truth, prediction : ndarray of uint8
        Class indices, of equal shape. Pixels where either is 255 are left out: ignored in the ground truth, or not
        computed.
    classes : int
        Number of classes; indices 0 .. classes - 1.

    Returns
    -------
    ndarray of int64 [classes, classes]
        Counts; rows are the ground truth, columns the prediction.

    Raises
    ------
    InputError
        An index is neither a class nor 255.
    ValueError
        The shapes differ.
    """
    ground_truth, prediction = np.asarray(ground_truth), np.asarray(prediction)
    if ground_truth.shape != prediction.shape:
        raise ValueError(f"ground truth {ground_truth.shape} and prediction {prediction.shape} differ in shape")
    counted = (ground_truth != IGNORE) & (prediction != IGNORE)
    rows, columns = ground_truth[counted].astype(np.intp), prediction[counted].astype(np.intp)
    for name, values in (("ground truth", rows), ("prediction", columns)):
        check_indices(name, int(values.max(initial=0)), classes)
    counts = np.bincount(rows * classes + columns, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True)
class Scores:
    """Figures of a segmentation against its ground truth.

    Each lies in 0..1, or is NaN where it is undefined.

    Attributes
    ----------
    iou, f1_by_class, precision, recall : dict of str to float
        Figures by class name. IoU and F1 = 2 IoU / (1 + IoU) are NaN for a class that is in neither ground truth nor
        prediction, precision for one that is never predicted, recall for one that is not in the ground truth.
    miou : float
        Mean IoU over the classes that are in ground truth or prediction. Pixels that the ground truth ignores are
        dropped.
    miou_without_background : float or None
        The same mean without the background, whose pixels still count against the other classes. None where no class is
        called so, see :func:`~fctl_napari.model.classes.background_of`. (The code of GLNet and FCtL leaves out class 0,
        which is *unknown* in their tables, and gives a class that is nowhere an IoU of 0; here it is left out.)
    f1 : float
        Mean F1 over the classes of ``miou``.
    accuracy : float
        Share of the scored pixels that are right.
    pixels : int
        Number of scored pixels.
    """

    iou: dict[str, float]
    f1_by_class: dict[str, float]
    precision: dict[str, float]
    recall: dict[str, float]
    miou: float
    miou_without_background: float | None
    f1: float
    accuracy: float
    pixels: int

    @classmethod
    def from_confusion(cls, matrix: np.ndarray, names: Sequence[str]) -> Scores:
        """Compute the figures from a confusion matrix.

        Parameters
        ----------
        matrix : ndarray of int64 [classes, classes]
            Counts of pixels; rows are the ground truth, columns the prediction.
        names : sequence of str
            Names of class 0, 1, ...

        Returns
        -------
        Scores
            Figures by class, and their means.

        Raises
        ------
        ValueError
            The shape of the matrix does not fit the names.
        """
        if matrix.shape != (len(names), len(names)):
            raise ValueError(f"a {matrix.shape} matrix does not fit {len(names)} names")
        right = np.diagonal(matrix).astype(np.float64)
        there, predicted = matrix.sum(1), matrix.sum(0)
        iou = _ratio(right, there + predicted - right)
        f1 = 2 * iou / (1 + iou)
        total, background = int(matrix.sum()), background_of(names)
        return cls(
            iou=_by_name(names, iou),
            f1_by_class=_by_name(names, f1),
            precision=_by_name(names, _ratio(right, predicted)),
            recall=_by_name(names, _ratio(right, there)),
            miou=mean(iou),
            miou_without_background=None if background is None else mean(np.delete(iou, background)),
            f1=mean(f1),
            accuracy=float(right.sum() / total) if total else math.nan,
            pixels=total,
        )

    @property
    def headline(self) -> tuple[str, float]:
        """The figure by which networks are compared, with its name: see :func:`headline`."""
        return headline(self.iou, self.miou)

    def mean_ious(self) -> dict[str, float]:
        """Return the mean IoUs by what is in them, the one by which networks are compared first.

        Returns
        -------
        dict of str to float
            ``"mIoU of all 5 classes"``, or ``"mIoU of the 4 of 5 classes that occur"``. Where a class is the background
            also the mean without it; of one class beside it that is ``"IoU of building"``, and stands first.
        """
        names = list(self.iou)
        total, known = len(names), sum(not math.isnan(value) for value in self.iou.values())
        every = f"all {count_of(total, 'class')}" if known == total else f"the {known} of {total} classes that occur"
        found = {f"mIoU of {every}": self.miou}
        background, foreground = background_of(names), foreground_of(names)
        if foreground is not None:
            return {f"IoU of {names[foreground]}": self.iou[names[foreground]], **found}
        if background is not None and self.miou_without_background is not None:
            found[f"mIoU without {names[background]}"] = self.miou_without_background
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain ``{"miou", "accuracy", "f1", "iou": {name: value}}``, as in model cards, with None for NaN."""
        return {
            "miou": plain(self.miou),
            "accuracy": plain(self.accuracy),
            "f1": plain(self.f1),
            "iou": {name: plain(value) for name, value in self.iou.items()},
        }


def headline(iou: Mapping[str, float | None], miou: float) -> tuple[str, float]:
    """Choose the figure by which networks are compared.

    With one class beside a background it is the IoU of that class: what papers call mIoU on Inria Aerial, where
    F1 = 2 IoU / (1 + IoU) holds between their figures. Else it is the mean IoU of all classes.

    Parameters
    ----------
    iou : mapping of str to float or None
        IoU by class, all classes in their order.
    miou : float
        Mean IoU of all classes.

    Returns
    -------
    name : str
        ``"mIoU"`` or ``"IoU of building"``.
    value : float
        The figure, 0..1. NaN if it is undefined.
    """
    names = list(iou)
    foreground = foreground_of(names)
    if foreground is None:
        return "mIoU", miou
    value = iou[names[foreground]]
    return f"IoU of {names[foreground]}", math.nan if value is None else value


def mean(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN.

    Parameters
    ----------
    values : ndarray of float64
        Values, some of which may be NaN.

    Returns
    -------
    float
        The mean; NaN if there is no such value.
    """
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else math.nan


def plain(value: float) -> float | None:
    """Convert a figure for JSON, which knows no NaN.

    Parameters
    ----------
    value : float
        The figure.

    Returns
    -------
    float or None
        The figure, or None for NaN.
    """
    return None if math.isnan(value) else float(value)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """Give each value its class name."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}
