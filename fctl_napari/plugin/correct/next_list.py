"""The list of regions to correct next, with the buttons that step through it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QShowEvent
from qtpy.QtWidgets import QLabel, QPushButton, QTableView, QVBoxLayout, QWidget

from fctl_napari.evaluation.acquisition import Suggestion
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.form_layout import button
from fctl_napari.plugin.common.tables import Rows, dress_table
from fctl_napari.plugin.layers.choosers import row

KEYS = {"next": "J", "previous": "Shift-J", "skip": "U"}
"""Keys of the viewer while the widget lives; napari 0.9 uses none of them."""

TOOLTIPS = {
    "table": (
        "Doubtful regions without corrections, by the expected gain of correcting them: entropy x rarity of the "
        "class x size. Click one to fly there. Skipped ones are gray, and Next passes over them."
    ),
    "next": f"Fly to the next region (key {KEYS['next']}).",
    "previous": f"Fly to the previous region (key {KEYS['previous']}).",
    "skip": (
        f"Skip the chosen region from now on, or stop skipping it (key {KEYS['skip']}): a skipped region counts as "
        "looked at, in the tab Errors too. The mark is kept beside the segmentation."
    ),
    "find": "Search for regions again, in everything that is segmented by now.",
}


class NextTable(Rows[Suggestion]):
    """Suggestions as rows.

    Thousands of rows cost nothing until they are drawn.
    """

    def __init__(self) -> None:
        super().__init__(("Called", "Gain", "px", "Entropy"), (1, 2, 3))
        self._skipped: Collection[Suggestion] = ()
        self._table: ClassTable | None = None
        self._georeference: Georeference | None = None

    def show(
        self,
        suggestions: Sequence[Suggestion],
        skipped: Collection[Suggestion],
        table: ClassTable | None,
        georeference: Georeference | None = None,
    ) -> None:
        """Show suggestions.

        Parameters
        ----------
        suggestions : sequence of Suggestion
            Suggestions, in this order.
        skipped : collection of Suggestion
            Those of them that are skipped.
        table : ClassTable or None
            The classes that they refer to.
        georeference : Georeference or None, optional
            Georeference of the image, if it has one.
        """
        self._skipped, self._table = skipped, None if table is None else displayed(table)
        self._georeference = georeference
        self.show_rows(suggestions)

    def skipped(self, at: int) -> bool:
        """Return whether a row is skipped.

        Parameters
        ----------
        at : int
            Index of the row.

        Returns
        -------
        bool
            True if its suggestion is skipped.
        """
        return self.rows[at] in self._skipped

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, color or tooltip of a cell."""
        one, column = self.rows[index.row()], index.column()
        assert self._table is not None
        predicted = self._table.scored[one.region.predicted]
        if role == Qt.ItemDataRole.DisplayRole:
            return (predicted.name, f"{one.gain:.2f}", f"{one.region.pixels:,}", f"{one.entropy:.2f}")[column]
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return QColor(*predicted.color)
        if role == Qt.ItemDataRole.ForegroundRole and self.skipped(index.row()):
            return QColor(128, 128, 128)
        if role == Qt.ItemDataRole.ToolTipRole:
            y, x = one.region.point
            factors = f"entropy {one.entropy:.2f} x rarity {one.rarity:.2f} x size {one.size:.2f}"
            covered = area_words(one.region.pixels, self._georeference, one.region.window)
            return f"gain {one.gain:.3f} = {factors}; {one.region.pixels:,} px{covered}; at row {y}, column {x} (px)"
        return super().data(index, role)


