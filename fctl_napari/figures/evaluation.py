"""An evaluation as a figure: figures by class, confusion matrix, reliability (matplotlib without a display)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fctl_napari.evaluation.calibration import Calibration
    from fctl_napari.evaluation.evaluation import Evaluation

MOST_COUNTS = 24
"""Matrices of more classes are drawn without counts, which nobody could read."""


COLOURS = ("#0072b2", "#e69f00", "#009e73")
"""Of IoU, F1 and Boundary IoU: from the palette of Okabe and Ito, which colour-blind people can tell apart."""


def short_count(count: int) -> str:
    """Write a count in at most five characters: 999, 12.3k, 4.56M."""
    if count < 1000:
        return str(count)
    value, units = count / 1000, "kMGT"
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}{units[0]}"


def row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of each row of a confusion matrix, 0..1; 0 in a row without pixels."""
    totals = confusion.sum(1, keepdims=True)
    return np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)


def draw_confusion(
    axes: Axes,
    confusion: NDArray[np.int64],
    names: Sequence[str],
    *,
    rows: str = "truth",
    columns: str = "called",
) -> None:
    """Draw a confusion matrix: colours are shares of a row, texts are counts of pixels.

    Parameters
    ----------
    axes
        Where; cell (row, column) is centred on (y, x) = (row, column).
    confusion
        int64 [classes, classes].
    names
        Of the classes.
    rows, columns
        What they are.
    """
    shares = row_shares(confusion)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= MOST_COUNTS:
        for (row, column), count in np.ndenumerate(confusion):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, short_count(int(count)), ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=columns, ylabel=rows)


def draw_reliability(axes: Axes, calibration: Calibration, *, ink: str = "0.2") -> None:
    """Draw how often pixels of a confidence are right, beside the line where that ought to be.

    Parameters
    ----------
    axes
        Where.
    calibration
        What was counted.
    ink
        Colour of lines and words.
    """
    found = calibration.reliability()
    filled = found.pixels > 0
    share = found.pixels / max(int(found.pixels.sum()), 1)
    axes.bar(found.edges[:-1], share, found.edges[1], align="edge", color=ink, alpha=0.2, label="share of the pixels")
    axes.plot([0, 1], [0, 1], "--", color=ink, linewidth=1, label="as it should be")
    axes.plot(found.confidence[filled], found.accuracy[filled], "o-", color=COLOURS[0], markersize=4, label="right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share")
    axes.set_title(f"ECE {calibration.ece():.4f}", color=ink)
    for item in (axes.xaxis.label, axes.yaxis.label):
        item.set_color(ink)
    axes.tick_params(colors=ink)
    for spine in axes.spines.values():
        spine.set_color(ink)
    axes.legend(loc="best", frameon=False, labelcolor=ink, fontsize="small")


def evaluation_figure(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw figures by class, the confusion matrix and the reliability diagram side by side.

    Parameters
    ----------
    evaluation
        The figures.
    title
        Over all of it.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with `save_figure`.
    """
    side = min(max(4.6, 0.45 * len(evaluation.names) + 1.5), 14)
    figure = Figure(figsize=(side + 9.5, side), layout="constrained", dpi=110)
    classes, matrix, reliability = figure.subplots(1, 3, width_ratios=(4.6, side, 4.6))
    _draw_classes(classes, evaluation)
    draw_confusion(matrix, evaluation.confusion, evaluation.names)
    matrix.set_title(f"accuracy {evaluation.scores.accuracy:.4f}")
    draw_reliability(reliability, evaluation.calibration)
    figure.suptitle(title)
    return figure


def _draw_classes(axes: Axes, evaluation: Evaluation) -> None:
    scores = evaluation.scores
    columns = {"IoU": scores.iou, "F1": scores.f1_by_class}
    if evaluation.boundary_iou is not None:
        columns[f"boundary IoU, {evaluation.boundary_px} px"] = evaluation.boundary_iou
    places = np.arange(len(evaluation.names))
    height = 0.8 / len(columns)
    for k, ((label, values), color) in enumerate(zip(columns.items(), COLOURS, strict=False)):
        widths = np.nan_to_num([values[name] for name in evaluation.names])
        axes.barh(places + (k - (len(columns) - 1) / 2) * height, widths, height, color=color, label=label)
    axes.set_yticks(places, evaluation.names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=f"mIoU {scores.miou:.4f}, without class 0 {scores.miou_without_class_0:.4f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=len(columns), frameon=False, fontsize="small")
