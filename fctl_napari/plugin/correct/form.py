"""The fields of the Correct widget, without what they do."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QLineEdit,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, wrapped
from fctl_napari.plugin.correct.class_buttons import ClassButtons
from fctl_napari.plugin.correct.import_export import ExchangePage
from fctl_napari.plugin.correct.next_list import NextPage
from fctl_napari.plugin.correct.other_image import OtherImagePage
from fctl_napari.plugin.correct.regions_list import CorrectedView
from fctl_napari.plugin.layers.choosers import CheckpointCombo, ImageCombo, combo, row, tool
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN

ERROR = "Error in the list"

KEYS = {"here": "H", "pick": "G", "accept": "A", "undo": "Control-Z", "redo": "Control-Shift-Z"}
"""Keys while the widget lives.

The first acts in the whole viewer, all act in the edit window. napari 0.9 uses none of the letters.
"""

TOOLTIPS = {
    "image": "The image layer to correct.",
    "mask": "The segmentation to correct: its classes are painted, picked and accepted.",
    "checkpoint": "Whose classes are painted, where no segmentation is chosen.",
    "painter": "Who paints: kept with every stroke.",
    "here": (
        "Put the edit window, in which napari's brush, eraser, bucket and polygon paint, where you look "
        f"(key {KEYS['here']})."
    ),
    "undo": "Take the last stroke back, wherever it is; also those of earlier sessions (Ctrl+Z).",
    "redo": "Bring it back (Ctrl+Shift+Z).",
    "pick": f"Take the class that the segmentation has under the cursor (key {KEYS['pick']}); then click on the image.",
    "where": (
        "What to accept: pixels under the drawn rectangle, ellipse or polygon, or the region that is chosen in the "
        "list of the Errors widget."
    ),
    "accept": f"Paint what the segmentation says there, as correct (key {KEYS['accept']}).",
    "offer": "You paint beside the edit window: nothing is painted there.",
    "saved": "Strokes are on disk within a second, whatever happens to this program then.",
    "file": "Where the corrections are kept.",
}


class CorrectForm(QWidget):
    """Image, classes, painter, edit window, undo, acceptance, lists of regions, and what is on disk.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = ImageCombo(TOOLTIPS["image"])
        self.mask = combo(TOOLTIPS["mask"])
        self.checkpoint = CheckpointCombo()
        self.checkpoint.setToolTip(TOOLTIPS["checkpoint"])
        self.painter = QLineEdit()
        self.painter.setToolTip(TOOLTIPS["painter"])
        self.hint = wrapped("What is missing.")
        self.other = OtherImagePage()
        self.here = button("Edit here", TOOLTIPS["here"])
        self.offer = button("", TOOLTIPS["offer"])
        self.offer.hide()
        self.undo = button("Undo", TOOLTIPS["undo"])
        self.redo = button("Redo", TOOLTIPS["redo"])
        self.classes = ClassButtons()
        self.pick = button("Pick from prediction", TOOLTIPS["pick"])
        self.pick.setCheckable(True)
        self.where = combo(TOOLTIPS["where"])
        self.where.addItems([DRAWN, ERROR])
        self.draw = tool("Draw", DRAW_TIP)
        self.accept = button("Accept prediction here", TOOLTIPS["accept"])
        self.regions = CorrectedView()
        self.summary = wrapped("How much is corrected.")
        self.next = NextPage()
        self.exchange = ExchangePage()
        regions = QWidget()
        inner = QVBoxLayout(regions)
        inner.setContentsMargins(0, 4, 0, 0)
        inner.addWidget(self.summary)
        inner.addWidget(self.regions, stretch=1)
        self.tabs = QTabWidget()
        self.tabs.addTab(regions, "Regions")
        self.tabs.addTab(self.next, "Where next")
        self.tabs.addTab(self.exchange, "Take over, export")
        self.tabs.setTabToolTip(0, "What is corrected so far.")
        self.tabs.setTabToolTip(1, "Where a correction is worth most.")
        self.tabs.setTabToolTip(2, "Corrections from elsewhere, and for elsewhere.")
        self.saved = wrapped(TOOLTIPS["saved"])
        self.file = wrapped(TOOLTIPS["file"])
        self.file.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._arrange()
        self.set_open(False)

    def _arrange(self) -> None:
        """Lay out the fields."""
        fields = labelled(
            [
                ("Image", self.image),
                ("Segmentation", self.mask),
                ("Checkpoint", row(self.checkpoint, self.checkpoint.open_file)),
                ("Painter", self.painter),
                self.hint,
                self.other,
            ]
        )
        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(fields)
        column.addWidget(self.here)
        column.addWidget(self.offer)
        column.addWidget(self.classes)
        column.addLayout(row(self.undo, self.redo))
        column.addWidget(self.pick)
        column.addLayout(row(self.where, self.draw))
        column.addWidget(self.accept)
        column.addWidget(self.tabs, stretch=1)
        column.addWidget(self.saved)
        column.addWidget(self.file)
        scrolling(self, content, 320)

    def set_open(self, is_open: bool) -> None:
        """Enable the buttons that work now.

        Parameters
        ----------
        is_open : bool
            If True, corrections are open.
        """
        for widget in (self.pick, self.where, self.draw, self.accept, self.exchange):
            widget.setEnabled(is_open)
        if not is_open:
            self.undo.setEnabled(False)
            self.redo.setEnabled(False)

    def explain(self, text: str) -> None:
        """Show in a line what is missing.

        Parameters
        ----------
        text : str
            The line. Empty if nothing is missing.
        """
        self.hint.setText(text)
        self.hint.setVisible(bool(text))

    def make_offer(self, text: str) -> None:
        """Offer to move the edit window.

        Parameters
        ----------
        text : str
            Text of the button. Empty to offer nothing.
        """
        self.offer.setText(text)
        self.offer.setVisible(bool(text))

    def show_saved(self, unsaved: int, trouble: str) -> None:
        """Show if all strokes are on disk.

        Parameters
        ----------
        unsaved : int
            Number of strokes that are not on disk yet.
        trouble : str
            Reason why they cannot be written. Empty if there is none.
        """
        if trouble:
            self.saved.setText(f"⚠ {unsaved} not on disk, tried again: {trouble}")
        elif unsaved:
            self.saved.setText(f"● {unsaved} on the way to disk")
        else:
            self.saved.setText("✓ All strokes are on disk.")