class NextPage(QWidget):
    """The list of suggestions, with the buttons Next, Previous and Skip.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    chosen : Signal(object)
        A suggestion was clicked, or stepped to; carries the ``Suggestion``.
    skipped : Signal(object)
        A suggestion is to be skipped from now on, or no more; carries the ``Suggestion``.
    stepped : Signal(int)
        Next (1) or Previous (-1) is pressed.
    wanted : Signal()
        The list is to be made anew.
    seen : Signal()
        The page is on the screen now.
    """

    chosen = Signal(object)
    skipped = Signal(object)
    stepped = Signal(int)
    wanted = Signal()
    seen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = NextTable()
        self.view = QTableView()
        dress_table(self.view, self.table, TOOLTIPS["table"], (96, 44, 60, 50), 140)
        self.view.clicked.connect(lambda index: self._choose(index.row()))
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.previous, self.next = button("Previous", TOOLTIPS["previous"]), button("Next", TOOLTIPS["next"])
        self.skip, self.find = button("Skip", TOOLTIPS["skip"]), button("Find anew", TOOLTIPS["find"])
        self.next.clicked.connect(lambda: self.stepped.emit(1))
        self.previous.clicked.connect(lambda: self.stepped.emit(-1))
        self.skip.clicked.connect(self._skip)
        self.find.clicked.connect(self.wanted)
        self._at = -1  # the row that was chosen last, even if its suggestion is gone
        self._gone = True
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.summary)
        layout.addLayout(row(self.previous, self.next))
        layout.addWidget(self.view, stretch=1)
        layout.addLayout(row(self.skip, self.find))

    def key_buttons(self) -> dict[str, QPushButton]:
        """Return the buttons that keys press, by the keys."""
        buttons = {"next": self.next, "previous": self.previous, "skip": self.skip}
        return {KEYS[name]: button for name, button in buttons.items()}

    @property
    def current(self) -> Suggestion | None:
        """The suggestion that is chosen."""
        return None if self._gone else self.table.rows[self._at]

    def show_suggestions(
        self,
        suggestions: Sequence[Suggestion],
        skipped: Collection[Suggestion],
        table: ClassTable | None,
        georeference: Georeference | None = None,
    ) -> None:
        """List suggestions.

        The one that is chosen stays so if it is still there, as a whole or in part.

        Parameters
        ----------
        suggestions : sequence of Suggestion
            Suggestions, in this order.
        skipped : collection of Suggestion
            Those of them that are skipped.
        table : ClassTable or None
            The classes that they refer to.
        georeference : Georeference or None, optional
            Georeference of the image, if it has one.
        """
        before = self.current
        self.table.show(suggestions, skipped, table, georeference)
        if before is not None:
            points = [one.region.point for one in suggestions]
            self._gone = before.region.point not in points
            if not self._gone:
                self._at = points.index(before.region.point)
                self.view.selectRow(self._at)

    def clear(self, text: str) -> None:
        """List nothing, and show why.

        Parameters
        ----------
        text : str
            The reason.
        """
        self._at, self._gone = -1, True
        self.table.show([], (), None)
        self.summary.setText(text)

    def step(self, by: int) -> None:
        """Choose the next or the previous suggestion that is not skipped.

        At the end of the list, nothing more is chosen, and the summary says so.

        Parameters
        ----------
        by : int
            1 for the next, -1 for the previous one.
        """
        rows = len(self.table.rows)
        at = self._at + (0 if self._gone and by > 0 and self._at >= 0 else by)
        while 0 <= at < rows and self.table.skipped(at):
            at += by
        if 0 <= at < rows:
            self._choose(at)
        elif rows:
            self.summary.setText("That was the last one." if by > 0 else "That was the first one.")

    def _choose(self, at: int) -> None:
        """Choose a row."""
        self._at, self._gone = at, False
        self.view.selectRow(at)
        self.chosen.emit(self.table.rows[at])

    def _skip(self) -> None:
        """Emit ``skipped`` for the suggestion that is chosen."""
        if self.current is None:
            self.summary.setText("Choose a region first: click one, or press Next.")
        else:
            self.skipped.emit(self.current)

    def showEvent(self, event: QShowEvent) -> None:
        """Emit ``seen`` when the page is shown."""
        super().showEvent(event)
        self.seen.emit()
