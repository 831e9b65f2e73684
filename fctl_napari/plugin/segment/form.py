"""Form of the tab Segment: its fields, without what they do."""

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
from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, show_done, wrapped
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.common.scale_bars import ScaleBars
from fctl_napari.plugin.layers.band_combos import BandCombos
from fctl_napari.plugin.layers.choosers import combo, row, tool
from fctl_napari.plugin.layers.file_images import FileImageCombo
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.network_band_combos import NetworkBandCombos
from fctl_napari.plugin.layers.range_fields import RangeFields
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN, VIEW, WHOLE
from fctl_napari.segmentation.jobs.parameters import FRESH

TOOLTIPS = {
    "scales": "The colors of the confidence and of the maps that are shown, with the values at their ends.",
    "where": "The tiles to segment: those in view, those under the drawn rectangle, or the whole image.",
    "result": (
        "The OME-Zarr that holds the result. Tiles that are in it already are shown and not computed again. It lies "
        "beside the image, or in the cache folder where that is not writable."
    ),
    "choose": "Choose another path for the result.",
    "fresh": FRESH.tooltip,
    "live": (
        "Compute the tiles in view while this is on, from the middle outward. Tiles that leave the view before they "
        "are begun are dropped."
    ),
    "offer": (
        "Run all tiles in view. So many are not computed just because they are in view; zooming in makes them fewer."
    ),
    "run": "Segment the chosen tiles. Those that are done already are not computed again.",
    "cancel": "Stop within a second. Finished tiles are kept, and Run resumes from there.",
    "progress": "Finished tiles of this run.",
}


class SegmentForm(QWidget):
    """Form of the tab Segment.

    It shows bands and range of the image, the model card, region and result, and the legend; Live, Run, Cancel and
    progress stay in sight.

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
        self.guide = Guide()
        self.in_file = FileImageCombo()
        self.bands = BandCombos()
        self.values = RangeFields()
        self.network_bands = NetworkBandCombos()
        self.warning = wrapped("How the image differs from what the network was trained on.")
        self.warning.setStyleSheet("color: #e67e22;")
        self.card = CardView()
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
        self.scales = ScaleBars(TOOLTIPS["scales"])
        self.warn(None)
        self._arrange()

    def _arrange(self) -> None:
        fields = labelled(
            [
                ("", self.in_file),
                self.bands,
                self.values,
                self.card,
                self.network_bands,
                ("Where", row(self.where, self.draw)),
                ("Result", row(self.result, self.choose_result)),
                ("", self.fresh),
            ]
        )
        content = QWidget()
        column = QVBoxLayout(content)
        column.addWidget(self.guide)
        column.addWidget(self.warning)
        column.addLayout(fields)
        column.addWidget(self.legend)
        column.addWidget(self.scales)
        column.addStretch()
        foot = QVBoxLayout()
        foot.addLayout(row(self.live, self.run, self.cancel))
        foot.addWidget(self.progress)
        foot.addWidget(self.status)
        foot.addWidget(self.offer)
        scrolling(self, content, foot)

    def add_checkpoint(self, path: str | Path) -> None:
        """Add a checkpoint file to the choices and choose it.

        Parameters
        ----------
        path : str or Path
            Checkpoint file.
        """
        self.checkpoint.add(path)

    def set_busy(self, busy: bool, *, live: bool = False) -> None:
        """Lock the fields that must not change during a run.

        Parameters
        ----------
        busy : bool
            If True, a run is under way.
        live : bool, optional
            If True, the run is live, and every field may change.
        """
        for widget in (
            self.in_file,
            self.bands,
            self.values,
            self.network_bands,
            self.where,
            self.result,
            self.choose_result,
            self.fresh,
            self.run,
        ):
            widget.setEnabled(not busy or live)
        self.cancel.setEnabled(busy)

    def warn(self, text: str | None) -> None:
        """Show how the image differs from what the network was trained on.

        Parameters
        ----------
        text : str or None
            The sentence. None removes it.
        """
        self.warning.setText(text or "")
        self.warning.setVisible(bool(text))

    def make_offer(self, text: str) -> None:
        """Offer to run the tiles in view.

        Parameters
        ----------
        text : str
            Caption of the button. An empty text hides it.
        """
        self.offer.setText(text)
        self.offer.setVisible(bool(text))

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show the progress of a run.

        Parameters
        ----------
        done : int
            Number of finished tiles.
        total : int
            Number of all tiles. 0 shows that something is under way.
        text : str
            Text of the status line.
        """
        show_done(self.progress, done, total)
        self.status.setText(text)
