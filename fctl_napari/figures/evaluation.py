"""Figure of an evaluation: scores by class, confusion matrix, reliability (matplotlib without a display)."""

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
"""Most classes of a matrix that is drawn with counts; of more classes they would be illegible."""


COLORS = ("#0072b2", "#e69f00", "#009e73")
"""Colors of IoU, F1 and Boundary IoU, from the palette of Okabe and Ito, which color-blind people can tell apart."""


def short_count(count: int) -> str:
    """Write a count in at most five characters: 999, 12.3k, 4.56M.

    Parameters
    ----------
    count : int
        Number to write.

    Returns
    -------
    str
        Text.
    """
    if count < 1000:
        return str(count)
    value, units = count / 1000, "kMGT"
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}{units[0]}"


def row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the shares of each row of a confusion matrix.

    Parameters
    ----------
    confusion : ndarray of int64 [classes, classes]
        Counts of pixels.

    Returns
    -------
    ndarray of float64 [classes, classes]
        Shares, 0..1; 0 in a row without pixels.
    """
    totals = confusion.sum(1, keepdims=True)
    return np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)


def draw_confusion(
    axes: Axes,
    confusion: NDArray[np.int64],
    names: Sequence[str],
    *,
    rows: str = "truth",
    columns: str = "predicted",
) -> None:
    """Draw a confusion matrix, with shares of a row as colors and counts of pixels as texts.

    Parameters
    ----------
    axes : Axes
        Axes to draw on. Cell (row, column) is centered on (y, x) = (row, column).
    confusion : ndarray of int64 [classes, classes]
        Counts of pixels.
    names : sequence of str
        Names of the classes.
    rows, columns : str, optional
        Labels of the axes.
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
    """Draw the share of right pixels by confidence, beside the line of perfect calibration.

    Parameters
    ----------
    axes : Axes
        Axes to draw on.
    calibration : Calibration
        Counts of pixels by confidence.
    ink : str, optional
        Color of lines and words.
    """
    found = calibration.reliability()
    filled = found.pixels > 0
    share = found.pixels / max(int(found.pixels.sum()), 1)
    axes.bar(found.edges[:-1], share, found.edges[1], align="edge", color=ink, alpha=0.2, label="share of the pixels")
    axes.plot([0, 1], [0, 1], "--", color=ink, linewidth=1, label="as it should be")
    axes.plot(found.confidence[filled], found.accuracy[filled], "o-", color=COLORS[0], markersize=4, label="right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share")
    axes.set_title(f"ECE {calibration.ece():.4f}", color=ink)
    for item in (axes.xaxis.label, axes.yaxis.label):
        item.set_color(ink)
    axes.tick_params(colors=ink)
    for spine in axes.spines.values():
        spine.set_color(ink)
    axes.legend(loc="best", frameon=False, labelcolor=ink, fontsize="small")


def evaluation_figure(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw scores by class, the confusion matrix and the reliability diagram side by side.

    Parameters
    ----------
    evaluation : Evaluation
        Result of an evaluation.
    title : str, optional
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The figure; save it with `save_figure`.
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
    positions = np.arange(len(evaluation.names))
    height = 0.8 / len(columns)
    for k, ((label, values), color) in enumerate(zip(columns.items(), COLORS, strict=False)):
        widths = np.nan_to_num([values[name] for name in evaluation.names])
        axes.barh(positions + (k - (len(columns) - 1) / 2) * height, widths, height, color=color, label=label)
    axes.set_yticks(positions, evaluation.names)
    axes.invert_yaxis()
    means = (f"{what} {value:.4f}" for what, value in scores.mean_ious().items())
    axes.set(xlim=(0, 1), title="\n".join(means))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=len(columns), frameon=False, fontsize="small")
