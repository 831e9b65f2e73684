"""What "accept prediction here" means: which px of an image become what a segmentation says there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import napari
import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from fctl_napari.corrections.corrections import Corrections
from fctl_napari.corrections.merge import values_by_name
from fctl_napari.corrections.undo_history import Stroke
from fctl_napari.errors import Cancelled, InputError
from fctl_napari.evaluation.error_regions import Region
from fctl_napari.imagery.class_mapping import MappedGroundTruth
from fctl_napari.plugin.correct.stroke_writer import PixelEdit
from fctl_napari.plugin.errors.comparison import ERRORS
from fctl_napari.plugin.errors.widget import ErrorWidget
from fctl_napari.plugin.layers.roi import region_layer
from fctl_napari.plugin.layers.viewport import drawn_region, shape_pixels
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import contradict
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, Window

PIECE = 2048
"""Side of what is accepted at once, px."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Px of an image under a drawn shape: those whose centre it holds.

    Attributes
    ----------
    window
        Its bounding box, (y0, x0, y1, x1) px, cut to the image.
    corners
        Of its outline, (n, 2), px; pixel i covers [i, i + 1).
    """

    window: IntWindow
    corners: NDArray[np.float64]

    def mask(self, window: IntWindow) -> NDArray[np.bool_]:
        """Which px of a window, bool [y, x]."""
        from skimage.draw import polygon2mask

        y0, x0, y1, x1 = window
        # skimage counts from the centre of pixel 0
        return np.asarray(polygon2mask((y1 - y0, x1 - x0), self.corners - (y0 + 0.5, x0 + 0.5)))


@dataclass(frozen=True, eq=False)
class Blob:
    """Px of an error, or of a doubt, of a segmentation.

    Attributes
    ----------
    region
        As it is listed.
    segmentation, ground_truth
        Of which; without a truth (doubts) the px around its first one that were called the same count, in its box.
    """

    region: Region
    segmentation: Segmentation
    ground_truth: MappedGroundTruth | None

    @property
    def window(self) -> IntWindow:
        """Its bounding box, (y0, x0, y1, x1) px."""
        return self.region.window

    def mask(self, window: IntWindow) -> NDArray[np.bool_]:
        """Which px of a window, bool [y, x]."""
        from skimage.measure import label

        y0, x0, y1, x1 = self.window
        same = self.segmentation.labels.read(self.window) == self.region.predicted + 1
        if self.ground_truth is not None and self.region.ground_truth is not None:
            same &= self.ground_truth.read(self.window) == self.region.ground_truth
        parts = label(same, connectivity=1)
        y, x = self.region.point
        whole = parts == parts[y - y0, x - x0] if same[y - y0, x - x0] else np.zeros_like(same)
        grid = np.zeros((window[2] - window[0], window[3] - window[1]), bool)
        top, left = max(y0, window[0]), max(x0, window[1])
        bottom, right = min(y1, window[2]), min(x1, window[3])
        if top < bottom and left < right:
            grid[top - window[0] : bottom - window[0], left - window[1] : right - window[1]] = whole[
                top - y0 : bottom - y0, left - x0 : right - x0
            ]
        return grid


def drawn(shapes: Shapes, image: Image) -> Drawn:
    """Return the px of ``image`` under the selected shape of ``shapes``, or else its last one.

    Raises
    ------
    InputError
        There is no shape, it holds no area, or it lies beside the image.
    """
    window = drawn_region(shapes, image)
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    kind, vertices = shapes.shape_type[chosen], np.asarray(shapes.data[chosen], float)
    if kind in ("line", "path"):
        raise InputError(f"{shapes.name}: a {kind} holds no area; draw a rectangle, an ellipse or a polygon.")
    if kind == "ellipse":  # napari keeps the corners of its box
        turn = np.linspace(0, 2 * math.pi, 128, endpoint=False)[:, None]
        middle = vertices.mean(0)
        down, right = (vertices[3] - vertices[0]) / 2, (vertices[1] - vertices[0]) / 2
        vertices = middle + np.sin(turn) * down + np.cos(turn) * right
    return Drawn(window, shape_pixels(shapes, vertices, image))


def drawn_here(viewer: napari.Viewer, image: Image | None) -> Drawn:
    """Return the px of ``image`` under what is drawn in a viewer; see :func:`drawn`.

    Raises
    ------
    InputError
        Nothing is drawn, or see :func:`drawn`.
    """
    shapes = region_layer(viewer)
    if shapes is None or image is None:
        raise InputError("no region is drawn; press Draw and drag a rectangle over the image.")
    return drawn(shapes, image)


def chosen_error(window: QWidget) -> Blob:
    """Return the region that is chosen in the Errors widget of a window.

    Raises
    ------
    InputError
        There is none.
    """
    for widget in window.findChildren(ErrorWidget):
        region, comparison = widget.region, widget.comparison
        if region is not None and comparison is not None:
            ground_truth = comparison.ground_truth if widget.form.regions.kind == ERRORS else None
            return Blob(region, comparison.segmentation, ground_truth)
    raise InputError("no error is chosen; open the Errors widget and click a region in its list.")


def accept(
    corrections: Corrections,
    segmentation: Segmentation,
    where: Drawn | Blob,
    author: str,
    progress: Progress,
) -> IntWindow | None:
    """Paint what a segmentation says, as one action; px that are not computed stay as they are.

    Classes are found by their names; those that the corrections lack are added.

    Parameters
    ----------
    corrections
        Open for writing.
    segmentation
        The prediction.
    where
        Which px.
    author
        Who accepts.
    progress
        Called before each piece. Where it raises ``Cancelled``, what is painted by then is kept.

    Returns
    -------
    Bounding box of what has changed; None if all was painted so already.

    Raises
    ------
    InputError
        The segmentation is of another image, or nothing is computed there.
    OutputError
        The disk is full or the place is not writable; pieces before that are kept.
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
        piece = PixelEdit(top, left, values, mask, author)
        stroke = piece.write(corrections, "accept", kept[-1].action if kept else None)
        kept += [] if stroke is None else [stroke]
    if not some and not stopped:
        raise InputError(f"{segmentation.path}: nothing is computed there yet; segment that part first.")
    return Window.bounding(stroke.window for stroke in kept) if kept else None
