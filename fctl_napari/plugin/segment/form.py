"""The fields of the Segment widget, and nothing of what they do."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import (
    QCheckBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.plugin.common.card_view import CardView, Legend
from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, show_done
from fctl_napari.plugin.layers.choosers import CheckpointCombo, ImageCombo, combo, devices, row, tool
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN, VIEW, WHOLE
from fctl_napari.segmentation.jobs.parameters import DEVICE, FRESH

TOOLTIPS = {
    "image": "The image layer to segment.",
    "device": DEVICE.tooltip,
    "where": "What to segment: the tiles in view, those under the drawn rectangle, or the whole image.",
    "result": (
        "The OME-Zarr that holds the result. What is in it already is shown and not computed again. It stands "
        "beside the image, or in the cache folder where that is not writable."
    ),
    "choose": "Choose another place for the result.",
    "fresh": FRESH.tooltip,
    "live": (
        "While on, the tiles in view are computed, from the middle outward; what leaves the view before it is begun is "
        "dropped."
    ),
    "offer": "So many tiles are not computed just because they are in view. Zoom in, or run them.",
    "run": "Segment. Tiles that are done already are not computed again.",
    "cancel": "Stop within a second. Finished tiles are kept; Run goes on from there.",
    "progress": "Finished tiles of this run.",
}


class SegmentForm(QWidget):
    """Image, checkpoint with its card, device, where, result; Live, Run, Cancel, progress, legend."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = ImageCombo(TOOLTIPS["image"])
        self.checkpoint = CheckpointCombo()
        self.card = CardView()
        self.device = combo(TOOLTIPS["device"])
        self.device.addItems(devices())
        self.where = combo(TOOLTIPS["where"])
        self.where.addItems([VIEW, DRAWN, WHOLE])
        self.draw = tool("Draw", DRAW_TIP)
        self.result = QLineEdit()
        self.result.setToolTip(TOOLTIPS["result"])
        self.choose_result = tool("…", TOOLTIPS["choose"])
        self.fresh = QCheckBox("Start afresh")
        self.fresh.setToolTip(TOOLTIPS["fresh"])
        self.live = button("Live", TOOLTIPS["live"])
        self.live.setCheckable(True)
        self.run = button("Run", TOOLTIPS["run"])
        self.cancel = button("Cancel", TOOLTIPS["cancel"])
        self.cancel.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setToolTip(TOOLTIPS["progress"])
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
        self.progress.setTextVisible(False)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setToolTip(TOOLTIPS["progress"])
        self.offer = button("", TOOLTIPS["offer"])
        self.offer.hide()
        self.legend = Legend()
        self._arrange()

    def _arrange(self) -> None:
        fields = labelled(
            [
                ("Image", self.image),
                ("Checkpoint", row(self.checkpoint, self.checkpoint.open_file)),
                self.card,
                ("Device", self.device),
                ("Where", row(self.where, self.draw)),
                ("Result", row(self.result, self.choose_result)),
                ("", self.fresh),
            ]
        )
        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(fields)
        column.addLayout(row(self.live, self.run, self.cancel))
        column.addWidget(self.progress)
        column.addWidget(self.status)
        column.addWidget(self.offer)
        column.addWidget(self.legend)
        column.addStretch()
        scrolling(self, content, 320)

    def add_checkpoint(self, path: str | Path) -> None:
        """Offer a checkpoint file, and choose it."""
        self.checkpoint.add(path)

    def set_busy(self, busy: bool, *, live: bool = False) -> None:
        """Lock what must not change during a run; while live all may change."""
        for widget in (
            self.image,
            self.checkpoint,
            self.checkpoint.open_file,
            self.device,
            self.where,
            self.result,
            self.choose_result,
            self.fresh,
            self.run,
        ):
            widget.setEnabled(not busy or live)
        self.cancel.setEnabled(busy)

    def make_offer(self, text: str) -> None:
        """Offer to run what is in view; an empty text offers nothing."""
        self.offer.setText(text)
        self.offer.setVisible(bool(text))

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show how far a run is; a total of 0 shows that something is under way."""
        show_done(self.progress, done, total)
        self.status.setText(text)
