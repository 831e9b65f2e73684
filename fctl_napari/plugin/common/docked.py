"""Widget in one of napari's docks, and its end."""

from __future__ import annotations

import napari
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget

from fctl_napari.plugin.common.session import session


class Docked(QWidget):
    """A widget that ends when its dock or its window is closed.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it is docked in.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._left = False
        session().window_closed.connect(self._window_closed)

    def event(self, event: QEvent) -> bool:
        """Handle Qt's events, and end when napari takes a closed dock's widget out of its parent.

        Parameters
        ----------
        event : QEvent
            The event.

        Returns
        -------
        bool
            True if the event was recognized.
        """
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.leave(layers=True)
        return super().event(event)

    def _window_closed(self, window: QWidget) -> None:
        if window is self.window():
            self.leave(layers=False)

    def leave(self, *, layers: bool) -> None:
        """End the widget, once.

        Parameters
        ----------
        layers : bool
            If True, the viewer stays open, and the layers that this widget shows are removed from it.
        """
        if not self._left:
            self._left = True
            self._leave(layers=layers)

    def _leave(self, *, layers: bool) -> None:
        """Stop what runs and disconnect from the viewer. Each subclass implements this."""
