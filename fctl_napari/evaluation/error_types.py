"""Kinds of errors of pixels (missed, falsely found, confused), looked up in tables without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.model.classes import IGNORE

NOTHING = 0
"""Kind of pixels that are right, or not judged because there is no ground truth or nothing computed."""
FALSE_NEGATIVE, FALSE_POSITIVE, CONFUSED, HIGHLIGHTED = 1, 2, 3, 4
"""Kinds of errors for the class of interest, and the highlighted pair of true and predicted class."""
FIRST_RIGHT, SECOND_RIGHT, BOTH_WRONG, NOT_JUDGED = 1, 2, 3, 4
"""Kinds of differences of two segmentations, by which of them is right. Not judged: there is no ground truth."""

Color = tuple[int, int, int]

Kinds = Callable[[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]
"""Function of (ground truth, prediction, prediction of a second segmentation), class indices with 255 = none, that
returns kinds."""


@dataclass(frozen=True)
class ErrorColors:
    """Colors of errors, RGB 0..255.

    Attributes
    ----------
    false_negative : Color
        Color of pixels that were missed.
    false_positive : Color
        Color of pixels that were found where the class is not.
    confused : Color
        Color of one foreground class predicted as another: a miss of the one, a false find of the other.
    highlighted : Color
        Color of the highlighted pair of true and predicted class.
    """

    false_negative: Color
    false_positive: Color
    confused: Color
    highlighted: Color = (255, 230, 0)


PAPER = ErrorColors((0, 0, 255), (255, 0, 0), (170, 0, 200))
"""Colors as in Fig. 8 of the paper: what was missed is blue, what was falsely found red."""
COLOR_BLIND = ErrorColors((0, 114, 178), (213, 94, 0), (204, 121, 167), (240, 228, 66))
"""Blue, vermillion, reddish purple and yellow of Okabe and Ito's set, which most color-blind people tell apart."""


def error_table(positive: int | None = None, background: int | None = None) -> NDArray[np.uint8]:
    """Make the table of kinds of errors by true and predicted class.

    Parameters
    ----------
    positive : int or None, optional
        Class whose misses and false finds are of interest. With None, every class but the background is foreground; one
        foreground class predicted as another is ``CONFUSED``.
    background : int or None, optional
        Class that is the background. With None there is none, and without a class of interest all errors are
        ``CONFUSED``.

    Returns
    -------
    ndarray of uint8 [256, 256]
        Kinds by class index of the ground truth and of the prediction. 255, no class, is not judged.
    """
    ground_truth, predicted = _indices()
    there, found = (
        (ground_truth != background, predicted != background)
        if positive is None
        else (ground_truth == positive, predicted == positive)
    )
    wrong = _judged() & (ground_truth != predicted)
    table = np.zeros((256, 256), np.uint8)
    table[wrong & there & ~found] = FALSE_NEGATIVE
    table[wrong & found & ~there] = FALSE_POSITIVE
    if positive is None:
        table[wrong & found & there] = CONFUSED
    return table


def confusion_table(ground_truth: int | None = None) -> NDArray[np.uint8]:
    """Make the table of predicted classes of errors.

    Parameters
    ----------
    ground_truth : int or None, optional
        True class to which the table is restricted. None means all.

    Returns
    -------
    ndarray of uint8 [256, 256]
        Predicted class k as k + 1, and 0 where nothing is wrong. The indices are those of :func:`error_table`.
    """
    was, predicted = _indices()
    shown = _judged() & (was != predicted)
    if ground_truth is not None:
        shown &= was == ground_truth
    return np.where(shown, predicted + 1, NOTHING).astype(np.uint8)


def pair_table(ground_truth: int, predicted: int) -> NDArray[np.uint8]:
    """Make the table that highlights one pair of true and predicted class.

    Parameters
    ----------
    ground_truth, predicted : int
        Class indices of the pair; they may be equal.

    Returns
    -------
    ndarray of uint8 [256, 256]
        ``HIGHLIGHTED`` at the pair, else 0. The indices are those of :func:`error_table`.
    """
    table = np.zeros((256, 256), np.uint8)
    table[ground_truth, predicted] = HIGHLIGHTED
    return table


def by_table(table: NDArray[np.uint8]) -> Kinds:
    """Make a function that looks kinds up by true and predicted class alone.

    Parameters
    ----------
    table : ndarray of uint8 [256, 256]
        Kinds, as :func:`error_table` gives them.

    Returns
    -------
    Kinds
        Function of ground truth, prediction and a second prediction, which it ignores.
    """
    flat = np.ascontiguousarray(table).ravel()

    def kinds(
        ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8], _second: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        pairs = ground_truth.astype(np.uint16)
        pairs <<= 8
        pairs |= predicted
        return flat[pairs]

    return kinds


def comparison_kinds(
    ground_truth: NDArray[np.uint8], first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Find where two segmentations differ, and which of them is right.

    Parameters
    ----------
    ground_truth, first, second : ndarray of uint8
        Class indices, 255 = none, of equal shape. Where either segmentation has none, nothing is compared. Where only
        the ground truth has none, the difference is ``NOT_JUDGED``.

    Returns
    -------
    ndarray of uint8
        Of the same shape: ``FIRST_RIGHT``, ``SECOND_RIGHT``, ``BOTH_WRONG`` (differently), ``NOT_JUDGED``, else 0.
    """
    differ = (first != second) & (first != IGNORE) & (second != IGNORE)
    kinds = np.where(differ, np.uint8(BOTH_WRONG), np.uint8(NOTHING))
    kinds[differ & (ground_truth == first)] = FIRST_RIGHT
    kinds[differ & (ground_truth == second)] = SECOND_RIGHT
    kinds[differ & (ground_truth == IGNORE)] = NOT_JUDGED
    return kinds


def difference_kinds(
    _ground_truth: NDArray[np.uint8], first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Find the classes of the first of two segmentations where they differ.

    Parameters
    ----------
    _ground_truth : ndarray of uint8
        Ignored; it makes the function one of ``Kinds``.
    first, second : ndarray of uint8
        Class indices, 255 = none, of equal shape.

    Returns
    -------
    ndarray of uint8
        Class k of the first as k + 1 where they differ, and 0 elsewhere.
    """
    differ = (first != second) & (first != IGNORE) & (second != IGNORE)
    return np.where(differ, first + np.uint8(1), np.uint8(NOTHING))


def _indices() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the class indices of ground truth and prediction of each entry of a table."""
    ground_truth, predicted = np.indices((256, 256))
    return ground_truth, predicted


def _judged() -> NDArray[np.bool_]:
    """Return a table that is True where both ground truth and prediction have a class."""
    ground_truth, predicted = _indices()
    return (ground_truth != IGNORE) & (predicted != IGNORE)
