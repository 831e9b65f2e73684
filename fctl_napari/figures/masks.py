"""Figure of the masks of several networks side by side, with their errors, as the paper's Figs. 9, 12 and 14."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fctl_napari.figures.comparison import IN_CLASS_COLORS, colorize, error_entries, error_picture
from fctl_napari.model.classes import IGNORE, shown_classes

if TYPE_CHECKING:
    import numpy as np

    from fctl_napari.model.classes import ClassTable

COLUMNS = 6
"""Most masks in a line."""

SIDE = 1.7
"""Width of a picture, inches."""


def masks_figure(
    image: np.ndarray, masks: Mapping[str, np.ndarray], ground_truth: np.ndarray, class_table: ClassTable
) -> Figure:
    """Draw each mask above its errors, after the image and the ground truth.

    Parameters
    ----------
    image : ndarray of uint8 [h, w, 3]
        RGB.
    masks : mapping of str to ndarray
        Masks by title: class indices [h, w], 255 = none.
    ground_truth : ndarray of int [h, w]
        Class indices of the ground truth, 255 = none.
    class_table : ClassTable
        Names and colors of the classes.

    Returns
    -------
    Figure
        The figure. Below each mask its errors, as in ``error_picture``, have the share of wrong pixels among the judged
        ones as their title.

    Raises
    ------
    ValueError
        The pictures differ in size, or there is no mask.
    """
    if not masks or any(mask.shape != ground_truth.shape for mask in (*masks.values(), image[..., 0])):
        raise ValueError("give masks, all of the size of image and ground truth")
    titles = list(masks)
    lines = [titles[: COLUMNS - 1], *(titles[i : i + COLUMNS] for i in range(COLUMNS - 1, len(titles), COLUMNS))]
    lines = [line for line in lines if line]
    width = max(len(lines[0]) + 1, *map(len, lines))
    height, breadth = ground_truth.shape
    figure = Figure(
        figsize=(SIDE * width, (SIDE * height / breadth + 0.22) * 2 * len(lines) + 0.5), layout="constrained", dpi=100
    )
    axes = figure.subplots(2 * len(lines), width, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    axes[0, 0].imshow(image)
    axes[0, 0].set_title("image", fontsize="small")
    axes[1, 0].imshow(colorize(ground_truth, class_table), interpolation="nearest")
    axes[1, 0].set_title("truth", fontsize="small")
    for number, line in enumerate(lines):
        for column, title in enumerate(line, start=number == 0):
            mask = masks[title]
            judged = (ground_truth != IGNORE) & (mask != IGNORE)
            wrong = (ground_truth != mask)[judged].mean() if judged.any() else float("nan")
            above, below = axes[2 * number : 2 * number + 2, column]
            above.imshow(colorize(mask, class_table), interpolation="nearest")
            above.set_title(title, fontsize="small")
            below.imshow(error_picture(image, mask, ground_truth, class_table), interpolation="nearest")
            below.set_title(f"{100 * wrong:.1f} % wrong", fontsize="small")
    entries = [(entry.name, entry.color) for entry in shown_classes(class_table).scored]
    errors = error_entries(class_table)
    entries += errors
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="0.3", label=name)
        for name, (red, green, blue) in entries
    ]
    columns = min(len(handles), 2 * width)
    meaning = None if errors else f"below: {IN_CLASS_COLORS}"
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small", title=meaning
    )
    return figure
