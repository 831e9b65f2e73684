"""The fields of the tab Fine-tune, without what they do."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QLineEdit,
    QProgressBar,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, show_done, wrapped
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.finetune.gate_report import GateReport
from fctl_napari.plugin.finetune.lineage_page import LineagePage
from fctl_napari.plugin.finetune.parts_field import PartsField
from fctl_napari.plugin.finetune.plot import FinetunePlot
from fctl_napari.plugin.layers.choosers import combo, row, tool
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.styles import NOT_SURE_COLOR

TOOLTIPS = {
    "corrections": "Corrections of the image (tab Correct), by class. A part is held out to measure on.",
    "others": (
        "Learn from all images of the list (Plugins > FCtL > Images) that are corrected, together. What each holds out "
        "is measured."
    ),
    "truth": "Ground truth of the image, to measure on before and after. Nothing is learned from it.",
    "open": "Open a ground truth, a PNG or TIFF of class indices.",
    "steps": "Greatest number of steps. Learning stops early when it gets no better.",
    "seconds": "Greatest time for these steps.",
    "out": "Path of the new checkpoint. Nothing is overwritten.",
    "choose": "Choose another path for the new checkpoint.",
    "start": "Learn from the corrections, in another process. Strokes that are not on disk yet are written first.",
    "pause": "Pause the learning, or resume it. Segmenting and explaining continue.",
    "cancel": "Stop within a second. The learned state is kept, and can be resumed.",
    "progress": "Tiles prepared, or steps done.",
    "offer": "An earlier run that was not decided.",
    "discard": "Delete the files of that run. Corrections stay.",
}


class _Tabs(QTabWidget):
    """Tabs that need the height of the page in sight, where Qt takes that of the highest."""

    def __init__(self) -> None:
        super().__init__()
        self.currentChanged.connect(lambda _index: self.updateGeometry())

    def sizeHint(self) -> QSize:
        """Return the usual size."""
        return super().sizeHint() - QSize(0, self._excess(lambda page: page.sizeHint().height()))

    def minimumSizeHint(self) -> QSize:
        """Return the least size."""
        return super().minimumSizeHint() - QSize(0, self._excess(lambda page: page.minimumSizeHint().height()))

    def heightForWidth(self, width: int) -> int:
        """Return the height for a width."""
        return super().heightForWidth(width) - self._excess(lambda page: page.heightForWidth(width))

    def _excess(self, height: Callable[[QWidget], int]) -> int:
        """Return by how much the highest page is higher than the one in sight."""
        pages = [self.widget(index) for index in range(self.count())]
        return max(map(height, pages)) - height(self.currentWidget()) if pages else 0


class FinetuneForm(QWidget):
    """Corrections, trainable parts, ground truth, limits, plot and lineage, above buttons that stay in sight.

    The checkpoint of the header is the parent, the network that learns. It stays as it is, and a new one is made.

    Parameters
    ----------
    header : Header
        Fields for image, checkpoint and device, which it shares.
    comparing : QWidget
        Buttons that compare the candidate's result with its parent's.
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, header: Header, comparing: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._header = header
        self.image, self.checkpoint, self.device = header.image, header.checkpoint, header.device
        self.corrections = wrapped(TOOLTIPS["corrections"])
        self.corrections.setTextFormat(Qt.TextFormat.RichText)
        self.others = QCheckBox("and the other corrected images")
        self.others.setToolTip(TOOLTIPS["others"])
        self.others.hide()
        self.parts = PartsField()
        self.ground_truth = combo(TOOLTIPS["truth"])
        self.ground_truth.addItem("none", None)
        self.open_ground_truth = tool("…", TOOLTIPS["open"])
        self.steps = _spin(TOOLTIPS["steps"], 1, 100_000, " steps")
        self.steps.setValue(FinetuneRequest.model_fields["steps"].default)
        self.seconds = _spin(TOOLTIPS["seconds"], 0, 86_400, " s")
        self.seconds.setSpecialValueText("no limit")
        self.out = QLineEdit()
        self.out.setToolTip(TOOLTIPS["out"])
        self.choose_out = tool("…", TOOLTIPS["choose"])
        self.guide = Guide()
        self.offer = QWidget()
        self.offered = wrapped(TOOLTIPS["offer"])
        self.take_offer = button("", TOOLTIPS["offer"])
        self.discard = tool("Discard", TOOLTIPS["discard"])
        self.start = button("Start", TOOLTIPS["start"])
        self.pause = button("Pause", TOOLTIPS["pause"])
        self.cancel = button("Cancel", TOOLTIPS["cancel"])
        self.progress = QProgressBar()
        self.progress.setToolTip(TOOLTIPS["progress"])
        self.progress.setRange(0, 1)
        self.progress.setTextVisible(False)
        self.status = wrapped(TOOLTIPS["progress"])
        self.plot = FinetunePlot()
        self.gate_report = GateReport(comparing)
        self.lineage = LineagePage()
        self.tabs = _Tabs()
        run = QWidget()
        inner = QVBoxLayout(run)
        inner.setContentsMargins(0, 4, 0, 0)
        inner.addWidget(self.gate_report)
        inner.addWidget(self.plot)
        inner.addStretch()
        self.tabs.addTab(run, "Run")
        self.tabs.addTab(self.lineage, "Lineage")
        self.tabs.setTabToolTip(0, "Course of the run and its result.")
        self.tabs.setTabToolTip(1, "Checkpoints and their parents.")
        self._arrange()
        self.make_offer("")
        self.set_state("idle")

    def _arrange(self) -> None:
        """Lay out the fields."""
        fields = labelled(
            [
                ("Corrections", self.corrections),
                ("", self.others),
                ("Learns", self.parts),
                ("Truth", row(self.ground_truth, self.open_ground_truth)),
                ("At most", row(self.steps, self.seconds)),
                ("New one", row(self.out, self.choose_out)),
                self.guide,
            ]
        )
        offer = QVBoxLayout(self.offer)
        offer.setContentsMargins(0, 0, 0, 0)
        offer.addWidget(self.offered)
        offer.addLayout(row(self.take_offer, self.discard))
        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(fields)
        column.addWidget(self.tabs, stretch=1)
        foot = QVBoxLayout()
        foot.addWidget(self.offer)
        foot.addWidget(self.gate_report.decision)
        foot.addLayout(row(self.start, self.pause, self.cancel))
        foot.addWidget(self.progress)
        foot.addWidget(self.status)
        self._scroll = scrolling(self, content, foot)

    def set_state(self, state: str) -> None:
        """Enable the fields and buttons that work in a state.

        Parameters
        ----------
        state : str
            ``"idle"``, ``"preparing"``, ``"running"``, ``"paused"``, ``"stopping"`` or ``"waiting"``.
        """
        idle = state == "idle"
        self._header.lock(self, not idle)
        for widget in (
            self.others,
            self.parts,
            self.ground_truth,
            self.open_ground_truth,
            self.steps,
            self.seconds,
            self.out,
            self.choose_out,
            self.offer,
            self.start,
        ):
            widget.setEnabled(idle)
        self.pause.setEnabled(state in ("running", "paused"))
        self.pause.setText("Go on" if state == "paused" else "Pause")
        self.cancel.setEnabled(state in ("preparing", "running", "paused"))

    def show_corrections(self, path: Path | None, areas: dict[str, int], classes: ClassTable | None) -> None:
        """Show the corrected area, by class.

        Parameters
        ----------
        path : Path or None
            Location of the corrections. None if it is not known.
        areas : dict of str to int
            Painted px by the name of the class.
        classes : ClassTable or None
            Classes of the corrections. None if there are none.
        """
        if classes is None:
            self.corrections.setText("none yet" if path is None else f"none yet ({html.escape(path.name)})")
            return
        colors = {info.name: info.color for info in displayed(classes).scored}
        words = [
            f"<span style='color: rgb{colors.get(name, NOT_SURE_COLOR)}'>■</span>&nbsp;"
            f"{html.escape(name)}&nbsp;{pixels:,}"
            for name, pixels in areas.items()
            if pixels
        ]
        total = sum(areas.values())
        self.corrections.setText(f"{total:,} px: {' &nbsp; '.join(words)}" if words else "nothing is painted yet")

    def show_report(self) -> None:
        """Bring the gate's report into sight, its first line on top, as it may be higher than what is in sight."""
        self.tabs.setCurrentIndex(0)
        QTimer.singleShot(0, self._scroll, self._scroll_to_report)

    def _scroll_to_report(self) -> None:
        top = self.gate_report.mapTo(self._scroll.widget(), QPoint(0, 0)).y()
        self._scroll.verticalScrollBar().setValue(top)

    def scroll_up(self) -> None:
        """Bring what comes next into sight."""
        self._scroll.verticalScrollBar().setValue(0)

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

    def make_offer(self, text: str, action: str = "", *, discard: bool = False) -> None:
        """Offer to resume or review an earlier run.

        Parameters
        ----------
        text : str
            Description of the earlier run. Empty to offer nothing.
        action : str, optional
            Text of the button.
        discard : bool, optional
            If True, also offer to discard the run.
        """
        self.offered.setText(text)
        self.take_offer.setText(action)
        self.discard.setVisible(discard)
        self.offer.setVisible(bool(text))

    def show_progress(self, done: int, total: int, text: str) -> None:
        """Show the progress of a run.

        Parameters
        ----------
        done : int
            Number of pieces that are done.
        total : int
            Number of all pieces. 0 shows only that something is running.
        text : str
            The progress in words.
        """
        show_done(self.progress, done, total)
        self.status.setText(text)


def _spin(tooltip: str, low: int, high: int, suffix: str) -> QSpinBox:
    """Return a field for a number."""
    box = QSpinBox()
    box.setRange(low, high)
    box.setSuffix(suffix)
    box.setToolTip(tooltip)
    box.setMinimumWidth(60)
    return box
