"""What a segmentation is compared with: a truth, or another segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.imagery.level import IntWindow
from fctl_napari.model.classes import IGNORE
from fctl_napari.segmentation.identity import contradict

if TYPE_CHECKING:
    from fctl_napari.segmentation.store import Segmentation


class Truth(Protocol):
    """Class indices, read by windows: a `LabelSource`, or anything like it."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) px."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of class 0, 1, ..., where they are known."""

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices of a window, (y0, x0, y1, x1) px; 255 where there is no class, and outside."""


def scored_classes(segmentation: Segmentation, truth: Truth) -> NDArray[np.uint8]:
    """Check that a truth fits a segmentation, and say which of its classes count.

    Returns
    -------
    uint8 [256]: each class index itself, but 255 for the classes that the segmentation's table ignores.

    Raises
    ------
    InputError
        The truth has another size or other classes.
    """
    names = segmentation.class_table.names
    height, width = segmentation.shape
    if tuple(truth.shape) != (height, width):
        raise InputError(
            f"the truth is {truth.shape[0]} x {truth.shape[1]} px (height x width) and the segmentation {height} x "
            f"{width}; give the truth of the same image."
        )
    if truth.class_names is not None and truth.class_names[: len(names)] != names:
        raise InputError(
            f"the truth's classes are {', '.join(truth.class_names)} and the segmentation's {', '.join(names)}; use a "
            f"checkpoint of the same classes, or map them."
        )
    scored = np.arange(256, dtype=np.uint8)
    scored[len(names) : len(segmentation.class_table)] = IGNORE
    return scored


def check_indices(name: str, highest: int, classes: int) -> None:
    """Refuse class indices that are none.

    Parameters
    ----------
    name
        Whose they are.
    highest
        The highest one that is not 255.
    classes
        How many there are.

    Raises
    ------
    InputError
        It is no class.
    """
    if highest >= classes:
        raise InputError(
            f"the {name} holds class index {highest}, but there are {classes} classes (0 to {classes - 1}; "
            f"{IGNORE} is ignored); map its values first."
        )


class SegmentationAsTruth:
    """A segmentation, read like a truth: another one can be compared with it.

    Parameters
    ----------
    segmentation
        An opened store.
    other
        The segmentation that is compared with it; the indices read are those of its class table.

    Raises
    ------
    InputError
        The two are of different images, or their classes have not the same names.
    """

    def __init__(self, segmentation: Segmentation, other: Segmentation) -> None:
        if contradict(segmentation.facts["image"], other.facts["image"]):
            raise InputError(
                f"{segmentation.path}: is of another image than {other.path}; compare segmentations of one image."
            )
        own, names = segmentation.class_table.names, other.class_table.names
        if set(own) != set(names):
            raise InputError(
                f"{segmentation.path}: its classes are {', '.join(own)} and those of {other.path} {', '.join(names)}; "
                f"compare segmentations of the same classes."
            )
        self.shape = segmentation.shape
        self.class_names: tuple[str, ...] | None = names
        self._labels = segmentation.labels
        self._index = np.full(256, IGNORE, np.uint8)  # of label values: 0 is not computed
        self._index[1 : len(own) + 1] = [names.index(name) for name in own]

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices of a window, (y0, x0, y1, x1) px; 255 where nothing is computed, and outside."""
        return self._index[self._labels.read(window)]
