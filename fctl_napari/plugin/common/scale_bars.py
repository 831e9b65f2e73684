"""Color scales with their limits, painted in rows (plain Qt, a few ms)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

SWATCH_PX, GAP_PX, BAR_PX = 10, 6, 10
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Rows(QWidget):
    """Rows of equal height, painted by ``_paint_row`` in the colors of napari's theme.

    Parameters
    ----------
    lines : float
        Height of a row, lines of text.
    parent : QWidget or None, optional
        Qt parent.
    """

    def __init__(self, lines: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines = lines
        self._rows = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _row_height(self) -> int:
        """Return the height of a row, px."""
        return round(self.fontMetrics().height() * self._lines) + GAP_PX

    def set_rows(self, rows: int) -> None:
        """Set the number of rows and draw them again.

        Parameters
        ----------
        rows : int
            Number of rows. Without any the widget is hidden.
        """
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
class Scale:
    """One color scale: its title and the meaning of its ends.

    Attributes
    ----------
    title : str
        Name of what the colors stand for.
    limits : tuple of 2 float
        Values at its ends.
    gradient : QImage
        Its colors, from the least to the largest value, see :func:`gradient`.
    color : tuple of 3 int or None
        Color of a square before the title. None for no square.
    note : str
        Further words at the right.
    """

    title: str
    limits: tuple[float, float]
    gradient: QImage
    color: tuple[int, int, int] | None = None
    note: str = ""

    @property
    def ends(self) -> tuple[str, str]:
        """Texts of the least and the largest value."""
        return f"{self.limits[0]:.3g}", f"{self.limits[1]:.3g}"


class ScaleBars(Rows):
    """Color scales of maps: for each a square of its color, its name and words, and the scale between its limits.

    Parameters
    ----------
    tooltip : str
        Tooltip of all.
    parent : QWidget or None, optional
        Qt parent.
    """

    def __init__(self, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(2.0, parent)
        self._scales: list[Scale] = []
        self.setToolTip(tooltip)

    @property
    def texts(self) -> list[str]:
        """Texts row by row: title, limits, note."""
        return [" ".join((entry.title, *entry.ends, entry.note)).strip() for entry in self._scales]

    def show_scales(self, scales: Sequence[Scale]) -> None:
        """Show some scales.

        Parameters
        ----------
        scales : sequence of Scale
            Scales of the maps that are seen.
        """
        self._scales = list(scales)
        self.set_rows(len(self._scales))

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


def gradient(colors: np.ndarray) -> QImage:
    """Make a picture one px high of colors.

    Parameters
    ----------
    colors : ndarray of float [n, 4]
        (red, green, blue, opacity), 0..1.

    Returns
    -------
    QImage
        The picture.
    """
    data = np.rint(colors * 255).astype(np.uint8).tobytes()
    return QImage(data, len(colors), 1, QImage.Format.Format_RGBA8888).copy()
