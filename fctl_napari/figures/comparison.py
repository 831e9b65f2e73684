"""Figure of image, mask, ground truth and errors side by side (matplotlib without a display)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fctl_napari.evaluation.error_types import FALSE_NEGATIVE, FALSE_POSITIVE, PAPER, confusion_table, error_table
from fctl_napari.model.classes import shown_classes

if TYPE_CHECKING:
    from fctl_napari.class_colors import Color
    from fctl_napari.model.classes import ClassTable

NO_CLASS = (60, 60, 60)
"""Color of pixels without a class."""

IN_CLASS_COLORS = "errors, in the color of the predicted class"
"""Title of pictures of errors of land cover."""

MAX_SIDE = 2400
"""Longest side of drawn pictures, px; larger ones are subsampled."""


def colorize(indices: np.ndarray, table: ClassTable) -> np.ndarray:
    """Color class indices as their classes are shown.

    Parameters
    ----------
    indices : ndarray of int [h, w]
        Class indices, 255 = none.
    table : ClassTable
        Class table.

    Returns
    -------
    ndarray of uint8 [h, w, 3]
        RGB.
    """
    palette = np.full((256, 3), NO_CLASS, np.uint8)
    for index, entry in enumerate(shown_classes(table)):
        palette[index] = entry.color
    return palette[indices]


def error_picture(
    image: np.ndarray,
    mask: np.ndarray,
    ground_truth: np.ndarray,
    class_table: ClassTable,
    *,
    positive: int | None = None,
) -> np.ndarray:
    """Paint the errors over a dimmed gray picture.

    Errors of one class are its misses (blue) and false finds (red). Without one, as in land cover, each error has the
    color of the class that was predicted.

    Parameters
    ----------
    image : ndarray of uint8 [h, w, 3]
        RGB.
    mask, ground_truth : ndarray of int [h, w]
        Class indices; pixels where either is 255 are not judged.
    class_table : ClassTable
        Names and colors of the classes.
    positive : int or None, optional
        Class whose misses and false finds are shown. None takes the only class beside the background, if there is one.

    Returns
    -------
    ndarray of uint8 [h, w, 3]
        RGB.
    """
    positive = class_table.foreground if positive is None else positive
    gray = image.mean(axis=-1) * 0.6 + 40
    picture = np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8)
    if positive is None:
        wrong = confusion_table()[ground_truth, mask] > 0
        picture[wrong] = colorize(mask, class_table)[wrong]
        return picture
    kinds = error_table(positive)[ground_truth, mask]
    picture[kinds == FALSE_NEGATIVE] = PAPER.false_negative
    picture[kinds == FALSE_POSITIVE] = PAPER.false_positive
    return picture


def error_entries(class_table: ClassTable, positive: int | None = None) -> list[tuple[str, Color]]:
    """Return what the colors of `error_picture` mean beyond those of the classes.

    Parameters
    ----------
    class_table : ClassTable
        Names and colors of the classes.
    positive : int or None, optional
        As in `error_picture`.

    Returns
    -------
    list of tuple of (str, tuple of 3 int)
        Names and colors. Empty where errors have the colors of classes.
    """
    if positive is None and class_table.foreground is None:
        return []
    return [("missed (false negative)", PAPER.false_negative), ("false (false positive)", PAPER.false_positive)]


def comparison_figure(
    image: np.ndarray,
    mask: np.ndarray,
    ground_truth: np.ndarray,
    class_table: ClassTable,
    *,
    positive: int | None = None,
) -> Figure:
    """Draw the image, the mask, the ground truth and the errors with a legend.

    Parameters
    ----------
    image : ndarray of uint8 [h, w, 3]
        RGB.
    mask, ground_truth : ndarray of int [h, w]
        Class indices, 255 = none.
    class_table : ClassTable
        Names and colors of the classes.
    positive : int or None, optional
        See `error_picture`.

    Returns
    -------
    matplotlib.figure.Figure
        Wide pictures are two by two, others in a row. Save it with ``figure.savefig(path)``.

    Raises
    ------
    ValueError
        The pictures differ in size.
    """
    if not image.shape[:2] == mask.shape == ground_truth.shape:
        raise ValueError(
            f"image {image.shape[:2]}, mask {mask.shape} and ground truth {ground_truth.shape} differ in size"
        )
    step = max(1, -(-max(mask.shape) // MAX_SIDE))
    image, mask, ground_truth = image[::step, ::step], mask[::step, ::step], ground_truth[::step, ::step]
    errors = error_entries(class_table, positive)
    pictures = {
        "image": image,
        "mask": colorize(mask, class_table),
        "truth": colorize(ground_truth, class_table),
        "FP/FN" if errors else IN_CLASS_COLORS: error_picture(
            image, mask, ground_truth, class_table, positive=positive
        ),
    }
    height, width = mask.shape
    rows, columns = (2, 2) if width > 1.5 * height else (1, 4)
    panel = 14 / columns
    figure = Figure(figsize=(14, panel * height / width * rows + 1.1), layout="constrained", dpi=110)
    for axes, (title, picture) in zip(figure.subplots(rows, columns).flat, pictures.items(), strict=True):
        axes.imshow(picture, interpolation="nearest" if max(mask.shape) < 400 else "antialiased")
        axes.set_title(title)
        axes.set_axis_off()
    entries = [(entry.name, entry.color) for entry in shown_classes(class_table).scored]
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="0.3", label=name)
        for name, (red, green, blue) in entries + errors
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
