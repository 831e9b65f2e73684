"""Fields of the tab Export, without what they do."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QDoubleSpinBox, QLineEdit, QProgressBar, QSpinBox, QVBoxLayout, QWidget

from fctl_napari.correcting.provenance import RASTERS
from fctl_napari.exceptions import FctlError
from fctl_napari.exporting.export import POLYGON_KINDS, SIMPLIFIED_KINDS, kind_of
from fctl_napari.map_report.report_path import is_report_path
from fctl_napari.plugin.common.form_layout import button, labelled, scrolling, show_done, wrapped
from fctl_napari.plugin.common.guide import Guide
from fctl_napari.plugin.io.export import What
from fctl_napari.plugin.layers.choosers import combo, row, tool
from fctl_napari.plugin.layers.roi import DRAW_TIP, DRAWN, VIEW, WHOLE

KINDS = {
    "Classes as GeoTIFF": ".tif",
    "Polygons as GeoPackage": ".gpkg",
    "Polygons as GeoJSON": ".geojson",
    "Annotations as COCO": ".coco.json",
    "Labels as OME-Zarr": ".ome.zarr",
    "Classes as PNG": ".png",
    "Report as HTML": ".html",
    "Report as PDF": ".pdf",
}
"""Kinds of export, with the ends of their names."""

WHAT: dict[str, What] = {
    "Final map, with corrections": "final map",
    "Prediction alone": "prediction",
    "Provenance: who said it": "provenance",
}
"""What can be written, by its name for people."""

REPORT_KINDS = ("html", "pdf")
"""Kinds of export that are reports, of the whole image."""

PARTS: dict[What, str] = {"final map": "", "prediction": ".prediction", "provenance": ".provenance"}
"""What the proposed names of exports say of what is written."""

TOOLTIPS = {
    "mask": "The segmentation to export.",
    "what": (
        "The final map: the prediction with the corrections that people painted. Or the prediction alone. Or, for "
        "each px, who said its class: predicted, corrected, accepted, not sure."
    ),
    "kind": (
        "The form in which it is written. The end of the name says the same. A report is one page with picture, areas, "
        "accuracy (by checked points, else by the ground truth of the tab Errors), doubts and settings. Provenance is "
        "written as a raster alone."
    ),
    "path": "Path of the export. An earlier export there is replaced, another file never.",
    "choose": "Choose the path of the export.",
    "where": "The part to export: all of it, the view, or a rectangle drawn over it. A report is of all of it.",
    "simplify": (
        "Simplify polygons by about this many px. Neighbors keep their common border. Arms and gaps narrower than "
        "that vanish, and the number of px that this changes is reported in the end. 0: along the px."
    ),
    "min_area": "Leave out regions of fewer px. Their number is reported in the end.",
    "export": "Write the file, in a thread.",
    "cancel": "Stop. A former file stays.",
    "open": "Open the report in the program that shows such files.",
    "progress": "Progress of the export.",
}


class ExportForm(QWidget):
    """Form of the tab Export: segmentation, kind, path, region and the making of polygons.

    Its attributes are its fields, see the source.

    Parameters
    ----------
    comparing : QWidget
        Buttons that compare the final map with the prediction.
    parent : QWidget or None, optional
        Qt's parent.
    """

    def __init__(self, comparing: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparing = comparing
        self.guide = Guide()
        self.mask = combo(TOOLTIPS["mask"])
        self.what = combo(TOOLTIPS["what"])
        self.what.addItems(WHAT)
        self.kind = combo(TOOLTIPS["kind"])
        self.kind.addItems(KINDS)
        self.path = QLineEdit()
        self.path.setToolTip(TOOLTIPS["path"])
        self.choose = tool("…", TOOLTIPS["choose"])
        self.where = combo(TOOLTIPS["where"])
        self.where.addItems([WHOLE, VIEW, DRAWN])
        self.draw = tool("Draw", DRAW_TIP)
        self.simplify = QDoubleSpinBox()
        self.simplify.setToolTip(TOOLTIPS["simplify"])
        self.simplify.setRange(0, 1000)
        self.simplify.setSingleStep(0.5)
        self.simplify.setSuffix(" px")
        self.simplify.setSpecialValueText("no, exact")
        self.min_area = QSpinBox()
        self.min_area.setToolTip(TOOLTIPS["min_area"])
        self.min_area.setRange(0, 10**9)
        self.min_area.setSuffix(" px")
        self.export = button("Export", TOOLTIPS["export"])
        self.cancel = button("Cancel", TOOLTIPS["cancel"])
        self.open = button("Open", TOOLTIPS["open"])
        self.open.hide()
        self.progress = QProgressBar()
        self.progress.setToolTip(TOOLTIPS["progress"])
        self.progress.setTextVisible(False)
        self.progress.setRange(0, 1)
        self.status = wrapped("Outcome of the last export.")
        for field in (self.simplify, self.min_area):
            field.setMinimumWidth(60)
        self._arrange()
        self.set_busy(False)
        self.what.currentIndexChanged.connect(self._what_chosen)
        self.kind.currentIndexChanged.connect(self._kind_chosen)
        self.path.textChanged.connect(self._path_changed)
        self._path_changed()

    def _arrange(self) -> None:
        """Lay the fields out."""
        content = QWidget()
        column = QVBoxLayout(content)
        column.addWidget(self.guide)
        column.addLayout(
            labelled(
                [
                    ("Segmentation", self.mask),
                    ("What", self.what),
                    ("Compare", self._comparing),
                    ("As", self.kind),
                    ("To", row(self.path, self.choose)),
                    ("Where", row(self.where, self.draw)),
                    ("Simplify", self.simplify),
                    ("Smallest", self.min_area),
                ]
            )
        )
        column.addStretch()
        foot = QVBoxLayout()
        foot.addLayout(row(self.export, self.cancel))
        foot.addWidget(self.progress)
        foot.addWidget(self.status)
        foot.addWidget(self.open)
        scrolling(self, content, foot)

    @property
    def suffix(self) -> str:
        """End of the names of the chosen kind."""
        return KINDS[self.kind.currentText()]

    def set_busy(self, busy: bool) -> None:
        """Enable the button that works now.

        Parameters
        ----------
        busy : bool
            If True, an export is under way.
        """
        self.export.setEnabled(not busy)
        self.cancel.setEnabled(busy)
        self.show_progress(0, 1)

    def show_progress(self, done: int, total: int) -> None:
        """Show the progress of an export.

        Parameters
        ----------
        done : int
            Number of finished pieces.
        total : int
            Number of all pieces; 0 shows that it is under way.
        """
        show_done(self.progress, done, total)

    def _what_chosen(self) -> None:
        """Offer the kinds that go with what is written, and choose one of them."""
        what = WHAT[self.what.currentText()]
        offered = [goes_together(what, suffix) for suffix in KINDS.values()]
        for index, offer in enumerate(offered):
            self.kind.model().item(index).setEnabled(offer)
        if not offered[self.kind.currentIndex()]:
            self.kind.setCurrentIndex(offered.index(True))

    def _kind_chosen(self) -> None:
        """Give the path the end that the kind has."""
        if self.path.text():
            self.path.setText(without_kind(self.path.text()) + self.suffix)

    def _path_changed(self) -> None:
        """Choose the kind that the path's end says, and enable the fields that it has."""
        kind = _kind_of(self.path.text())
        kinds = [_kind_of("x" + suffix) for suffix in KINDS.values()]
        if kind is not None:
            self.kind.blockSignals(True)
            self.kind.setCurrentIndex(kinds.index(kind))
            self.kind.blockSignals(False)
        self.simplify.setEnabled(kind in SIMPLIFIED_KINDS)
        self.min_area.setEnabled(kind in POLYGON_KINDS)
        whole = kind in REPORT_KINDS
        if whole:
            self.where.setCurrentText(WHOLE)
        for field in (self.where, self.draw):
            field.setEnabled(not whole)


def _kind_of(path: str) -> str | None:
    """Return the kind that the end of a path says, or None."""
    if is_report_path(Path(path)):
        return "pdf" if path.lower().endswith(".pdf") else "html"
    try:
        return kind_of(Path(path))
    except FctlError:
        return None


def goes_together(what: What, suffix: str) -> bool:
    """Return whether something can be written in a form.

    Parameters
    ----------
    what : What
        What is written.
    suffix : str
        End of the name.

    Returns
    -------
    bool
        False for a provenance that is no raster.
    """
    return what != "provenance" or _kind_of("x" + suffix) in RASTERS


def without_kind(path: str) -> str:
    """Return a path without the end that says its kind.

    Parameters
    ----------
    path : str
        Path of an export.

    Returns
    -------
    str
        The path without the end of its name, if that is the end of a kind.
    """
    for suffix in sorted(KINDS.values(), key=len, reverse=True):
        if path.lower().endswith(suffix):
            return path[: len(path) - len(suffix)]
    return path
