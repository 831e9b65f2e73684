"""Ground truth that is chosen in a tab, as the other tabs know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fctl_napari.evaluation.ground_truth import GroundTruth


@dataclass(frozen=True, eq=False)
class ChosenGroundTruth:
    """A ground truth that a segmentation is compared with.

    Attributes
    ----------
    ground_truth : GroundTruth
        The ground truth, opened.
    name : str
        Its name for people.
    path : Path or None
        Its file or label group. None if it is only in memory.
    """

    ground_truth: GroundTruth
    name: str
    path: Path | None
