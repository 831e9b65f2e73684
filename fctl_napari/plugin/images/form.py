"""Form of the list of images: its fields, without what they do."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QSizePolicy, QTableView, QVBoxLayout, QWidget

from fctl_napari.plugin.common.form_layout import WIDTH, button, show_done
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.common.tables import dress_table
from fctl_napari.plugin.images.table import ImageTable
from fctl_napari.plugin.layers.choosers import row, tool

KEYS = {"next": "PageDown", "previous": "PageUp", "done": "Shift-K"}
"""Keys of the viewer while the list is open; napari 0.9 uses none of them."""

TOOLTIPS = {
    "open": "Open a folder of images, with all below it. Dropping it here does the same.",
    "previous": f"Go to the image before (key {KEYS['previous']}).",
    "next": f"Go to the next image (key {KEYS['next']}). Strokes on this one are on disk before it is closed.",
    "done": (
        f"Mark the image as done, or remove the mark (key {KEYS['done']}). Marks are kept in fctl-images.json in the "
        "folder."
    ),
    "all": (
        "Segment all images, one after the other, with the checkpoint of the dock. What is complete is skipped, what "
        "was begun is resumed. Results lie beside the images, and a table of them in the folder."
    ),
    "stop": "Stop within a second. Finished tiles are kept.",
    "table": "Click an image to go there. Hold the mouse over it to see all that is known of it.",
    "status": "Images of the list by their states, or the image that is segmented now.",
}


class ImagesForm(QWidget):
    """List of images below buttons, above progress.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.guide = Guide()
        self.open = tool("Open…", TOOLTIPS["open"])
        self.previous = tool("◀", TOOLTIPS["previous"])
        self.next = tool("▶", TOOLTIPS["next"])
        self.done = button("Done", TOOLTIPS["done"])
        self.all = button("Segment all", TOOLTIPS["all"])
        self.stop = button("Stop", TOOLTIPS["stop"])
        self.table = ImageTable()
        self.view = QTableView()
        dress_table(self.view, self.table, TOOLTIPS["table"], (190,), 46)
        self.view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.progress = QProgressBar()
        self.progress.setToolTip(TOOLTIPS["status"])
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.status = QLabel()  # of one line, so that the list keeps its height
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(3)
        column.addLayout(row(self.open, self.previous, self.next, self.done, self.all, self.stop))
        column.addWidget(self.guide)
        column.addWidget(self.view, stretch=1)
        column.addWidget(self.progress)
        column.addWidget(self.status)
        self.setMinimumWidth(WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.set_busy(False)
        self.set_open(False)

    def set_open(self, is_open: bool) -> None:
        """Show what works with a list, or without one.

        Parameters
        ----------
        is_open : bool
            If True, a list is open.
        """
        self.guide.say("" if is_open else "Open a folder of images, or drop it here.")
        for widget in (self.previous, self.next, self.done, self.all):
            widget.setEnabled(is_open)
        self.view.setVisible(is_open)

    def set_busy(self, busy: bool) -> None:
        """Show what works during a job, or without one.

        Parameters
        ----------
        busy : bool
            If True, the images are being segmented.
        """
        self.open.setEnabled(not busy)
        self.all.setVisible(not busy)
        self.stop.setVisible(busy)
        self.progress.setVisible(busy)

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show the progress of a job.

        Parameters
        ----------
        done : int
            Number of pieces that are done.
        total : int
            Number of all pieces.
        text : str
            The progress in words.
        """
        show_done(self.progress, done, total)
        self.say(text)

    def say(self, text: str) -> None:
        """Show a line below the list.

        Parameters
        ----------
        text : str
            The line. What does not fit is in its tooltip.
        """
        self.status.setText(text)
        self.status.setToolTip(f"{TOOLTIPS['status']}\n{text}")
