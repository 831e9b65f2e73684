"""Tables on the screen, all alike: what their models share, and how lists of regions look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

T = TypeVar("T")


class Rows(QAbstractTableModel, Generic[T]):
    """Rows of things below headings; thousands cost nothing until they are drawn.

    A subclass says in ``data`` what is in a cell, and leaves to this one what it does not care for.

    Parameters
    ----------
    columns
        The headings.
    numbers
        Columns that are aligned to the right.

    Attributes
    ----------
    rows
        What is shown, in this order; see ``show_rows``.
    """

    def __init__(self, columns: Sequence[str], numbers: Sequence[int]) -> None:
        super().__init__()
        self.columns = columns
        self.rows: list[T] = []
        self._numbers = numbers

    def show_rows(self, rows: Sequence[T]) -> None:
        """Show these in place of those that are shown."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Qt's hook."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Qt's hook."""
        return len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Qt's hook."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self.columns[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Qt's hook."""
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in self._numbers:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


def dress_table(view: QTableView, model: QAbstractTableModel, tooltip: str, widths: Sequence[int], height: int) -> None:
    """Make a view show rows of a model, one of which can be chosen.

    Parameters
    ----------
    view, model
        As they were made.
    tooltip
        Of the view.
    widths
        Of the columns from the first on, screen px; the last one takes what is left, too.
    height
        At least so much, screen px.
    """
    view.setModel(model)
    view.setToolTip(tooltip)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setMinimumHeight(height)
    view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)  # else every row is measured
    view.verticalHeader().setDefaultSectionSize(22)
    view.verticalHeader().hide()
    header = view.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    header.setStretchLastSection(True)
    for column, width in enumerate(widths):
        header.resizeSection(column, width)
