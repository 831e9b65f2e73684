"""An evaluation as a figure: IoU by class, confusion matrix, reliability (matplotlib without a display)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fctl_napari.analysis.calibration import Calibration
    from fctl_napari.analysis.evaluation import Evaluation


def draw_reliability(axes: Axes, calibration: Calibration, *, ink: str = "0.2") -> None:
    """Draw a reliability diagram: how often pixels of a confidence are right, beside the line where they ought to be.

    Parameters
    ----------
    axes
        To draw on.
    calibration
        What was counted.
    ink
        Colour of lines and words.
    """
    found = calibration.reliability()
    filled = found.pixels > 0
    middles, width = (found.edges[:-1] + found.edges[1:]) / 2, found.edges[1] - found.edges[0]
    share = found.pixels / max(1, found.pixels.sum())
    axes.bar(middles, share, width, color=ink, alpha=0.2, label="share of pixels")
    axes.plot([0, 1], [0, 1], color=ink, linewidth=1, linestyle="--", label="as it should be")
    axes.plot(
        found.confidence[filled],
        found.accuracy[filled],
        color="#0072b2",
        marker="o",
        markersize=4,
        label="right, by confidence",
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share that is right")
    axes.set_title(f"ECE {calibration.ece():.3f}", color=ink)
    for item in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
        item.set_color(ink)
    axes.tick_params(colors=ink)
    for spine in axes.spines.values():
        spine.set_color(ink)
    axes.legend(loc="upper left", frameon=False, labelcolor=ink, fontsize="small")


def evaluation_figure(evaluation: Evaluation, title: str = "") -> Figure:
    """Draw IoU and F1 by class, the confusion matrix in shares of the true class, and reliability.

    Parameters
    ----------
    evaluation
        The figures.
    title
        Over all of it.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(path)`` (PNG, SVG, PDF).
    """
    count = len(evaluation.names)
    figure = Figure(figsize=(15, 4.6 + 0.12 * max(0, count - 6)), layout="constrained", dpi=110)
    bars, matrix, reliability = figure.subplots(1, 3)
    _draw_classes(bars, evaluation)
    _draw_confusion(matrix, evaluation)
    draw_reliability(reliability, evaluation.calibration)
    figure.suptitle(title)
    return figure


def _draw_classes(axes: Axes, evaluation: Evaluation) -> None:
    scores = evaluation.scores
    columns = {"IoU": scores.iou, "F1": scores.f1_by_class}
    if evaluation.boundary_iou is not None:
        columns["Boundary IoU"] = evaluation.boundary_iou
    places = np.arange(len(evaluation.names))
    height = 0.8 / len(columns)
    for k, (label, values) in enumerate(columns.items()):
        widths = np.nan_to_num(np.array([values[name] for name in evaluation.names]))
        axes.barh(places + (k - (len(columns) - 1) / 2) * height, widths, height, label=label)
    axes.set_yticks(places, evaluation.names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=f"mIoU {scores.miou:.3f} · without class 0 {scores.miou_without_class_0:.3f}")
    axes.legend(frameon=False, fontsize="small")


def _draw_confusion(axes: Axes, evaluation: Evaluation) -> None:
    names = evaluation.names
    share = row_shares(evaluation.confusion)
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="called", ylabel="truth", title=f"accuracy {evaluation.scores.accuracy:.3f}")
    if len(names) <= 12:
        for y, x in np.ndindex(*share.shape):
            color = "white" if share[y, x] > 0.5 else "black"
            axes.text(x, y, f"{share[y, x]:.0%}", ha="center", va="center", color=color, fontsize="small")


def row_shares(confusion: np.ndarray) -> np.ndarray:
    """Shares of each true class (row) that were called each class, 0..1; 0 for a class that is not there."""
    totals = confusion.sum(1, keepdims=True)
    return np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
