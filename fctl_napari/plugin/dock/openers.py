"""Entries of napari's menus that open the dock."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from fctl_napari.plugin.dock.dock import open_images, open_tab, undock


class Opener(QWidget):
    """Entry of napari's menus that opens the dock at a tab.

    napari docks what such an entry makes. It is an empty widget, which takes itself away at once.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.

    Attributes
    ----------
    page : DockedWidget
        The widget of the tab.
    """

    tab = "Segment"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.page = self._open()
        QTimer.singleShot(0, self._go)

    def _open(self) -> Any:
        """Open what the entry is for."""
        return open_tab(self._viewer, self.tab)

    def _go(self) -> None:
        """Take itself away."""
        undock(self._viewer, self)
        self.deleteLater()


class OpenSegment(Opener):
    """Entry that opens the tab Segment."""


class OpenExplore(Opener):
    """Entry that opens the tab Explore."""

    tab = "Explore"


class OpenErrors(Opener):
    """Entry that opens the tab Errors."""

    tab = "Errors"


class OpenCorrect(Opener):
    """Entry that opens the tab Correct."""

    tab = "Correct"


class OpenFinetune(Opener):
    """Entry that opens the tab Fine-tune."""

    tab = "Fine-tune"


class OpenExport(Opener):
    """Entry that opens the tab Export."""

    tab = "Export"


class OpenImages(Opener):
    """Entry that opens the list of images."""

    def _open(self) -> Any:
        """Open the list."""
        return open_images(self._viewer)
