"""Line over the canvas that divides it into a left and a right part, and that is dragged with the mouse."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QRect, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

GRIP = 15
"""Width of the strip that can be dragged, screen px."""


class Divider(QWidget):
    """Vertical line over a canvas.

    It keeps its place relative to the width when the canvas is resized.

    Parameters
    ----------
    canvas : QWidget
        The canvas, which becomes its parent.

    Attributes
    ----------
    moved : Signal()
        ``position`` has changed.
    """

    moved = Signal()

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._share = 0.5
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag it. Left of it is the state before, right of it the one after.")
        canvas.installEventFilter(self)
        self._lie()
        self.show()

    @property
    def position(self) -> float:
        """Distance from the left side of the canvas, screen px."""
        return self._share * self.parentWidget().width()

    def move_to(self, position: float) -> None:
        """Move the line.

        Parameters
        ----------
        position : float
            Distance from the left side of the canvas, screen px. It is kept on the canvas.
        """
        width = max(1, self.parentWidget().width())
        self._share = min(max(position / width, 0.0), 1.0)
        self._lie()

    def _lie(self) -> None:
        """Lie where the canvas is divided, over its whole height."""
        left = round(self.position) - GRIP // 2
        self.setGeometry(QRect(left, 0, GRIP, self.parentWidget().height()))
        self.moved.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the size of the canvas."""
        if event.type() == QEvent.Type.Resize:
            self._lie()
        return False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse while its button is down."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.move_to(self.mapToParent(event.position().toPoint()).x())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Keep the press from the canvas below."""
        event.accept()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line and its grip, white with a dark border, so that it is seen on any image."""
        painter = QPainter(self)
        middle, height = GRIP // 2, self.height()
        painter.fillRect(QRect(middle - 1, 0, 3, height), QColor(0, 0, 0, 160))
        painter.fillRect(QRect(middle, 0, 1, height), QColor("white"))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(0, 0, 0, 200))
        painter.setBrush(QColor("white"))
        painter.drawRoundedRect(QRect(1, height // 2 - 16, GRIP - 3, 32), 4, 4)
        painter.end()
