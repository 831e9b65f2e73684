"""The list of corrected regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QTableView, QWidget

from fctl_napari.correcting.regions import CorrectedRegion
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.class_display import displayed
from fctl_napari.plugin.common.tables import Rows, dress_table
from fctl_napari.plugin.layers.styles import NOT_SURE_COLOR

TIP = "Connected regions of corrections, the largest first. Click one to fly there."


class CorrectedTable(Rows[CorrectedRegion]):
    """Corrected regions as rows.

    Thousands of rows cost nothing until they are drawn.
    """

    def __init__(self) -> None:
        super().__init__(("Painted", "px", "By"), (1,))
        self._table: ClassTable | None = None
        self._georeference: Georeference | None = None

    def show(
        self,
        regions: Sequence[CorrectedRegion],
        table: ClassTable | None,
        georeference: Georeference | None = None,
    ) -> None:
        """Show regions, the largest first.

        Parameters
        ----------
        regions : sequence of CorrectedRegion
            The regions.
        table : ClassTable or None
            The classes of the corrections.
        georeference : Georeference or None, optional
            Georeference of the image, if it has one.
        """
        self._table = None if table is None else displayed(table)
        self._georeference = georeference
        self.show_rows(sorted(regions, key=lambda region: (-region.pixels, region.point)))

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, color or tooltip of a cell."""
        region, column = self.rows[index.row()], index.column()
        shares = self._shares(region)
        if role == Qt.ItemDataRole.DisplayRole:
            names = ", ".join(name for name, _, _ in shares)
            return (names, f"{region.pixels:,}", ", ".join(region.authors))[column]
        if role == Qt.ItemDataRole.DecorationRole and column == 0:
            return QColor(*shares[0][1])
        if role == Qt.ItemDataRole.ToolTipRole:
            parts = ", ".join(
                f"{name} {pixels:,} px{area_words(pixels, self._georeference, region.window)}"
                for name, _, pixels in shares
            )
            return f"{parts}; at row {region.point[0]}, column {region.point[1]} (px)"
        return super().data(index, role)

    def _shares(self, region: CorrectedRegion) -> list[tuple[str, tuple[int, int, int], int]]:
        """Return name, color and px of each class that is painted in a region, the largest first."""
        assert self._table is not None
        scored = self._table.scored
        shares = [(scored[k].name, scored[k].color, pixels) for k, pixels in region.by_class.items()]
        if region.not_sure:
            shares.append(("not sure", NOT_SURE_COLOR, region.not_sure))
        return sorted(shares, key=lambda share: -share[2])


class CorrectedView(QTableView):
    """The table of corrected regions on the screen.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    chosen : Signal(object)
        A region was clicked; carries the ``CorrectedRegion``.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = CorrectedTable()
        dress_table(self, self.table, TIP, (130, 70, 60), 140)
        self.clicked.connect(self._clicked)

    def show_regions(
        self,
        regions: Sequence[CorrectedRegion],
        table: ClassTable | None,
        georeference: Georeference | None = None,
    ) -> None:
        """List regions.

        The one that is chosen stays so if it is still there.

        Parameters
        ----------
        regions : sequence of CorrectedRegion
            The regions.
        table : ClassTable or None
            The classes of the corrections.
        georeference : Georeference or None, optional
            Georeference of the image, if it has one.
        """
        at = self.currentIndex().row()
        before = self.table.rows[at] if 0 <= at < len(self.table.rows) else None
        self.table.show(regions, table, georeference)
        for row, region in enumerate(self.table.rows):
            if before is not None and region.point == before.point:
                self.selectRow(row)
                return

    def _clicked(self, index: QModelIndex) -> None:
        self.chosen.emit(self.table.rows[index.row()])
