"""Ground truth that a segmentation is compared with: labels, or another segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.class_names import match_names
from fctl_napari.imagery.labels.readable import ReadableLabels
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.segmentation.store.identity import contradict
from fctl_napari.segmentation.store.stored_image import note_on_image
from fctl_napari.windows import IntWindow

STRANGE = 254
"""Class index of pixels whose class has no name among named classes: no table has so many."""


class Comparable(Protocol):
    """Classes and confidences that are compared with a ground truth: a ``Segmentation``, or a final map.

    Attributes
    ----------
    path : Path
        Folder of the store.
    class_table : ClassTable
        The classes.
    facts : dict of str to object
        Description of the store (JSON).
    """

    path: Path
    class_table: ClassTable
    facts: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    @property
    def predicted_classes(self) -> ClassTable:
        """Classes of the network, the first of ``class_table``, by whose numbers a mask without names counts."""

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image, or None if it has none."""

    @property
    def labels(self) -> ReadableLabels:
        """Classes: 0 = none, k + 1 = class k."""

    @property
    def confidence(self) -> ReadableLabels:
        """Confidence of the network, 1..255, and 0 where it has none."""

    def inherited_in(self, region: IntWindow) -> int:
        """Count the cells that hold a parent's predictions and meet a region.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        int
            Number of cells.
        """


class GroundTruth(Protocol):
    """Class indices that are read by windows: a ``LabelSource``, or anything like it."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of class 0, 1, ..., or None where they are not known."""

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read the class indices of a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1) px; may reach outside the image.

        Returns
        -------
        ndarray of uint8 [h, w]
            Class indices; 255 where there is no class, and outside.
        """


def scored_classes(segmentation: Comparable, ground_truth: GroundTruth) -> NDArray[np.uint8]:
    """Check that a ground truth fits a segmentation, and match its classes to those of the segmentation.

    A ground truth that names its classes counts by their names. Names that the segmentation does not know are not
    scored. One without names counts by the numbers of the network's classes, whatever was painted since.

    Parameters
    ----------
    segmentation : Comparable
        An opened store, or a final map.
    ground_truth : GroundTruth
        Ground truth of the same image.

    Returns
    -------
    ndarray of uint8 [256]
        Class index of the segmentation by class index of the ground truth, 255 for what is not scored. An index without
        a class stays one.

    Raises
    ------
    InputError
        The ground truth has another size, or names its classes and the segmentation knows none of them.
    """
    table = segmentation.class_table
    names = table.names
    height, width = segmentation.shape
    if tuple(ground_truth.shape) != (height, width):
        raise InputError(
            f"the ground truth is {ground_truth.shape[0]} x {ground_truth.shape[1]} px (height x width) and the "
            f"segmentation {height} x {width}; give the ground truth of the same image."
        )
    scored = np.arange(256, dtype=np.uint8)
    predicted = segmentation.predicted_classes
    scored[len(predicted.names) : len(predicted)] = IGNORE
    if ground_truth.class_names is None:
        return scored
    match = match_names(ground_truth.class_names, [info.name for info in table])
    if not match.matched:
        raise InputError(
            f"the ground truth's classes are {', '.join(ground_truth.class_names)} and the segmentation's "
            f"{', '.join(names)}; use a checkpoint of the same classes, or map them."
        )
    scored[:IGNORE] = STRANGE
    for k, index in enumerate(match.index[:STRANGE]):
        scored[k] = IGNORE if index is None or index >= len(names) else index
    return scored


def notes_on(segmentation: Comparable, ground_truth: GroundTruth) -> list[str]:
    """Describe how a ground truth is read, and the classes that it and a segmentation do not share.

    Parameters
    ----------
    segmentation : Comparable
        An opened store, or a final map.
    ground_truth : GroundTruth
        Ground truth of the same image.

    Returns
    -------
    list of str
        Notes for people; empty where there is nothing to note.
    """
    said = [note] if (note := getattr(ground_truth, "note", "")) else []
    of_another = note_on_image(getattr(ground_truth, "path", None), segmentation.facts["image"])
    said += [of_another] if of_another else []
    if ground_truth.class_names is not None:
        match = match_names(segmentation.class_table.names, ground_truth.class_names)
        others = [name for name in match.unused if name and name not in _ignored(segmentation)]
        if others:
            said.append(f"{', '.join(others)} of the ground truth is no class of the segmentation, and is not scored")
        if match.missing:
            said.append(f"the ground truth has no {', '.join(match.missing)}")
    return said


def _ignored(segmentation: Comparable) -> list[str]:
    """Return the names of the segmentation's ignored classes."""
    return [info.name for info in segmentation.class_table if info.ignored]


def check_indices(name: str, highest: int, classes: int) -> None:
    """Refuse class indices that belong to no class.

    Parameters
    ----------
    name : str
        Name of the array they come from, for the error.
    highest : int
        The highest index that is not 255.
    classes : int
        Number of classes.

    Raises
    ------
    InputError
        The index belongs to no class.
    """
    if highest >= classes:
        raise InputError(
            f"the {name} holds class index {highest}, but there are {classes} classes (0 to {classes - 1}; "
            f"{IGNORE} is ignored); map its values first."
        )


class SegmentationAsGroundTruth:
    """A segmentation or a final map that is read like a ground truth, so that another one can be compared with it.

    Parameters
    ----------
    segmentation : Comparable
        An opened store, or a final map.
    other : Comparable
        The segmentation that is compared with it. The indices read are those of its class table.

    Raises
    ------
    InputError
        The two are of different images, or their classes have not the same names.
    """

    def __init__(self, segmentation: Comparable, other: Comparable) -> None:
        (height, width), (rows, columns) = segmentation.shape, other.shape
        if (height, width) != (rows, columns):
            raise InputError(
                f"{segmentation.path}: is {height} x {width} px (height x width) and {other.path} {rows} x {columns}; "
                "compare segmentations of one image."
            )
        if contradict(segmentation.facts["image"], other.facts["image"]):
            raise InputError(
                f"{segmentation.path}: is of another image than {other.path}; compare segmentations of one image."
            )
        own, names = segmentation.class_table.names, other.class_table.names
        match = match_names(own, names)
        if match.missing or match.unused:
            raise InputError(
                f"{segmentation.path}: its classes are {', '.join(own)} and those of {other.path} {', '.join(names)}; "
                f"compare segmentations of the same classes."
            )
        self.shape = segmentation.shape
        self.class_names: tuple[str, ...] | None = names
        self._labels = segmentation.labels
        self._index = np.full(256, IGNORE, np.uint8)  # by label value; 0 is not computed
        self._index[1 : len(own) + 1] = [k for k in match.index if k is not None]

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read the class indices of a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1) px; may reach outside the image.

        Returns
        -------
        ndarray of uint8 [h, w]
            Class indices; 255 where nothing is computed, and outside.
        """
        return self._index[self._labels.read(window)]
