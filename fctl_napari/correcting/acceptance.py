"""Acceptance of a prediction: px of an image are painted as the classes that a segmentation has there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.merge import values_by_name
from fctl_napari.correcting.strokes import Stroke
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import contradict
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, Window

PIECE = 2048
"""Side of the pieces that are accepted one after the other, px."""


class Area(Protocol):
    """Px to accept, such as ``DrawnArea`` and ``evaluation.selected_region.SelectedRegion``."""

    @property
    def window(self) -> IntWindow:
        """Bounding box, (y0, x0, y1, x1) px."""

    def mask(self, window: IntWindow) -> NDArray[np.bool_]:
        """Return the px of a window that belong to it.

        Parameters
        ----------
        window : IntWindow
            Window of the image, (y0, x0, y1, x1) px.

        Returns
        -------
        ndarray of bool [y, x]
            True at its px.
        """


@dataclass(frozen=True, eq=False)
class DrawnArea:
    """Pixels of an image under a drawn shape: those whose center it holds.

    Attributes
    ----------
    window : IntWindow
        Bounding box of the shape, (y0, x0, y1, x1) px, clipped to the image.
    corners : ndarray of float64 [n, 2]
        Corners of its outline, (y, x) px. Pixel i covers [i, i + 1).
    """

    window: IntWindow
    corners: NDArray[np.float64]

    def mask(self, window: IntWindow) -> NDArray[np.bool_]:
        """Return the px of a window that lie under the shape.

        Parameters
        ----------
        window : IntWindow
            Window of the image, (y0, x0, y1, x1) px.

        Returns
        -------
        ndarray of bool [y, x]
            True at px under the shape.
        """
        from skimage.draw import polygon2mask

        y0, x0, y1, x1 = window
        # skimage counts from the center of pixel 0
        return np.asarray(polygon2mask((y1 - y0, x1 - x0), self.corners - (y0 + 0.5, x0 + 0.5)))


def accept(
    corrections: Corrections,
    segmentation: Segmentation,
    where: Area,
    author: str,
    progress: Progress,
) -> IntWindow | None:
    """Paint what a segmentation predicts, as one action.

    Pixels that are not computed stay as they are. Classes are matched by their names. Those that the corrections lack
    are added.

    Parameters
    ----------
    corrections : Corrections
        Corrections, open for writing.
    segmentation : Segmentation
        The prediction.
    where : Area
        Pixels to accept.
    author : str
        Name of the person who accepts.
    progress : Progress
        Called before each piece. Where it raises ``Cancelled``, what is painted by then is kept.

    Returns
    -------
    IntWindow or None
        Bounding box of what has changed, (y0, x0, y1, x1) px. None if all was painted so already.

    Raises
    ------
    InputError
        The segmentation is of another image, or nothing is computed there.
    OutputError
        The disk is full or the location is not writable; pieces before that are kept.
    """
    other = contradict(segmentation.facts["image"], corrections.facts["image"])
    if segmentation.shape != corrections.shape or other:
        raise InputError(f"{segmentation.path}: is of another image; choose a segmentation of this one.")
    names = segmentation.class_table.names
    y0, x0, y1, x1 = where.window
    kept: list[Stroke] = []
    some = stopped = False
    for top, left in product(range(y0, y1, PIECE), range(x0, x1, PIECE)):
        try:
            progress(0, 0)
        except Cancelled:
            stopped = True
            break
        window = top, left, min(top + PIECE, y1), min(left + PIECE, x1)
        values = segmentation.labels.read(window)
        mask = where.mask(window) & (values != 0)
        if not mask.any():
            continue
        some = True
        there = {names[value - 1] for value in np.unique(values[mask])}
        corrections.add_classes(segmentation.class_table, there.difference(corrections.class_table.names))
        values = values_by_name(names, corrections.class_table)[values]
        block = np.where(mask, values, corrections.read(window))  # px that are painted so already are no change
        together = kept[-1].action if kept else None
        stroke = corrections.write(top, left, block, author=author, kind="accept", together=together)
        kept += [] if stroke is None else [stroke]
    if not some and not stopped:
        raise InputError(f"{segmentation.path}: nothing is computed there yet; segment that part first.")
    return Window.bounding(stroke.window for stroke in kept) if kept else None
