"""What the widgets in napari's docks have in common: a form that fills them, and an end."""

from __future__ import annotations

from collections.abc import Callable

import napari
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from fctl_napari.plugin.common.session import session

REST_MS = 100
"""How long choices have to rest before they are looked at: several layers come and go together."""


class DockedWidget(QWidget):
    """A widget in a dock, which hears when the dock or the window is gone.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._left = False
        session().window_closed.connect(self._window_closed)

    def _fill(self, form: QWidget) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(form)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _follow_window(self) -> None:
        """Keep the engine while the window is there, and hear when it closes."""
        # the window is not kept: a child that holds its window is never collected
        session().follow(self.window())

    def event(self, event: QEvent) -> bool:
        """Qt's hook: napari takes a closed dock's widget out of its parent."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.leave(layers=True)
        return super().event(event)

    def _window_closed(self, window: QWidget) -> None:
        if window is self.window():
            self.leave(layers=False)

    def leave(self, *, layers: bool) -> None:
        """End, once.

        Parameters
        ----------
        layers
            The viewer goes on: what it shows of this widget is taken away.
        """
        if not self._left:
            self._left = True
            self._leave(layers=layers)

    def _leave(self, *, layers: bool) -> None:
        """Stop what runs and listen to nothing any more; a subclass says how."""


def resting(parent: QWidget, look: Callable[[], object]) -> QTimer:
    """Return a timer that calls ``look`` when it was not started again for ``REST_MS``."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(REST_MS)
    timer.timeout.connect(look)
    return timer
