"""Hints that the values of a ground truth may be read as other classes than they are."""

from __future__ import annotations

from collections.abc import Sequence

from fctl_napari.evaluation.evaluation import Evaluation
from fctl_napari.evaluation.ground_truth import GroundTruth
from fctl_napari.imagery.labels.label_source import LabelSource


def hints_on(ground_truth: GroundTruth, evaluation: Evaluation, predicted: Sequence[str]) -> list[str]:
    """Return what seems to be wrong with the classes of a ground truth, by the figures of a map.

    Parameters
    ----------
    ground_truth : GroundTruth
        The ground truth.
    evaluation : Evaluation
        Figures of a map against it.
    predicted : sequence of str
        Names of the classes that the network predicts.

    Returns
    -------
    list of str
        Sentences; empty where nothing seems to be wrong.
    """
    hints = [hint for hint in (_unmapped(ground_truth, evaluation, predicted),) if hint is not None]
    if evaluation.mixed_up is not None:
        moved, share = evaluation.mixed_up
        pairs = ", ".join(f"{one} is {other}" for one, other in moved.items())
        hints.append(
            f"the classes of the ground truth seem to be mixed up: accuracy is {evaluation.scores.accuracy:.4f}, and "
            f"{share:.4f} if what it calls {pairs}; check how its values are read, or state it with --map FILE (in "
            "Python: mapping)"
        )
    return hints


def _unmapped(ground_truth: GroundTruth, evaluation: Evaluation, predicted: Sequence[str]) -> str | None:
    """Return a hint if values of the ground truth may stand for a predicted class that no pixel of it has.

    Published masks use 255 for a class, for example.
    """
    px_by_class = zip(evaluation.names, evaluation.confusion.sum(axis=1), strict=True)
    absent = [name for name, px in px_by_class if not px and name in predicted]
    y0, x0, y1, x1 = evaluation.region
    dropped = (y1 - y0) * (x1 - x0) - evaluation.scores.pixels
    if (
        not absent
        or not dropped
        or ground_truth.class_names is not None
        or not isinstance(ground_truth, LabelSource)
        or ground_truth.by_color
    ):
        return None
    return (
        f"{dropped} px were not scored, and nothing in the ground truth is {', '.join(absent)}; if a value there "
        "stands for it (255 is no class), state it with --map FILE (in Python: mapping): "
        '{"values": {"0": "background", "255": "building"}}'
    )
