"""List of regions to review one after the other in the tab Errors, with its order, filters and marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QLabel,
    QPushButton,
    QSpinBox,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.evaluation.error_regions import SMALLEST, THRESHOLDS, Measure, Order, Region, order
from fctl_napari.evaluation.error_types import Color
from fctl_napari.evaluation.review_marks import Mark
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.plugin.common.form_layout import button
from fctl_napari.plugin.common.last_choices import remember_choice
from fctl_napari.plugin.common.tables import dress_table
from fctl_napari.plugin.errors.comparison import DIFFERENCES, ERRORS, UNCERTAIN
from fctl_napari.plugin.errors.region_table import RegionTable
from fctl_napari.plugin.layers.choosers import combo, row

SORTINGS: dict[str, Order] = {"Largest first": "size", "Confidence": "confidence", "By class": "class"}

KEYS = {"next": "N", "previous": "Shift-N", "done": "K", "wrong": "W"}
"""Keys of the viewer while the widget lives; napari 0.9 uses none of them."""

TOOLTIPS = {
    "what": (
        "Errors: connected pixels of one class that were predicted as another. Doubts: regions where the network "
        "was not sure (no ground truth is needed). Differences: regions that differ from the segmentation to "
        "compare with."
    ),
    "measure": (
        "The measure of doubt: the probability of the chosen class, or the maps that were kept with the result."
    ),
    "threshold": "Limit beyond which pixels are in doubt, %.",
    "smallest": "Smallest region that is listed, px.",
    "find": "Search for regions in the part chosen above.",
    "sort": "Order of the list. Confidence: the most confident errors first, the least confident doubts first.",
    "was": "List only regions of this true class.",
    "called": "List only regions that were predicted as this class.",
    "table": "Click a region to fly there. Marked ones are gray, and Next passes over them.",
    "previous": f"Fly to the previous region that is not marked (key {KEYS['previous']}).",
    "next": f"Fly to the next region that is not marked (key {KEYS['next']}).",
    "done": (
        f"Mark the region as looked at, or remove the mark (key {KEYS['done']}). Marks are kept beside the "
        "segmentation."
    ),
    "wrong": f"Mark that the ground truth is wrong there, or remove the mark (key {KEYS['wrong']}).",
}


class RegionsPage(QWidget):
    """Page with the list of regions and the controls to step through it.

    Its other attributes are its fields, see the source.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt parent.

    Attributes
    ----------
    chosen : Signal(object)
        A region was clicked, or stepped to: the ``Region``.
    marked : Signal(object, object)
        A mark is to be kept: a ``Region`` and its new ``Mark`` (or None).
    """

    chosen = Signal(object)
    marked = Signal(object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.what = combo(TOOLTIPS["what"])
        self.measure = combo(TOOLTIPS["measure"])
        self.threshold = _number(1, 99, "threshold", " %")
        self.smallest = _number(1, 10**8, "smallest", " px")
        self.smallest.setValue(SMALLEST)
        remember_choice(self.smallest, "smallest_error")
        self.find = button("Find", TOOLTIPS["find"])
        self.sort = combo(TOOLTIPS["sort"])
        self.sort.addItems(list(SORTINGS))
        remember_choice(self.sort, "error_order")
        self.was = combo(TOOLTIPS["was"])
        self.predicted = combo(TOOLTIPS["called"])
        self.table = RegionTable()
        self.view = QTableView()
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.previous = button("Previous", TOOLTIPS["previous"])
        self.next = button("Next", TOOLTIPS["next"])
        self.done = button("Done", TOOLTIPS["done"])
        self.wrong = button("Truth is wrong", TOOLTIPS["wrong"])
        self._all: list[Region] = []
        self._marks: dict[Region, Mark | None] = {}
        self._classes: Sequence[tuple[str, Color]] = ()
        self._georeference: Georeference | None = None
        self._kind, self._summary = ERRORS, ""
        self._arrange()
        self._connect()
        self.offer(ground_truth=False, second=False, measures=())

    def _arrange(self) -> None:
        """Lay the fields out."""
        dress_table(self.view, self.table, TOOLTIPS["table"], (96, 96, 60, 48), 180)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addLayout(row(self.what, self.find))
        layout.addLayout(row(self.measure, self.threshold))
        layout.addLayout(row(QLabel("of at least"), self.smallest))
        layout.addLayout(row(self.was, self.predicted))
        layout.addWidget(self.sort)
        layout.addLayout(row(self.previous, self.next))
        layout.addLayout(row(self.done, self.wrong))
        layout.addWidget(self.summary)
        layout.addWidget(self.view, stretch=1)

    def _connect(self) -> None:
        """Connect fields and keys."""
        self.what.currentIndexChanged.connect(self._what_changed)
        self.measure.currentIndexChanged.connect(self._measure_changed)
        for field in (self.sort, self.was, self.predicted):
            field.currentIndexChanged.connect(self._list)
        self.view.selectionModel().currentRowChanged.connect(self._row_chosen)
        for key, pressed in self.key_buttons().items():
            shortcut = QShortcut(QKeySequence(KEYS[key].replace("-", "+")), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(pressed.click)
        self.next.clicked.connect(lambda: self.step(1))
        self.previous.clicked.connect(lambda: self.step(-1))
        self.done.clicked.connect(lambda: self.mark("done"))
        self.wrong.clicked.connect(lambda: self.mark("truth is wrong"))

    def key_buttons(self) -> dict[str, QPushButton]:
        """Return the buttons that keys press, by the names in ``KEYS``."""
        return {"next": self.next, "previous": self.previous, "done": self.done, "wrong": self.wrong}

    # ---- what can be listed

    @property
    def kind(self) -> str:
        """Kind of regions to list: ``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``."""
        return str(self.what.currentText())

    @property
    def uncertainty(self) -> tuple[Measure, float]:
        """Measure of uncertainty, and its threshold, 0..1."""
        chosen = self.measure.currentText()
        return next(name for name in THRESHOLDS if name == chosen or not chosen), self.threshold.value() / 100

    def offer(self, *, ground_truth: bool, second: bool, measures: Sequence[Measure]) -> None:
        """Offer the kinds of regions that can be listed.

        Parameters
        ----------
        ground_truth : bool
            True if there is a ground truth.
        second : bool
            True if there is a second segmentation.
        measures : sequence of Measure
            Measures of uncertainty at hand.
        """
        before = {self.what.itemText(k) for k in range(self.what.count())}
        kinds = [ERRORS] * ground_truth + [DIFFERENCES] * second + [UNCERTAIN]
        _refill(self.what, kinds)
        new = [kind for kind in kinds if kind not in before]
        if new and UNCERTAIN not in new:  # a kind that was just made possible is the one wanted
            self.what.setCurrentText(new[0])
        if _refill(self.measure, [name for name in get_args(Measure) if name in measures]):
            self._measure_changed()
        self._what_changed()

    def _what_changed(self) -> None:
        """Show the fields of the chosen kind."""
        uncertain = self.kind == UNCERTAIN
        for widget in (self.measure, self.threshold):
            widget.setVisible(uncertain)
        self.was.setVisible(not uncertain)
        self.wrong.setVisible(not uncertain)

    def _measure_changed(self) -> None:
        """Set the default threshold of the chosen measure."""
        limit = THRESHOLDS.get(self.measure.currentText())
        if limit is not None:
            self.threshold.setValue(round(100 * limit))

    # ---- the list

    def clear(self) -> None:
        """Remove all regions."""
        self.show_regions([], {}, (), ERRORS, "")

    def show_regions(
        self,
        regions: list[Region],
        marks: dict[Region, Mark | None],
        classes: Sequence[tuple[str, Color]],
        kind: str,
        summary: str,
        georeference: Georeference | None = None,
    ) -> None:
        """List regions.

        Parameters
        ----------
        regions : list of Region
            All regions that were found.
        marks : dict of Region to Mark or None
            Marks of those that have one.
        classes : sequence of tuple of (str, Color)
            Names and colors by class index.
        kind : str
            Kind of the regions: ``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``.
        summary : str
            Counts, for people.
        georeference : Georeference or None, optional
            Georeference of the image, if it has one.
        """
        self._all, self._marks, self._classes, self._georeference = regions, marks, classes, georeference
        self._kind, self._summary = kind, summary
        self.view.setColumnHidden(0, kind == UNCERTAIN)
        for field, every in ((self.was, "was any class"), (self.predicted, "called any class")):
            _refill(field, [every, *(name for name, _ in classes)])
        self._list()

    def show_pair(self, pair: tuple[int, int] | None) -> None:
        """List only the regions of one pair of true and predicted class.

        Parameters
        ----------
        pair : tuple of 2 int or None
            Class indices (true, predicted). None lists all.
        """
        for field, index in zip((self.was, self.predicted), pair or (-1, -1), strict=True):
            if index + 1 < field.count():
                field.setCurrentIndex(index + 1)

    def _list(self) -> None:
        """List the regions that pass the filters, in the chosen order."""
        current = self.current
        was, predicted = self.was.currentIndex() - 1, self.predicted.currentIndex() - 1
        kept = [
            region
            for region in self._all
            if (was < 0 or region.ground_truth in (was, None)) and (predicted < 0 or region.predicted == predicted)
        ]
        listed = order(kept, SORTINGS[self.sort.currentText()])
        self.table.show(listed, self._marks, self._classes, self._kind, self._georeference)
        if current in kept:  # it stays chosen, without flying there again
            self._select(listed.index(current), emit=False)
        self._emit_selected()

    @property
    def current(self) -> Region | None:
        """Chosen region, or None."""
        at = self.view.currentIndex().row()
        return self.table.rows[at] if 0 <= at < len(self.table.rows) else None

    def step(self, by: int) -> None:
        """Go to the next or previous region that is not marked.

        At the end the choice stays.

        Parameters
        ----------
        by : int
            1 for the next, -1 for the previous.
        """
        rows = len(self.table.rows)
        if not self._all:
            self.summary.setText("Press Find first.")
            return
        at = self.view.currentIndex().row()
        at = (-1 if by > 0 else rows) if self.current is None else at
        at += by
        while 0 <= at < rows and self._marks.get(self.table.rows[at]) is not None:
            at += by
        if 0 <= at < rows:
            self._select(at)
        elif rows:
            self.summary.setText("That was the last one." if by > 0 else "That was the first one.")

    def mark(self, mark: Mark) -> None:
        """Mark the chosen region, or remove the mark if it is this one already.

        Parameters
        ----------
        mark : Mark
            The mark.
        """
        region = self.current
        if region is None:
            self.summary.setText("Choose a region first: click one, or press Next.")
            return
        self.marked.emit(region, None if self._marks.get(region) == mark else mark)

    def show_mark(self, region: Region, mark: Mark | None) -> None:
        """Show a mark that was kept.

        Parameters
        ----------
        region : Region
            The region.
        mark : Mark or None
            Its mark, or None.
        """
        self._marks[region] = mark
        if region in self.table.rows:
            self.table.mark_changed(self.table.rows.index(region))
        self._emit_selected()

    def _select(self, at: int, *, emit: bool = True) -> None:
        """Select a row."""
        model = self.view.selectionModel()
        model.blockSignals(not emit)
        self.view.selectRow(at)
        model.blockSignals(False)
        if not emit:
            self.view.viewport().update()

    def _row_chosen(self, now: QModelIndex, _before: QModelIndex) -> None:
        """Report the chosen region."""
        if now.isValid():
            self.chosen.emit(self.table.rows[now.row()])

    def _emit_selected(self) -> None:
        """Show the counts of listed and marked regions."""
        marked = sum(mark is not None for mark in self._marks.values())
        listed = len(self.table.rows)
        parts = [self._summary, f"{listed:,} listed" if listed != len(self._all) else "", f"{marked:,} marked"]
        self.summary.setText(" · ".join(part for part in parts if part) if self._all or self._summary else "")


def _refill(field: Any, texts: list[str]) -> bool:
    """Offer texts, keeping what is chosen, and return whether they differ from those before.

    No signal is emitted.
    """
    if [field.itemText(k) for k in range(field.count())] == texts:
        return False
    chosen = field.currentText()
    field.blockSignals(True)
    field.clear()
    field.addItems(texts)
    field.setCurrentText(chosen if chosen in texts else (texts or [""])[0])
    field.blockSignals(False)
    return True


def _number(least: int, most: int, tooltip: str, suffix: str) -> QSpinBox:
    """Return a field for a whole number."""
    field = QSpinBox()
    field.setRange(least, most)
    field.setSuffix(suffix)
    field.setToolTip(TOOLTIPS[tooltip])
    field.setMinimumWidth(60)
    return field
