"""What a pixel is beside its truth - missed, falsely found, confused - looked up in tables (no torch)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.model.classes import IGNORE

NOTHING = 0
"""Right, or not judged: no truth here, or nothing computed."""
FALSE_NEGATIVE, FALSE_POSITIVE, CONFUSED, HIGHLIGHTED = 1, 2, 3, 4
"""What an error is for the class that is looked at; and what was asked for by truth and call."""
FIRST_RIGHT, SECOND_RIGHT, BOTH_WRONG, NOT_JUDGED = 1, 2, 3, 4
"""Where two segmentations differ: who is right. Not judged: there is no truth."""

Color = tuple[int, int, int]

Kinds = Callable[[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]
"""(truth, called, called by a second segmentation), class indices with 255 = none, to kinds."""


@dataclass(frozen=True)
class ErrorColors:
    """Colours of errors, RGB 0..255.

    Attributes
    ----------
    false_negative
        What was missed.
    false_positive
        What was found where it is not.
    confused
        One foreground class called another: a miss of the one, a false find of the other.
    highlighted
        What was asked for by truth and call.
    """

    false_negative: Color
    false_positive: Color
    confused: Color
    highlighted: Color = (255, 230, 0)


PAPER = ErrorColors((0, 0, 255), (255, 0, 0), (170, 0, 200))
"""As in Fig. 8 of the paper: what was missed is blue, what was falsely found red."""
COLOUR_BLIND = ErrorColors((0, 114, 178), (213, 94, 0), (204, 121, 167), (240, 228, 66))
"""Blue, vermillion, reddish purple and yellow of Okabe and Ito's set, which most colour-blind people tell apart."""


def error_table(positive: int | None = None) -> NDArray[np.uint8]:
    """Kinds of errors by truth and call.

    Parameters
    ----------
    positive
        The class whose misses and false finds are looked at. None: class 0 counts as the background and every other
        class as foreground; one foreground class called another is ``CONFUSED``.

    Returns
    -------
    uint8 [256, 256], by class index of the truth and of the call; 255, no class, is not judged.
    """
    truth, called = _indices()
    there, found = (truth != 0, called != 0) if positive is None else (truth == positive, called == positive)
    wrong = _judged() & (truth != called)
    table = np.zeros((256, 256), np.uint8)
    table[wrong & there & ~found] = FALSE_NEGATIVE
    table[wrong & found & ~there] = FALSE_POSITIVE
    if positive is None:
        table[wrong & found & there] = CONFUSED
    return table


def confusion_table(truth: int | None = None) -> NDArray[np.uint8]:
    """What errors were called: class k as k + 1, and 0 where nothing is wrong.

    Parameters
    ----------
    truth
        Only of what is this class in truth; by default of all.

    Returns
    -------
    uint8 [256, 256]; see ``error_table``.
    """
    was, called = _indices()
    shown = _judged() & (was != called)
    if truth is not None:
        shown &= was == truth
    return np.where(shown, called + 1, NOTHING).astype(np.uint8)


def pair_table(truth: int, called: int) -> NDArray[np.uint8]:
    """``HIGHLIGHTED`` where the truth is one class and the call another (or the same); see ``error_table``."""
    table = np.zeros((256, 256), np.uint8)
    table[truth, called] = HIGHLIGHTED
    return table


def by_table(table: NDArray[np.uint8]) -> Kinds:
    """Kinds by truth and call alone."""
    flat = np.ascontiguousarray(table).ravel()

    def kinds(truth: NDArray[np.uint8], called: NDArray[np.uint8], _second: NDArray[np.uint8]) -> NDArray[np.uint8]:
        places = truth.astype(np.uint16)
        places <<= 8
        places |= called
        return flat[places]

    return kinds


def comparison_kinds(
    truth: NDArray[np.uint8], first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Where two segmentations differ, and which of them is right.

    Parameters
    ----------
    truth, first, second
        Class indices, 255 = none. Where either segmentation has none, nothing is compared; where only the truth has
        none the difference is ``NOT_JUDGED``.

    Returns
    -------
    uint8 of the same shape: ``FIRST_RIGHT``, ``SECOND_RIGHT``, ``BOTH_WRONG`` (differently), ``NOT_JUDGED``.
    """
    differ = (first != second) & (first != IGNORE) & (second != IGNORE)
    kinds = np.where(differ, np.uint8(BOTH_WRONG), np.uint8(NOTHING))
    kinds[differ & (truth == first)] = FIRST_RIGHT
    kinds[differ & (truth == second)] = SECOND_RIGHT
    kinds[differ & (truth == IGNORE)] = NOT_JUDGED
    return kinds


def difference_kinds(
    _truth: NDArray[np.uint8], first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """What the first of two segmentations says where they differ: class k as k + 1, and 0 elsewhere."""
    differ = (first != second) & (first != IGNORE) & (second != IGNORE)
    return np.where(differ, first + np.uint8(1), np.uint8(NOTHING))


def _indices() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    truth, called = np.indices((256, 256))
    return truth, called


def _judged() -> NDArray[np.bool_]:
    truth, called = _indices()
    return (truth != IGNORE) & (called != IGNORE)
