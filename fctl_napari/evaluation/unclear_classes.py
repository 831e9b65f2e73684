"""Hints that the values of a ground truth may be read as other classes than they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.ground_truth import GroundTruth
from fctl_napari.imagery.labels.label_source import LabelSource

MIXED_UP = 0.6
"""Accuracy from which on another order of the classes is reported."""

STATE_VALUES = (
    "if a value there stands for it (255 is no class), state it with --map FILE (in Python: mapping): "
    '{"values": {"0": "background", "255": "building"}}'
)
"""What to do about a value that may stand for a class, where a mapping can be given."""

STATE_ORDER = "check how its values are read, or state it with --map FILE (in Python: mapping)"
"""What to do about classes that seem to be mixed up, where a mapping can be given."""


def hints_on(
    ground_truth: GroundTruth,
    confusion: NDArray[np.int64],
    names: Sequence[str],
    *,
    predicted: Sequence[str],
    dropped: int,
    advice: tuple[str, str] = (STATE_VALUES, STATE_ORDER),
) -> list[str]:
    """Return what seems to be wrong with the classes of a ground truth, by the px that were compared with it.

    Parameters
    ----------
    ground_truth : GroundTruth
        The ground truth.
    confusion : ndarray of int64 [classes, classes]
        Number of px by true class (row) and predicted class (column).
    names : sequence of str
        Names of the classes of ``confusion``.
    predicted : sequence of str
        Names of the classes that the network predicts.
    dropped : int
        Number of px that were not scored.
    advice : tuple of 2 str, optional
        What to do about a value that may stand for a class, and about classes that seem to be mixed up.

    Returns
    -------
    list of str
        Sentences; empty where nothing seems to be wrong.
    """
    absent = [name for name, px in zip(names, confusion.sum(axis=1), strict=True) if not px and name in predicted]
    hints = []
    if absent and dropped and _read_by_value(ground_truth):
        hints.append(
            f"{dropped} px were not scored, and nothing in the ground truth is {', '.join(absent)}; {advice[0]}"
        )
    likely = likely_order(confusion)
    if likely is not None:
        order, share = likely
        pairs = ", ".join(f"{names[k]} is {names[m]}" for k, m in order.items())
        accuracy = confusion.trace() / confusion.sum()
        hints.append(
            f"the classes of the ground truth seem to be mixed up: accuracy is {accuracy:.4f}, and {share:.4f} if what "
            f"it calls {pairs}; {advice[1]}"
        )
    return hints


def likely_order(confusion: NDArray[np.int64]) -> tuple[dict[int, int], float] | None:
    """Find the likely order of the classes of a ground truth, if they seem to be mixed up.

    Parameters
    ----------
    confusion : ndarray of int64 [classes, classes]
        Number of px by true class (row) and predicted class (column).

    Returns
    -------
    tuple of (dict of int to int, float) or None
        The class that each moved class of the ground truth seems to be, and the accuracy then. None where the classes
        as they are fit about as well as in any other order, or no px was compared.
    """
    from scipy.optimize import linear_sum_assignment

    total = confusion.sum()
    if not total:
        return None
    rows, columns = linear_sum_assignment(confusion, maximize=True)
    share = float(confusion[rows, columns].sum() / total)
    if share < MIXED_UP or 2 * confusion.trace() / total > share:
        return None
    moved = {k: m for k, m in zip(rows.tolist(), columns.tolist(), strict=True) if k != m and confusion[k, m]}
    return moved, share


def _read_by_value(ground_truth: GroundTruth) -> bool:
    """Return whether a ground truth is a mask that counts by its values alone.

    Published masks use 255 for a class, for example.
    """
    return isinstance(ground_truth, LabelSource) and ground_truth.class_names is None and not ground_truth.by_color
