"""Corrections to learn from: ours, label images, and both in the classes of a checkpoint (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.correction_store import KIND
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.merge import values_by_name
from fctl_napari.correcting.regions import CorrectedBox
from fctl_napari.evaluation.blockwise import BLOCK, iter_blocks
from fctl_napari.evaluation.connected_components import RegionFinder
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.model.model_card import Card
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.windows import IntWindow

NOTHING = 0
"""Value of a pixel that is not corrected."""


class CorrectionSource(Protocol):
    """Interface of corrections for fine-tuning, which ``Corrections`` has."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open.

        Returns
        -------
        ndarray of uint8 [y, x]
            0 not corrected or outside, k + 1 class k, 255 not sure.
        """

    def boxes(self) -> Sequence[IntWindow]:
        """List the bounding boxes of the connected corrected regions, px, preferably as ``CorrectedBox``."""


class LabelCorrections:
    """Corrections in any label image, whose regions are found by reading all of it.

    Parameters
    ----------
    labels : LabelPyramid
        Label image: 0 not corrected, k + 1 class k, 255 not sure.
    names : sequence of str, optional
        Names of class 0, 1, ...
    """

    def __init__(self, labels: LabelPyramid, names: Sequence[str] = ()) -> None:
        self._labels = labels
        self._names = names

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self._labels.shape

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open.

        Returns
        -------
        ndarray of uint8 [y, x]
            0 not corrected or outside, k + 1 class k, 255 not sure.

        Raises
        ------
        InputError
            The classes have names, and the window holds one without. Or the label image is damaged there.
        """
        values = self._labels.read(window)
        if self._names:
            strays = values[(values > len(self._names)) & (values != NOT_SURE)]
            if strays.size:
                raise InputError(
                    f"{self._labels.path}: holds the value {int(strays[0])}, which none of its classes "
                    f"({', '.join(self._names)}) has; name it there, or paint it over."
                )
        return values

    def boxes(self) -> Sequence[IntWindow]:
        """Find the bounding boxes of the connected corrected regions.

        Returns
        -------
        sequence of IntWindow
            Boxes (y0, x0, y1, x1), px, from the top, with their classes if these have names.

        Raises
        ------
        InputError
            The classes have names, and there is one without.
        """
        height, width = self.shape
        whole = (0, 0, height, width)
        finder = RegionFinder(whole, width, smallest=1, most=height * width)
        for block in iter_blocks(whole, self._labels.chunk):
            mask = (self.read(block) != NOTHING).astype(np.uint8)
            finder.add(block, mask, mask)
        found = sorted((int(r["y0"]), int(r["x0"]), int(r["y1"]), int(r["x1"])) for r in finder.finish())
        return [with_classes(self, box, self._names) for box in found] if self._names else found


class ByName:
    """Corrections converted to the classes of a checkpoint, matched by name.

    Parameters
    ----------
    source : CorrectionSource
        The corrections.
    names : sequence of str
        Names of their class 0, 1, ...
    table : ClassTable
        The checkpoint's class table. A class that it lacks reads as not sure, so that the network does not learn that
        something else is there.
    """

    def __init__(self, source: CorrectionSource, names: Sequence[str], table: ClassTable) -> None:
        self._source = source
        self._values = values_by_name(names, table)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self._source.shape

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open.

        Returns
        -------
        ndarray of uint8 [y, x]
            0 not corrected or outside, k + 1 class k of the checkpoint, 255 not sure.
        """
        return self._values[self._source.read(window)]

    def boxes(self) -> Sequence[IntWindow]:
        """List the bounding boxes of the connected corrected regions, px, with all their classes."""
        return self._source.boxes()


def with_classes(source: CorrectionSource, box: IntWindow, names: Sequence[str]) -> CorrectedBox:
    """Find the classes that are painted in a box.

    Parameters
    ----------
    source : CorrectionSource
        The corrections.
    box : IntWindow
        (y0, x0, y1, x1), px, half open.
    names : sequence of str
        Names of class 0, 1, ...

    Returns
    -------
    CorrectedBox
        The box with its classes.
    """
    there = np.zeros(256, bool)
    for block in iter_blocks(box, BLOCK):
        there[np.unique(source.read(block))] = True
    return CorrectedBox(box, (name for value, name in enumerate(names, 1) if there[value]))


def open_corrections(path: Path | str, image: Pyramid, card: Card) -> CorrectionSource:
    """Open corrections, or an OME-Zarr label image as corrections, for a checkpoint.

    Classes are matched by name. Those of a label image without names are taken by their indices.

    Parameters
    ----------
    path : Path or str
        The corrections or the label image.
    image : Pyramid
        The image that they belong to.
    card : Card
        Model card of the checkpoint.

    Returns
    -------
    CorrectionSource
        The corrections in the checkpoint's classes.

    Raises
    ------
    InputError
        The path is neither, or it belongs to another image.
    """
    source, classes = open_with_classes(path, image)
    names = tuple(one["name"] for one in classes)
    return ByName(source, names, card.classes) if names else source


def open_with_classes(path: Path | str, image: Pyramid) -> tuple[CorrectionSource, list[dict[str, Any]]]:
    """Open corrections, or an OME-Zarr label image as corrections, in classes of their own.

    Parameters
    ----------
    path : Path or str
        The corrections or the label image.
    image : Pyramid
        The image that they belong to.

    Returns
    -------
    source : CorrectionSource
        The corrections.
    classes : list of dict of str to object
        Name and color of class 0, 1, ... Empty for a label image without names.

    Raises
    ------
    InputError
        The path is neither, or it belongs to another image.
    """
    labels = LabelPyramid.open(path)
    if labels.attributes.get(ATTRIBUTE, {}).get("kind") == KIND:
        corrections = Corrections.open(path, image=image)
        return corrections, [info.model_dump() for info in corrections.class_table.scored]
    classes = [dict(one) for one in labels.classes]
    return LabelCorrections(labels, [one["name"] for one in classes]), classes


def check_size(source: CorrectionSource, image: Pyramid, path: Path | str) -> None:
    """Refuse corrections of another size than their image.

    Parameters
    ----------
    source : CorrectionSource
        The corrections.
    image : Pyramid
        The image.
    path : Path or str
        Path of the corrections, for people.

    Raises
    ------
    InputError
        The sizes differ.
    """
    if source.shape != image.shape:
        (h, w), (height, width) = source.shape, image.shape
        raise InputError(
            f"{path}: is {h} x {w} px where its image is {height} x {width}; corrections belong to an image of "
            "their own size."
        )
