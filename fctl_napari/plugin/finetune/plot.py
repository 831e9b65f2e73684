"""The live plot of a fine-tuning run: loss, and measured values beside the parent's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

    from fctl_napari.finetuning.progress import FinetuneProgress

HELD_OUT, SCENE, TRAINING = "held-out probability", "as before, scene", "as before, training"
COLORS = {HELD_OUT: "#56b4e9", SCENE: "#009e73", TRAINING: "#e69f00"}
"""Colors of Okabe and Ito's set, which most color-blind people can distinguish.

All stand out from dark and from light backgrounds.
"""

HEIGHT = 250
DRAW_MS = 700
"""Minimum interval between two drawings, ms."""

TIP = (
    "Above: the loss of each step. Below: probability of the painted class on corrections that are not learned from "
    "(dashed: the parent's), and the share of pixels away from corrections, here and in the training scenes, that are "
    "predicted as by the parent (the parent itself: 1, dashed)."
)


class FinetunePlot(QWidget):
    """Plot of a run while it is running.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    losses : list of tuple of (int, float)
        (step, loss) as reported so far.
    measured : dict of str to list of tuple of (int, float)
        (step, value) by the name of the value.
    base : dict of str to float
        The parent's values, by the same names.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip(TIP)
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        self._canvas: FigureCanvasQTAgg | None = None
        self._ink = "white"
        self.losses: list[tuple[int, float]] = []
        self.measured: dict[str, list[tuple[int, float]]] = {}
        self.base: dict[str, float] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DRAW_MS)
        self._timer.timeout.connect(self.draw)
        self.hide()

    def clear(self) -> None:
        """Discard the last run."""
        self.losses, self.measured, self.base = [], {}, {}
        self._timer.stop()
        self.hide()

    def add(self, progress: FinetuneProgress, ink: str) -> None:
        """Add the latest progress, and draw it soon.

        Parameters
        ----------
        progress : FinetuneProgress
            Progress of the run.
        ink : str
            Color of text and axes, in contrast to the window's.
        """
        self._ink = ink
        changed = False
        if (
            progress.phase == "training"
            and not math.isnan(progress.loss)
            and (progress.done, progress.loss) not in self.losses[-1:]
        ):
            self.losses.append((progress.done, progress.loss))
            changed = True
        before, now = (_values(progress, side) for side in ("before", "now"))
        if before and before != self.base:
            self.base = before
            changed = True
        for name, value in now.items():
            points = self.measured.setdefault(name, [])
            if (progress.measured_at, value) not in points[-1:]:
                points.append((progress.measured_at, value))
                changed = True
        if changed and not self._timer.isActive():
            self._timer.start()

    def draw(self) -> None:
        """Draw what was reported so far (about 100 ms)."""
        self._timer.stop()
        if not self.losses and not self.measured:
            return
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        if self._canvas is None:
            self._canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
            self._canvas.setFixedHeight(HEIGHT)
            self._canvas.setStyleSheet("background: transparent")
            self.layout().addWidget(self._canvas)
        figure = self._canvas.figure
        figure.clear()
        figure.patch.set_alpha(0)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
        self._draw_losses(above)
        self._draw_measured(below)
        for axes in (above, below):
            axes.patch.set_alpha(0)
            axes.tick_params(colors=self._ink, labelsize=7)
            for spine in axes.spines.values():
                spine.set_color(self._ink)
                spine.set_alpha(0.4)
        self.show()
        self._canvas.draw_idle()

    def _draw_losses(self, axes: Axes) -> None:
        """Draw the loss of each step."""
        if self.losses:
            axes.plot(*zip(*self.losses, strict=True), color=self._ink, linewidth=1)
            axes.set_ylim(0, 1.05 * max(loss for _, loss in self.losses) or 1)
        axes.set_ylabel("loss", color=self._ink, fontsize=8)

    def _draw_measured(self, axes: Axes) -> None:
        """Draw the measured values, with the parent's as dashed lines."""
        for name, color in COLORS.items():
            if name in self.base:
                own = color if name == HELD_OUT else self._ink  # else 1: the parent agrees with itself
                axes.axhline(self.base[name], color=own, linewidth=1, linestyle="--", alpha=0.8)
            points = self.measured.get(name, [])
            if name in self.base or points:
                axes.plot(
                    *(zip(*points, strict=True) if points else ([], [])), "o-", color=color, label=name, ms=3, lw=1.5
                )
        last = max([step for step, _ in self.losses] + [s for p in self.measured.values() for s, _ in p], default=1)
        axes.set_xlim(0, max(last, 1) * 1.02)
        axes.set_ylim(top=1.03)
        axes.set_xlabel("step", color=self._ink, fontsize=8)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, labelcolor=self._ink, framealpha=0, loc="best")


def _values(progress: FinetuneProgress, side: str) -> dict[str, float]:
    """Return the values of one side, ``"before"`` or now, by their names in the plot."""
    figures = progress.before if side == "before" else progress.now
    found = {}
    held_out = figures.get("held_out")
    if held_out is not None and held_out.probability is not None:
        found[HELD_OUT] = held_out.probability.mean()
    for part, name in (("scene", SCENE), ("training", TRAINING)):
        of = figures.get(part)
        if of is not None and of.agreement is not None:
            found[name] = of.agreement
    return found
