"""Tables on the screen: the common base of their models, and the look of lists of regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

T = TypeVar("T")


class Rows(QAbstractTableModel, Generic[T]):
    """Rows of objects below headings.

    Thousands of rows cost nothing until they are drawn. A subclass returns in ``data`` the content of a cell, and
    leaves to this class the roles that it does not handle.

    Parameters
    ----------
    columns : sequence of str
        The headings.
    numbers : sequence of int
        Indices of the columns that are aligned to the right.

    Attributes
    ----------
    rows : list
        The objects that are shown, in this order; see ``show_rows``.
    """

    def __init__(self, columns: Sequence[str], numbers: Sequence[int]) -> None:
        super().__init__()
        self.columns = columns
        self.rows: list[T] = []
        self._numbers = numbers

    def show_rows(self, rows: Sequence[T]) -> None:
        """Replace the rows that are shown.

        Parameters
        ----------
        rows : sequence
            Objects to show, in this order.
        """
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the heading of a column."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self.columns[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the alignment of a cell, and None for all other roles."""
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in self._numbers:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


def dress_table(view: QTableView, model: QAbstractTableModel, tooltip: str, widths: Sequence[int], height: int) -> None:
    """Make a view show the rows of a model, one of which can be chosen.

    Parameters
    ----------
    view : QTableView
        View to set up.
    model : QAbstractTableModel
        Model that it shows.
    tooltip : str
        Tooltip of the view.
    widths : sequence of int
        Widths of the columns from the first on, screen px. The last column also takes what is left.
    height : int
        Minimum height, screen px.
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
