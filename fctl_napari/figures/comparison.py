"""Figures for people: image, mask, truth and errors side by side (matplotlib without a display)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fctl_napari.evaluation.error_types import CONFUSED, FALSE_NEGATIVE, FALSE_POSITIVE, PAPER, error_table

if TYPE_CHECKING:
    from fctl_napari.model.classes import ClassTable

NO_CLASS = (60, 60, 60)
"""Colour of pixels without a class."""

MAX_SIDE = 2400
"""Pictures are thinned to this many px a side before they are drawn."""


def colorize(indices: np.ndarray, table: ClassTable) -> np.ndarray:
    """Class indices (h, w), 255 = none -> uint8 RGB (h, w, 3) in the class table's colours."""
    palette = np.full((256, 3), NO_CLASS, np.uint8)
    for index, entry in enumerate(table):
        palette[index] = entry.color
    return palette[indices]


def error_picture(image: np.ndarray, mask: np.ndarray, truth: np.ndarray, *, positive: int | None = None) -> np.ndarray:
    """Paint the errors over a dimmed grey picture.

    Parameters
    ----------
    image
        uint8 RGB (h, w, 3).
    mask, truth
        Class indices (h, w); pixels where either is 255 are not judged.
    positive
        The class whose misses (blue) and false finds (red) are shown. None: class 0 counts as the background and
        every other class as foreground; one foreground class called another is violet.

    Returns
    -------
    numpy.ndarray
        uint8 RGB (h, w, 3).
    """
    kinds = error_table(positive)[truth, mask]
    grey = image.mean(axis=-1) * 0.6 + 40
    picture = np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8)
    picture[kinds == FALSE_NEGATIVE] = PAPER.false_negative
    picture[kinds == FALSE_POSITIVE] = PAPER.false_positive
    picture[kinds == CONFUSED] = PAPER.confused
    return picture


def comparison_figure(
    image: np.ndarray, mask: np.ndarray, truth: np.ndarray, class_table: ClassTable, *, positive: int | None = None
) -> Figure:
    """Draw image | mask | truth | FP/FN with a legend.

    Parameters
    ----------
    image
        uint8 RGB (h, w, 3).
    mask, truth
        Class indices (h, w), 255 = none.
    class_table
        Names and colours.
    positive
        See `error_picture`.

    Returns
    -------
    matplotlib.figure.Figure
        Wide pictures stand two by two, others in a row. Save it with ``figure.savefig(path)``.
    """
    if not image.shape[:2] == mask.shape == truth.shape:
        raise ValueError(f"image {image.shape[:2]}, mask {mask.shape} and truth {truth.shape} differ in size")
    step = max(1, -(-max(mask.shape) // MAX_SIDE))
    image, mask, truth = image[::step, ::step], mask[::step, ::step], truth[::step, ::step]
    pictures = {
        "image": image,
        "mask": colorize(mask, class_table),
        "truth": colorize(truth, class_table),
        "FP/FN": error_picture(image, mask, truth, positive=positive),
    }
    height, width = mask.shape
    rows, columns = (2, 2) if width > 1.5 * height else (1, 4)
    panel = 14 / columns
    figure = Figure(figsize=(14, panel * height / width * rows + 1.1), layout="constrained", dpi=110)
    for axes, (title, picture) in zip(figure.subplots(rows, columns).flat, pictures.items(), strict=True):
        axes.imshow(picture, interpolation="nearest" if max(mask.shape) < 400 else "antialiased")
        axes.set_title(title)
        axes.set_axis_off()
    entries = [(entry.name, entry.color) for entry in class_table.scored]
    errors = [("false negative", PAPER.false_negative), ("false positive", PAPER.false_positive)]
    if positive is None and len(class_table.scored) > 2:
        errors.append(("another class", PAPER.confused))
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="0.3", label=name)
        for name, (red, green, blue) in entries + errors
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
