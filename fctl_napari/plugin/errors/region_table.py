"""Rows of the list of regions in the tab Errors: classes, size, confidence and mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QColor

from fctl_napari.evaluation.error_regions import Region
from fctl_napari.evaluation.error_types import Color
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.evaluation.review_marks import Mark
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.plugin.common.tables import Rows
from fctl_napari.plugin.errors.comparison import DIFFERENCES, ERRORS


class RegionTable(Rows[Region]):
    """Table model of regions.

    Thousands cost nothing until they are drawn.
    """

    OTHER = "Other says"
    """Heading of the first column of differences."""

    def __init__(self) -> None:
        super().__init__(("Was", "Called", "px", "Conf.", "Mark"), (2, 3))
        self._marks: dict[Region, Mark | None] = {}
        self._classes: Sequence[tuple[str, Color]] = ()
        self._kind = ERRORS
        self._georeference: Georeference | None = None

    def show(
        self,
        regions: list[Region],
        marks: dict[Region, Mark | None],
        classes: Sequence[tuple[str, Color]],
        kind: str,
        georeference: Georeference | None,
    ) -> None:
        """Show regions.

        Parameters
        ----------
        regions : list of Region
            Regions, in the order of the rows.
        marks : dict of Region to Mark or None
            Marks of those that have one.
        classes : sequence of tuple of (str, Color)
            Names and colors by class index.
        kind : str
            Kind of the regions: ``ERRORS``, ``UNCERTAIN`` or ``DIFFERENCES``.
        georeference : Georeference or None
            Georeference of the image, if it has one.
        """
        self._kind, self._marks, self._classes, self._georeference = kind, marks, classes, georeference
        self.show_rows(regions)

    def mark_changed(self, at: int) -> None:
        """Draw a row again.

        Parameters
        ----------
        at : int
            Index of the row.
        """
        self.dataChanged.emit(self.index(at, 0), self.index(at, len(self.columns) - 1))

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a heading."""
        heading = super().headerData(section, orientation, role)
        return self.OTHER if heading is not None and section == 0 and self._kind == DIFFERENCES else heading

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, color or tooltip of a cell."""
        region, column = self.rows[index.row()], index.column()
        mark = self._marks.get(region)
        if role == Qt.ItemDataRole.DisplayRole:
            return (
                self._name(region.ground_truth),
                self._name(region.predicted),
                f"{region.pixels:,}",
                f"{region.confidence:.0%}",
                {"done": "done", "truth is wrong": "bad truth", None: ""}[mark],
            )[column]
        if role == Qt.ItemDataRole.DecorationRole and column < 2:
            which = region.ground_truth if column == 0 else region.predicted
            return None if which is None else QColor(*self._classes[which][1])
        if role == Qt.ItemDataRole.ForegroundRole and mark is not None:
            return QColor(128, 128, 128)
        if role == Qt.ItemDataRole.ToolTipRole:
            covered = area_words(region.pixels, self._georeference, region.window)
            return f"{region.pixels:,} px{covered}; at row {region.point[0]}, column {region.point[1]} (px)"
        return super().data(index, role)

    def _name(self, index: int | None) -> str:
        """Return the name of a class."""
        return "?" if index is None else self._classes[index][0]
