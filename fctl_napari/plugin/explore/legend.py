"""Pictures of the panel: color scales with their limits, and class probabilities as bars (plain Qt, a few ms)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from fctl_napari.plugin.explore.colors import STEPS, scale
from fctl_napari.plugin.explore.maps import CONTEXT_COLORS, Map

if TYPE_CHECKING:
    from fctl_napari.model.classes import ClassInfo

SWATCH_PX, GAP_PX, BAR_PX = 10, 6, 10
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class _Rows(QWidget):
    """Rows of equal height, painted by ``_paint_row`` in the colors of napari's theme."""

    def __init__(self, lines: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = lines
        self._rows = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _row_height(self) -> int:
        """Return the height of a row, px."""
        return round(self.fontMetrics().height() * self._lines) + GAP_PX

    def _set_rows(self, rows: int) -> None:
        """Set the number of rows and draw them again."""
        if rows != self._rows:
            self._rows = rows
            self.setVisible(rows > 0)
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return a size that holds all rows."""
        return QSize(200, self._rows * self._row_height())

    def minimumSizeHint(self) -> QSize:
        """Return a size that holds all rows."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint all rows."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        height = self._row_height()
        for index in range(self._rows):
            self._paint_row(painter, index, QRect(0, index * height, self.width(), height))
        painter.end()

    def _paint_row(self, painter: QPainter, index: int, box: QRect) -> None:
        """Paint one row into its box."""
        raise NotImplementedError  # not an abstract class, which would need another metaclass than Qt's


@dataclass(frozen=True)
class _Scale:
    """One color scale: its title and the meaning of its ends."""

    title: str
    limits: tuple[float, float]
    gradient: QImage
    color: tuple[int, int, int] | None = None
    note: str = ""

    @property
    def ends(self) -> tuple[str, str]:
        """Texts of the least and the largest value."""
        return f"{self.limits[0]:.3g}", f"{self.limits[1]:.3g}"


class ScaleBars(_Rows):
    """Color scales of maps: for each its context's color, its name and figures, and the scale between its limits.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(2.0, parent)
        self._scales: list[_Scale] = []
        self.setToolTip(
            "The color scale of each map that is shown, with the values at its ends. The square has the color of "
            "the context's outline."
        )

    @property
    def texts(self) -> list[str]:
        """Texts row by row: title, limits, note."""
        return [" ".join((entry.title, *entry.ends, entry.note)).strip() for entry in self._scales]

    def show_maps(self, shown: Sequence[Map]) -> None:
        """Show the scales of some maps.

        A composite has one for each of its colors.

        Parameters
        ----------
        shown : sequence of Map
            The maps that are seen.
        """
        self._scales = []
        for entry in shown:
            if not entry.channels:
                gradient = _named_gradient(entry.colors) if entry.colors else _gradient(entry.scale_color)
                self._scales.append(_Scale(entry.title, entry.limits, gradient, entry.color, entry.note))
            for name, low, high in entry.channels:
                gradient = _channel_gradient(list(CONTEXT_COLORS).index(name))
                self._scales.append(_Scale(name, (low, high), gradient, CONTEXT_COLORS[name]))
        self._set_rows(len(self._scales))

    def _paint_row(self, painter: QPainter, index: int, box: QRect) -> None:
        entry = self._scales[index]
        line = self.fontMetrics().height()
        left = 0
        if entry.color is not None:
            painter.fillRect(QRect(0, box.top() + (line - SWATCH_PX) // 2, SWATCH_PX, SWATCH_PX), QColor(*entry.color))
            left = SWATCH_PX + GAP_PX
        top = QRect(left, box.top(), box.width() - left, line)
        painter.drawText(top, LEFT, entry.title)
        painter.drawText(top, RIGHT, entry.note)
        bottom = QRect(0, box.top() + line, box.width(), line)
        low, high = entry.ends
        width = max(self.fontMetrics().horizontalAdvance(text) for text in (low, high)) + GAP_PX
        painter.drawText(bottom, LEFT, low)
        painter.drawText(bottom, RIGHT, high)
        margin = (line - BAR_PX) // 2
        painter.drawImage(bottom.adjusted(width, margin, -width, -margin), entry.gradient)


@cache
def _gradient(color: tuple[int, int, int] | None) -> QImage:
    """Return the gradient of a map's color scale."""
    return _image(scale(color))


@cache
def _named_gradient(colors: str) -> QImage:
    """Return the gradient of one of napari's colormaps."""
    return _image(np.asarray(ensure_colormap(colors).map(np.linspace(0, 1, STEPS))))


@cache
def _channel_gradient(channel: int) -> QImage:
    """Return the gradient from black to all of red, green or blue."""
    colors = np.zeros((STEPS, 4), np.float32)
    colors[:, channel] = np.linspace(0, 1, STEPS)
    colors[:, 3] = 1
    return _image(colors)


def _image(colors: np.ndarray) -> QImage:
    """Make a picture one px high of colors."""
    data = np.rint(colors * 255).astype(np.uint8).tobytes()
    return QImage(data, len(colors), 1, QImage.Format.Format_RGBA8888).copy()


class ProbabilityBars(_Rows):
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
        self._set_rows(len(self._classes))

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
