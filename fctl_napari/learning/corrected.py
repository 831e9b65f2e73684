"""Corrections as fine-tuning reads them: what is held out, and what a tile is to learn (no torch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.analysis.connected import RegionFinder
from fctl_napari.analysis.walk import walk
from fctl_napari.errors import InputError
from fctl_napari.imagery.labels import LabelPyramid
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.learning.canvas import KIND
from fctl_napari.learning.corrections import Corrections
from fctl_napari.model.card import Card
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.segmentation.grid import IntWindow, intersect
from fctl_napari.segmentation.store import ATTRIBUTE

NOTHING = 0
"""Value of a px that nobody corrected."""

APART = 32
"""Regions nearer to each other than this stay on one side of the split, px: their pixels are nearly the same."""


class CorrectionSource(Protocol):
    """What fine-tuning needs to know of corrections; ``Corrections`` are such a source."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read a window: 0 nothing said, k + 1 class k, 255 not sure; 0 outside."""

    def boxes(self) -> list[IntWindow]:
        """Bounding boxes of the connected corrected regions, px."""


class LabelCorrections:
    """Any label image as corrections; its regions are found by reading all of it.

    Parameters
    ----------
    labels
        0 nothing said, k + 1 class k, 255 not sure.
    """

    def __init__(self, labels: LabelPyramid) -> None:
        self._labels = labels

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self._labels.shape

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read a window; 0 outside."""
        return self._labels.read(window)

    def boxes(self) -> list[IntWindow]:
        """Bounding boxes of the connected corrected regions, from the top, px."""
        height, width = self.shape
        whole = (0, 0, height, width)
        finder = RegionFinder(whole, width, smallest=1, most=height * width)
        for block in walk(whole, self._labels.chunk):
            painted = (self.read(block) != NOTHING).astype(np.uint8)
            finder.add(block, painted, painted)
        return sorted((int(r["y0"]), int(r["x0"]), int(r["y1"]), int(r["x1"])) for r in finder.finish())


def open_corrections(path: Path | str, image: Pyramid, card: Card) -> CorrectionSource:
    """Open corrections, or an OME-Zarr label image to be taken as such, for a checkpoint.

    Raises
    ------
    InputError
        It is neither, it belongs to another image, or its classes are not the checkpoint's.
    """
    labels = LabelPyramid.open(path)
    if labels.attributes.get(ATTRIBUTE, {}).get("kind") == KIND:
        return Corrections.open(path, image=image, class_table=card.classes)
    names = tuple(c["name"] for c in labels.classes)
    if names and names[: len(card.classes.names)] != card.classes.names:
        raise InputError(
            f"{path}: its classes ({', '.join(names)}) are not those of {card.name!r} "
            f"({', '.join(card.classes.names)}); use the checkpoint that they were painted for."
        )
    return LabelCorrections(labels)


@dataclass(frozen=True)
class Split:
    """Which corrected regions are trained on, and which are held out.

    Attributes
    ----------
    training, held_out
        Boxes, px; no box of one side meets a box of the other.
    note
        What there is to say to the user; empty if all is as asked.
    """

    training: tuple[IntWindow, ...]
    held_out: tuple[IntWindow, ...]
    note: str = ""


def split(boxes: Sequence[IntWindow], share: float, seed: int) -> Split:
    """Hold out a share of the regions; regions near each other stay together.

    Parameters
    ----------
    boxes
        Of the corrected regions, px.
    share
        To be held out, 0..1: of two groups of regions or more at least one is held out, and at least one is not.
    seed
        Decides which.
    """
    groups = join_near(boxes, APART)
    if share == 0:
        return Split(tuple(boxes), (), "Nothing is held out, as asked: the gate has no corrections to judge by.")
    if len(groups) < 2:
        note = "All corrections are one region, so none are held out: correct a second place, and the gate can judge."
        return Split(tuple(boxes), (), note)
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    chosen = set(np.random.default_rng([seed, 10]).permutation(len(groups))[:count].tolist())
    sides = [tuple(box for i, g in enumerate(groups) if (i in chosen) == out for box in g) for out in (False, True)]
    return Split(sides[0], sides[1])


def join_near(boxes: Sequence[IntWindow], distance: int) -> list[list[IntWindow]]:
    """Group boxes: those in one group are linked by gaps under ``distance`` px, and no box meets another group's."""
    groups: list[list[IntWindow]] = []
    for box in boxes:
        y0, x0, y1, x1 = box
        wide = (y0 - distance, x0 - distance, y1 + distance, x1 + distance)
        near = [group for group in groups if any(meet(wide, other) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), box])
    return groups


def meet(a: IntWindow, b: IntWindow) -> bool:
    """Whether two windows share a pixel."""
    y0, x0, y1, x1 = intersect(a, b)
    return y0 < y1 and x0 < x1


def lesson(corrections: CorrectionSource, window: IntWindow, hidden: Iterable[IntWindow] = ()) -> NDArray[np.uint8]:
    """Read what a tile is to learn.

    Parameters
    ----------
    corrections
        The corrections.
    window
        The tile, px.
    hidden
        Boxes whose corrected pixels are left out.

    Returns
    -------
    uint8 [y, x]
        0 where nothing was said, k + 1 for class k, 255 for what is left out: not sure, hidden, or outside the image.
    """
    values = corrections.read(window).copy()
    height, width = corrections.shape
    y0, x0, y1, x1 = window
    for box in hidden:
        part = intersect(box, window)
        if meet(box, window):
            inside = values[part[0] - y0 : part[2] - y0, part[1] - x0 : part[3] - x0]
            inside[inside != NOTHING] = NOT_SURE
    rows, columns = np.arange(y0, y1), np.arange(x0, x1)
    outside = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))[None, :]
    values[outside] = NOT_SURE
    return values


def only(values: NDArray[np.uint8], window: IntWindow, boxes: Iterable[IntWindow]) -> NDArray[np.uint8]:
    """Keep what lies in boxes, of a tile's values; 0 elsewhere."""
    y0, x0 = window[:2]
    kept = np.zeros_like(values)
    for box in boxes:
        if meet(box, window):
            part = intersect(box, window)
            place = slice(part[0] - y0, part[2] - y0), slice(part[1] - x0, part[3] - x0)
            kept[place] = values[place]
    return kept
