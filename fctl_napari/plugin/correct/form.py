"""The fields of the tab Correct, without what they do."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QLineEdit,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, wrapped
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.correct.import_export import ExchangePage
from fctl_napari.plugin.correct.next_list import NextPage
from fctl_napari.plugin.correct.other_image import OtherImagePage
from fctl_napari.plugin.correct.regions_list import CorrectedView
from fctl_napari.plugin.layers.choosers import combo, row, tool
from fctl_napari.plugin.layers.class_buttons import ButtonWords, ClassButtons
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN

ERROR = "Error in the list"

KEYS = {"here": "H", "pick": "G", "accept": "A", "undo": "Control-Z", "redo": "Control-Shift-Z"}
"""Keys while the widget lives.

The first acts in the whole viewer, all act in the edit window. napari 0.9 uses none of the letters.
"""

TOOLTIPS = {
    "mask": (
        "The segmentation to correct. Its classes are painted, picked and accepted. Without one, those of the "
        "checkpoint are painted."
    ),
    "painter": "Name of the author, kept with every stroke.",
    "here": (
        "Move the edit window, in which napari's brush, eraser, bucket and polygon paint, to the middle of the view "
        f"(key {KEYS['here']})."
    ),
    "undo": "Undo the last stroke, wherever it is, also those of earlier sessions (Ctrl+Z).",
    "redo": "Redo the stroke that was undone last (Ctrl+Shift+Z).",
    "new_classes": (
        "Make classes of your own: start from those of a data set, a checkpoint or a file, then rename, add, merge and "
        "split them."
    ),
    "pick": (
        f"Pick the class that the segmentation has under the cursor (key {KEYS['pick']}). Then click on the image."
    ),
    "live": (
        "The classes that are painted are learned on the features of the chosen checkpoint's encoders, and the view is "
        "classified, after every stroke."
    ),
    "keep": "Keep the network that was learned from the strokes as a checkpoint beside the image, and choose it.",
    "live_line": "What is learned, and how much of the view is classified.",
    "where": (
        "The pixels to accept: those under the drawn rectangle, ellipse or polygon, or the region that is chosen in "
        "the list of the tab Errors."
    ),
    "accept": f"Paint the predicted classes there as correct (key {KEYS['accept']}).",
    "offer": "Outside the edit window nothing is painted.",
    "saved": "State of the strokes. They are on disk within a second, whatever happens to this program then.",
    "file": "Path of the corrections.",
}

PAINT = ButtonWords(
    "Paint {}",
    "Paint pixels that are neither learned from nor scored",
    "on the edit window",
    "Pixels corrected so far, and their area where the image says how large they are on the ground.",
)
"""Words of the buttons of classes."""


class CorrectForm(QWidget):
    """Segmentation, classes, painter, edit window, undo, acceptance, lists of regions, and what is on disk.

    Parameters
    ----------
    header : Header
        Fields for image, checkpoint and device, which it shares.
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, header: Header, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image, self.checkpoint, self.device = header.image, header.checkpoint, header.device
        self.mask = combo(TOOLTIPS["mask"])
        self.painter = QLineEdit()
        self.painter.setToolTip(TOOLTIPS["painter"])
        self.guide = Guide()
        self.other = OtherImagePage()
        self.here = button("Edit here", TOOLTIPS["here"])
        self.offer = button("", TOOLTIPS["offer"])
        self.offer.hide()
        self.undo = button("Undo", TOOLTIPS["undo"])
        self.redo = button("Redo", TOOLTIPS["redo"])
        self.classes = ClassButtons(PAINT)
        self.pick = button("Pick from prediction", TOOLTIPS["pick"])
        self.pick.setCheckable(True)
        self.new_classes = button("New classes…", TOOLTIPS["new_classes"])
        self.live = QCheckBox("Classify from strokes")
        self.live.setToolTip(TOOLTIPS["live"])
        self.keep = button("Keep this network", TOOLTIPS["keep"])
        self.keep.setEnabled(False)
        self.keep.hide()
        self.live_line = wrapped(TOOLTIPS["live_line"])
        self.live_line.hide()
        self.where = combo(TOOLTIPS["where"])
        self.where.addItems([DRAWN, ERROR])
        self.draw = tool("Draw", DRAW_TIP)
        self.accept = button("Accept prediction here", TOOLTIPS["accept"])
        self.regions = CorrectedView()
        self.summary = wrapped("Number and area of the corrected regions.")
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
        self.tabs.setTabToolTip(0, "Regions that are corrected so far.")
        self.tabs.setTabToolTip(1, "Regions where a correction is worth most.")
        self.tabs.setTabToolTip(2, "Exchange of corrections with other programs and people.")
        self.saved = wrapped(TOOLTIPS["saved"])
        self.file = wrapped(TOOLTIPS["file"])
        self.file.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._arrange()
        self.set_open(False)

    def _arrange(self) -> None:
        """Lay out the fields."""
        fields = labelled(
            [
                ("Segmentation", self.mask),
                ("Painter", self.painter),
                self.guide,
                self.other,
            ]
        )
        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(fields)
        column.addWidget(self.classes)
        column.addLayout(row(self.pick, self.new_classes))
        column.addWidget(self.live)
        column.addWidget(self.live_line)
        column.addWidget(self.keep)
        column.addLayout(row(self.where, self.draw))
        column.addWidget(self.accept)
        column.addWidget(self.tabs, stretch=1)
        column.addWidget(self.file)
        foot = QVBoxLayout()
        foot.addWidget(self.offer)
        foot.addLayout(row(self.here, self.undo, self.redo))
        foot.addWidget(self.saved)
        scrolling(self, content, foot)

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

    def explain(self, text: str, caption: str = "", tab: str = "") -> None:
        """Show what is missing, or what comes next.

        Parameters
        ----------
        text : str
            The sentence. Empty if nothing is missing.
        caption : str, optional
            Caption of a button that leads to another tab. Empty for none.
        tab : str, optional
            Name of that tab.
        """
        self.guide.say(text, caption, tab)

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
