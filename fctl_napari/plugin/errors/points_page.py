"""Page of the tab Errors on which random points of the map are drawn and checked, with the areas that follow."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.evaluation.points.checked_points import CheckedPoints
from fctl_napari.evaluation.points.point_estimate import PointEstimate
from fctl_napari.evaluation.points.sample_size import LEAST, TOTAL
from fctl_napari.files import write_json
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.form_layout import button, labelled, wrapped
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.errors.figures_page import Cells
from fctl_napari.plugin.errors.list import KEYS
from fctl_napari.plugin.layers.choosers import row
from fctl_napari.plugin.layers.class_buttons import ButtonWords, ClassButtons
from fctl_napari.words import count_of

WITHOUT_POINTS = (
    "How right is this map? Draw points at random within its classes, say at each which class it is, without seeing "
    "the map, and get accuracy and areas with 95 % intervals."
)
BLIND = "Which class is the pixel in the yellow square? The map is hidden, so that it does not lead you."
MOST_ROWS = 12
"""Largest number of classes that are seen without scrolling."""

ANSWERS = ButtonWords("It is {}", "Leave the point for later, without an answer", "on the canvas")
"""Words of the buttons of classes."""

TOOLTIPS = {
    "total": "Number of points. With 300, shares of the map are known to about 5 percent points.",
    "least": (
        f"Least number of points of each class of the map: {LEAST}, or fewer where the number of points gives fewer. "
        "50 to 100 are advised."
    ),
    "draw": (
        "Draw points on the map: the prediction with its corrections. They lie in a file beside the segmentation, "
        "which fctl points reads and writes too."
    ),
    "drop": "Draw other points. What was checked is lost.",
    "keep": "Keep the points and what was checked.",
    "check": (
        "Go from point to point and say which class it is. Each answer is on disk at once, with the painter's name "
        "(tab Correct)."
    ),
    "stop": "Show the map again. You can resume at any time.",
    "previous": f"Go to the point before, to answer it anew (key {KEYS['previous']}).",
    "next": f"Go to the next point that is not checked (key {KEYS['next']}).",
    "estimate": "Estimate areas and accuracies from the points that are checked (Olofsson et al. 2014).",
    "table": (
        "Areas by class, corrected for the errors of the map, and accuracies, with half the width of their 95 % "
        "intervals. User's accuracy: the share of what is mapped as the class that is the class. Producer's accuracy: "
        "the share of the class that is mapped as it."
    ),
    "copy": "Copy the table as comma-separated values.",
    "json": "Save all figures as JSON.",
}


class PointsPage(QWidget):
    """Page that draws points, asks for their classes, and shows what follows.

    Its other attributes are its fields, see the source.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt parent.

    Attributes
    ----------
    answered : Signal(int)
        The label of the point: k + 1 for class k, 255 for not sure.
    stepped : Signal(int)
        The next point (1) or the one before (-1) is wanted.
    """

    answered = Signal(int)
    stepped = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._estimate: PointEstimate | None = None
        self._hectares: float | None = None
        self._classes: ClassTable | None = None
        self._shortcuts: list[QShortcut] = []
        self.state = wrapped("What is checked so far.")
        self.total = _number("total", TOTAL, 1)
        self.least = _number("least", 1, 1)
        self.least.setSpecialValueText(f"{LEAST} where possible")
        self.draw = button("Draw points", TOOLTIPS["draw"])
        self.warning = wrapped("What drawing would drop.")
        self.drop, self.keep = button("Drop them, draw others", TOOLTIPS["drop"]), button("Keep them", TOOLTIPS["keep"])
        self.check = button("Check points", TOOLTIPS["check"])
        self.estimate = button("Estimate", TOOLTIPS["estimate"])
        self.progress = wrapped("The point that is looked at.")
        self.question = wrapped("Masks, ground truths and what was computed are hidden until you stop.")
        self.question.setText(BLIND)
        self.classes = ClassButtons(ANSWERS, columns=2)
        self.previous, self.next = button("Previous", TOOLTIPS["previous"]), button("Next", TOOLTIPS["next"])
        self.stop = button("Stop", TOOLTIPS["stop"])
        self.table = QTableView()
        self.table.setToolTip(TOOLTIPS["table"])
        self.table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.headline, self.remarks = wrapped("Accuracy of the whole map."), wrapped("What the intervals do not say.")
        for text in (self.headline, self.remarks):
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy, self.save_json = button("Copy CSV", TOOLTIPS["copy"]), button("Save JSON…", TOOLTIPS["json"])
        self._arrange()
        self._connect()
        self.show_checking(False)
        self.show_state(False, None)

    def _arrange(self) -> None:
        """Lay the fields out: what is drawn, what is asked, what follows."""
        self._drawing, self._dropping, self._checking, self._drawn, self._found = (QWidget() for _ in range(5))
        column = _column(self._drawing)
        column.addLayout(labelled([("Points", self.total), ("Least per class", self.least)]))
        column.addWidget(self.draw)
        column = _column(self._dropping)
        column.addWidget(self.warning)
        column.addLayout(row(self.drop, self.keep))
        column = _column(self._checking)
        for widget in (self.progress, self.question, self.classes):
            column.addWidget(widget)
        column.addLayout(row(self.previous, self.next, self.stop))
        _column(self._drawn).addLayout(row(self.check, self.estimate))
        column = _column(self._found)
        for widget in (self.headline, self.table, self.remarks):
            column.addWidget(widget)
        column.addLayout(row(self.copy, self.save_json))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        for widget in (self.state, self._checking, self._drawn, self._found, self._dropping, self._drawing):
            layout.addWidget(widget)
        layout.addStretch()

    def _connect(self) -> None:
        """Connect fields and keys."""
        self.keep.clicked.connect(lambda: self.show_warning(0))
        self.classes.chosen.connect(self.answered)
        self.next.clicked.connect(lambda: self.stepped.emit(1))
        self.previous.clicked.connect(lambda: self.stepped.emit(-1))
        self.copy.clicked.connect(self._copy)
        self.save_json.clicked.connect(self._ask_json)
        steps = {KEYS[name]: step.click for name, step in self.key_buttons().items()}
        for key, act in (steps | self.digits()).items():
            shortcut = QShortcut(QKeySequence(key.replace("-", "+")), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)
            self._shortcuts.append(shortcut)

    def key_buttons(self) -> dict[str, QPushButton]:
        """Return the buttons that keys press, by the names in ``KEYS``."""
        return {"next": self.next, "previous": self.previous}

    def digits(self) -> dict[str, Callable[[], None]]:
        """Return what the digits do while points are checked."""
        return {digit: partial(self._choose, digit) for digit in "0123456789"}

    def _choose(self, digit: str) -> None:
        """Emit the label that a digit means, if there is such a class."""
        label = self.classes.keys().get(digit)
        if label is not None:
            self.answered.emit(label)

    # ---- what is drawn

    def show_state(self, there: bool, points: CheckedPoints | None) -> None:
        """Show what is drawn and checked.

        Parameters
        ----------
        there : bool
            True if there is a segmentation.
        points : CheckedPoints or None
            Its points. None if there are none.
        """
        if not there:
            self.state.setText("There is no map to check yet: segment the image, or open a segmentation.")
        elif points is None:
            self.state.setText(WITHOUT_POINTS)
        else:
            of = "map" if points.final else "prediction alone"
            self.state.setText(f"{points.checked} of {count_of(len(points.points), 'point')} of the {of} checked")
        self.draw.setEnabled(there)
        self._drawn.setVisible(points is not None)
        self.estimate.setEnabled(points is not None and points.checked > 0)
        self.show_warning(0)

    def show_warning(self, checked: int) -> None:
        """Ask whether to drop points that are checked, instead of the fields of the draw.

        Parameters
        ----------
        checked : int
            Number of points that are checked. 0: there is nothing to ask.
        """
        self.warning.setText(f"{count_of(checked, 'point')} of this map are checked already. Other points drop them.")
        self._dropping.setVisible(checked > 0)
        self._drawing.setVisible(not checked)

    # ---- what is asked

    def show_checking(self, checking: bool) -> None:
        """Show the question and its answers alone, or all the rest.

        Parameters
        ----------
        checking : bool
            If True, points are being checked.
        """
        self._checking.setVisible(checking)
        for shortcut in self._shortcuts:
            shortcut.setEnabled(checking)
        for widget in (self.state, self._drawing, self._drawn):
            widget.setVisible(not checking)
        self._dropping.hide()
        self._found.setVisible(not checking and self._estimate is not None)
        if checking:
            self.next.setFocus()

    def show_point(self, points: CheckedPoints, at: int, table: ClassTable) -> None:
        """Show which point is looked at, and its answer so far.

        Parameters
        ----------
        points : CheckedPoints
            The points.
        at : int
            Index of the point.
        table : ClassTable
            Classes of the map.
        """
        number, point = len(points.points), points.points[at]
        if self._classes != table:
            self._classes = table
            self.classes.show_classes(table)
        done = " All are checked: stop, or go back to answer one anew." if points.checked == number else ""
        self.progress.setText(f"Point {at + 1}. {points.checked} of {number} checked.{done}")
        known = point.true in table.names
        self.classes.show_chosen(table.names.index(point.true) + 1 if known else 0)

    # ---- what follows

    def clear(self) -> None:
        """Remove the estimate, which belongs to other points."""
        self._estimate = None
        self._found.hide()

    def show_estimate(self, estimate: PointEstimate, hectares: float | None) -> None:
        """Show areas and accuracies.

        Parameters
        ----------
        estimate : PointEstimate
            The estimates.
        hectares : float or None
            Mapped hectares of all classes, where they are known.
        """
        self._estimate, self._hectares = estimate, hectares
        header, *rows = self._lines()
        self.table.setModel(Cells(list(header[1:]), [line[0] for line in rows], lambda r, c: rows[r][c + 1]))
        height = (
            self.table.horizontalHeader().sizeHint().height() + self.table.horizontalScrollBar().sizeHint().height()
        )
        self.table.setFixedHeight(min(len(rows), MOST_ROWS) * 22 + height + 6)
        accuracy, by, *remarks = estimate.sentences()
        self.headline.setText(f"{accuracy.capitalize()}, {by}.")
        self.remarks.setText("\n".join(remarks))
        self._found.show()

    def _lines(self) -> list[tuple[str, ...]]:
        """Return the table with the class first, and what was counted last."""
        assert self._estimate is not None
        return [(line[-1], *line[3:-1], line[2], line[1], line[0]) for line in self._estimate.table(self._hectares)]

    def _copy(self) -> None:
        """Copy the table as CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self._lines())
        QApplication.clipboard().setText(text.getvalue())

    def _ask_json(self) -> None:
        """Ask for a path and save the figures as JSON."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the figures", "", "JSON (*.json)")
        if path and self._estimate is not None:
            with reported(self):
                write_json(path if path.endswith(".json") else f"{path}.json", self._estimate.to_json(self._hectares))


def _column(part: QWidget) -> QVBoxLayout:
    """Return the layout of a part of the page, without margins."""
    layout = QVBoxLayout(part)
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def _number(tooltip: str, value: int, least: int) -> QSpinBox:
    """Return a field for a number of points."""
    field = QSpinBox()
    field.setRange(least, 100_000)
    field.setValue(value)
    field.setToolTip(TOOLTIPS[tooltip])
    field.setMinimumWidth(60)
    return field
