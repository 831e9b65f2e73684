"""Pictures of the panel: color scales with their limits, and class probabilities as bars (plain Qt, a few ms)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QRect, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QWidget

from fctl_napari.plugin.common.scale_bars import BAR_PX, GAP_PX, LEFT, RIGHT, Rows, Scale, gradient
from fctl_napari.plugin.layers.explanation_colors import STEPS, scale
from fctl_napari.plugin.layers.explanation_maps import CONTEXT_COLORS, Map

if TYPE_CHECKING:
    from fctl_napari.model.classes import ClassInfo

TIP = (
    "The color scale of each map that is shown, with the values at its ends. The square has the color of the context's "
    "outline."
)


def map_scales(shown: Sequence[Map]) -> list[Scale]:
    """Return the color scales of some maps.

    Parameters
    ----------
    shown : sequence of Map
        The maps that are seen.

    Returns
    -------
    list of Scale
        One for each map. A composite has one for each of its colors.
    """
    found = []
    for entry in shown:
        if not entry.channels:
            colors = _named_gradient(entry.colors) if entry.colors else _gradient(entry.scale_color)
            found.append(Scale(entry.title, entry.limits, colors, entry.color, entry.note))
        for name, low, high in entry.channels:
            channel = _channel_gradient(list(CONTEXT_COLORS).index(name))
            found.append(Scale(name, (low, high), channel, CONTEXT_COLORS[name]))
    return found


@cache
def _gradient(color: tuple[int, int, int] | None) -> QImage:
    """Return the gradient of a map's color scale."""
    return gradient(scale(color))


@cache
def _named_gradient(colors: str) -> QImage:
    """Return the gradient of one of napari's colormaps."""
    return gradient(np.asarray(ensure_colormap(colors).map(np.linspace(0, 1, STEPS))))


@cache
def _channel_gradient(channel: int) -> QImage:
    """Return the gradient from black to all of red, green or blue."""
    colors = np.zeros((STEPS, 4), np.float32)
    colors[:, channel] = np.linspace(0, 1, STEPS)
    colors[:, 3] = 1
    return gradient(colors)


class ProbabilityBars(Rows):
    """Class probabilities of one pixel in the classes' colors, beside those of a what-if where there is one.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(1.0, parent)
        self._classes: tuple[ClassInfo, ...] = ()
        self._first: np.ndarray = np.zeros(0)
        self._second: np.ndarray | None = None
        self.setToolTip(
            "The class probabilities of the picked pixel. With a what-if, the thin second bar and the second figure "
            "are those of the network without the ticked parts."
        )

    @property
    def texts(self) -> list[str]:
        """Texts row by row: class and figures."""
        return [f"{info.name} {self._figures(index)}" for index, info in enumerate(self._classes)]

    def show_probabilities(
        self, classes: Sequence[ClassInfo], first: np.ndarray, second: np.ndarray | None = None
    ) -> None:
        """Show class probabilities.

        Parameters
        ----------
        classes : sequence of ClassInfo
            The classes, by index.
        first : ndarray of float [classes]
            Probabilities, 0..1, by class index.
        second : ndarray of float [classes] or None, optional
            Probabilities of a what-if.
        """
        self._classes, self._first, self._second = tuple(classes), first, second
        self.set_rows(len(self._classes))

    def _figures(self, index: int) -> str:
        """Format the probabilities of a class."""
        first = f"{self._first[index]:.1%}"
        return first if self._second is None else f"{first} → {self._second[index]:.1%}"

    def _paint_row(self, painter: QPainter, index: int, box: QRect) -> None:
        metrics = self.fontMetrics()
        names = max(metrics.horizontalAdvance(info.name) for info in self._classes) + GAP_PX
        figures = metrics.horizontalAdvance("100.0%" if self._second is None else "100.0% → 100.0%") + 2 * GAP_PX
        names = min(names, box.width() // 3)
        font = painter.font()
        font.setBold(index == int(np.argmax(self._first)))
        painter.setFont(font)
        label = metrics.elidedText(self._classes[index].name, Qt.TextElideMode.ElideRight, names)
        painter.drawText(QRect(0, box.top(), names, box.height()), LEFT, label)
        painter.drawText(box, RIGHT, self._figures(index))
        font.setBold(False)
        painter.setFont(font)
        color = QColor(*self._classes[index].color)
        space = max(0, box.width() - names - figures)
        height = BAR_PX if self._second is None else BAR_PX * 0.6
        top = box.top() + (box.height() - BAR_PX * (1.0 if self._second is None else 1.3)) / 2
        painter.fillRect(QRectF(names, top, space * float(self._first[index]), height), color)
        if self._second is not None:
            below = QRectF(names, top + height + 1, space * float(self._second[index]), height)
            painter.fillRect(below, color.darker(160))
