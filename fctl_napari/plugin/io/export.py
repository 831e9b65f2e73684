"""Export of a segmentation from the window.

A small form asks how, a thread with a bar exports, and a notification reports the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

from fctl_napari.errors import FctlError, InputError
from fctl_napari.export.export import POLYGON_KINDS, SIMPLIFIED_KINDS, check_export, export, kind_of
from fctl_napari.export.losses import ExportLosses
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.notify import report, say
from fctl_napari.plugin.layers.roi import DRAWN, VIEW, WHOLE, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

FILTERS = (
    "GeoTIFF, TIFF (*.tif)",
    "GeoPackage polygons (*.gpkg)",
    "GeoJSON polygons (*.geojson)",
    "COCO annotations (*.coco.json)",
    "OME-Zarr labels (*.ome.zarr)",
    "PNG of class indices (*.png)",
)

TOOLTIPS = {
    "path": (
        "Path of the export. The end of the name decides the format: .tif, .gpkg, .geojson, .coco.json, .ome.zarr "
        "or .png."
    ),
    "choose": "Choose the path of the export.",
    "where": "The part to export: all of it, the view, or a rectangle drawn over it.",
    "draw": "Draw a rectangle. This form stays open.",
    "simplify": (
        "Simplify polygons by about this many px. Neighbors keep their common border. Arms and gaps narrower than "
        "that vanish, and the number of px that this changes is reported in the end. 0: along the px."
    ),
    "min_area": "Leave out regions of fewer px. Their number is reported in the end.",
}


@dataclass(frozen=True)
class ExportInputs:
    """Inputs of an export.

    See ``fctl_napari.export.export.export``.

    Attributes
    ----------
    store : str
        Path of the segmentation's store.
    out : Path
        Path of the file to write; its suffix gives the format.
    region : IntWindow or None
        (y0, x0, y1, x1) px. None means the whole image.
    simplify : float or None
        Tolerance of simplified polygons, px. None means exact polygons.
    min_area : int
        Number of px of the smallest region that is written.
    """

    store: str
    out: Path
    region: IntWindow | None = None
    simplify: float | None = None
    min_area: int = 0


def start_export(inputs: ExportInputs) -> Job:
    """Export in a thread, with a bar in napari's activity dock.

    A notification reports how it ended.

    A former file stays if the job is cancelled, or ends with the application.

    Parameters
    ----------
    inputs : ExportInputs
        The inputs.

    Returns
    -------
    Job
        The started job.
    """
    losses = ExportLosses()

    def work(progress: Progress) -> Path:
        return export(
            Segmentation.open(inputs.store),
            inputs.out,
            region=inputs.region,
            simplify=inputs.simplify,
            min_area=inputs.min_area,
            losses=losses,
            progress=progress,
        )

    job = Job(work, label=f"export to {inputs.out.name}")
    job.finished.connect(lambda path: say("; ".join([f"{path}: is exported", *losses.sentences()]) + "."))
    job.failed.connect(report)
    job.start()
    return job


class ExportDialog(QDialog):
    """Dialog for the path of an export, the region, and the making of polygons.

    Its attributes are its fields, see the source.

    Parameters
    ----------
    layer : Layer
        Layer that shows a segmentation of ours.
    viewer : napari.Viewer
        Viewer whose view may be the region.
    parent : QWidget or None, optional
        Qt parent.
    """

    def __init__(self, layer: Layer, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Export {layer.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._layer, self._viewer = layer, viewer
        store = Path(layer.metadata[STORE_KEY])
        self.path = QLineEdit(str(store.with_name(f"{store.name.removesuffix('.ome.zarr')}.tif")))
        self.path.setMinimumWidth(420)
        self.choose = QToolButton()
        self.choose.setText("…")
        self.where = QComboBox()
        self.where.addItems([WHOLE, VIEW, DRAWN])
        self.draw = QToolButton()
        self.draw.setText("Draw")
        self.simplify = QDoubleSpinBox()
        self.simplify.setRange(0, 1000)
        self.simplify.setSingleStep(0.5)
        self.simplify.setSuffix(" px")
        self.simplify.setSpecialValueText("no, exact")
        self.min_area = QSpinBox()
        self.min_area.setRange(0, 10**9)
        self.min_area.setSuffix(" px")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setText("Export")
        for name, tooltip in TOOLTIPS.items():
            getattr(self, name).setToolTip(tooltip)
        path_row = QHBoxLayout()
        path_row.addWidget(self.path)
        path_row.addWidget(self.choose)
        fields = QFormLayout(self)
        fields.addRow("To", path_row)
        part = QHBoxLayout()
        part.addWidget(self.where, stretch=1)
        part.addWidget(self.draw)
        fields.addRow("Where", part)
        fields.addRow("Simplify", self.simplify)
        fields.addRow("Smallest region", self.min_area)
        fields.addRow(self.buttons)
        self.choose.clicked.connect(self._ask)
        self.draw.clicked.connect(self._draw)
        self.path.textChanged.connect(self._follow)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._follow()

    def inputs(self) -> ExportInputs:
        """Return the inputs that the fields hold.

        Returns
        -------
        ExportInputs
            The inputs, checked.

        Raises
        ------
        FctlError
            It cannot be exported like that.
        """
        path = Path(self.path.text()).expanduser().absolute()
        inputs = ExportInputs(
            self._layer.metadata[STORE_KEY],
            path,
            region=chosen_region(self._viewer, self._layer, self.where.currentText()),
            simplify=(self.simplify.value() or None) if self.simplify.isEnabled() else None,
            min_area=self.min_area.value() if self.min_area.isEnabled() else 0,
        )
        check_export(path, simplify=inputs.simplify, min_area=inputs.min_area)
        return inputs

    def accept(self) -> None:
        """Start the export, or report what is wrong and stay open."""
        try:
            inputs = self.inputs()
        except FctlError as error:
            report(error)
            return
        super().accept()
        start_export(inputs)

    def _draw(self) -> None:
        """Let the user draw the region."""
        self.where.setCurrentText(DRAWN)
        start_drawing(self._viewer, self._layer)

    def _ask(self) -> None:
        """Ask for the path."""
        path, chosen = QFileDialog.getSaveFileName(
            self,
            "Export to",
            self.path.text(),
            ";;".join(FILTERS),
            options=QFileDialog.Option.DontConfirmOverwrite,  # earlier exports are replaced, other files never
        )
        if path:
            suffix = chosen.rpartition("*")[2].rstrip(")")
            self.path.setText(path if "." in Path(path).name else path + suffix)

    def _follow(self) -> None:
        """Enable only the fields that the format has."""
        try:
            kind = kind_of(Path(self.path.text()))
        except FctlError:
            kind = None
        self.simplify.setEnabled(kind in SIMPLIFIED_KINDS)
        self.min_area.setEnabled(kind in POLYGON_KINDS)


def export_layer() -> None:
    """Ask how to export the selected segmentation, and do it (the menus' command)."""
    viewer = napari.current_viewer()
    try:
        layer = _segmentation_layer(viewer)
    except InputError as error:
        report(error)
        return
    dialog = ExportDialog(layer, viewer, viewer.window._qt_window)
    dialog.show()


def _segmentation_layer(viewer: napari.Viewer | None) -> Layer:
    """Return the selected layer that shows a segmentation of ours, or the only one there is.

    Raises
    ------
    InputError
        There is none, or it is not clear which.
    """
    layers = [] if viewer is None else [layer for layer in viewer.layers if STORE_KEY in layer.metadata]
    chosen = [layer for layer in layers if viewer is not None and layer in viewer.layers.selection]
    stores = {layer.metadata[STORE_KEY]: layer for layer in chosen or layers}
    if len(stores) == 1:
        return next(iter(stores.values()))
    if stores:
        raise InputError("there are several segmentations; select the one to export in the layer list.")
    raise InputError("there is no segmentation to export; segment an image first, or open a segmentation.")


def write_labels(path: str, _data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a layer of a segmentation as polygons (napari's writer).

    In a window a thread does it, and a notification reports when the file is there. In scripts it is there on return.

    Parameters
    ----------
    path : str
        Path of the file to write.
    _data : object
        Data of the layer; ignored, because the store is read.
    attributes : dict of str to object
        Attributes of the layer.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    InputError
        The layer shows no segmentation of ours.
    FctlError
        See ``export``.
    """
    store = attributes.get("metadata", {}).get(STORE_KEY)
    if store is None:
        raise InputError(
            f"{attributes.get('name', path)}: is no segmentation by FCtL; only these are saved as polygons."
        )
    if napari.current_viewer() is None:
        return [str(export(Segmentation.open(store), path))]
    check_export(Path(path))
    start_export(ExportInputs(store, Path(path)))
    return [path]
