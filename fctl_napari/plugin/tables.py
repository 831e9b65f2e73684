"""Lists of regions on the screen, all alike."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QAbstractTableModel
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView


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
