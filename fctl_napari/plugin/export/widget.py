"""The tab Export: the actions of its fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from napari.layers import Labels
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

from fctl_napari.correcting.provenance import check_provenance_path
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.exporting.export import check_export
from fctl_napari.files import local_path
from fctl_napari.map_report.report_path import check_report_path, is_report_path
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.last_choices import remember_choice
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.export.form import PARTS, WHAT, ExportForm, goes_together, without_kind
from fctl_napari.plugin.export.map_layer import MapLayer
from fctl_napari.plugin.export.report_work import ReportInputs, report_work
from fctl_napari.plugin.io.export import FILTERS, ExportInputs, export_work
from fctl_napari.plugin.layers.before_after_buttons import BeforeAfterButtons
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.hidden_masks import masks
from fctl_napari.plugin.layers.image_identity import identities
from fctl_napari.plugin.layers.mask_combo import is_mask, preferred_mask
from fctl_napari.plugin.layers.roi import DRAWN, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY


class ExportWidget(DockedWidget):
    """Widget that exports a segmentation for other programs.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Viewer that it is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.
    """

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        self._exporting = Jobs(self)
        self._map = MapLayer(napari_viewer, self)
        self._entered = False  # the tab is shown
        self._proposed = ""
        self._written: Path | None = None
        self._shown_mask: Labels | None = None
        self.form = ExportForm(BeforeAfterButtons(napari_viewer))
        self._fill(self.form)
        self._image = header.image
        self._connect()
        self._fill_masks()

    def _connect(self) -> None:
        """Connect the fields to their actions, and follow the viewer."""
        form = self.form
        self._image.currentIndexChanged.connect(self._choose_mask)
        identities().known.connect(self._choose_mask)
        for emitter in self._emitters():
            emitter.connect(self._fill_masks)
        form.mask.currentIndexChanged.connect(self._mask_changed)
        form.what.currentIndexChanged.connect(self._show_map)
        form.what.currentIndexChanged.connect(self._propose)
        form.kind.currentIndexChanged.connect(self._propose)
        remember_choice(form.kind, "export_kind")
        remember_choice(form.simplify, "export_simplify")
        remember_choice(form.min_area, "export_smallest")
        form.choose.clicked.connect(self._ask)
        form.draw.clicked.connect(self._draw)
        form.export.clicked.connect(self.start)
        form.cancel.clicked.connect(self._exporting.cancel)
        form.open.clicked.connect(self._open)
        self._exporting.busy.connect(form.set_busy)

    # ---- the tab

    def tab_shown(self, name: str) -> None:
        """Show what is exported, or the mask again.

        Parameters
        ----------
        name : str
            Name of the tab that is shown.
        """
        entered, self._entered = self._entered, name == "Export"
        if self._entered:
            self._show_map()
        elif entered:
            self._map.hide()

    def _show_map(self) -> None:
        """Show what is exported, once all strokes are on disk."""
        mask, image = self.mask, self._image.layer
        if not self._entered or mask is None:
            self._map.hide()
            return
        what = WHAT[self.form.what.currentText()]

        def show() -> None:
            if self._entered and mask in self._viewer.layers:
                self._map.show(mask, what, self._report)

        if image is None:
            show()
        else:
            session().flush_strokes(self.window(), image, show)

    @property
    def map_layer(self) -> Labels | None:
        """Layer of the final map or its provenance, or None."""
        return self._map.layer

    @property
    def running(self) -> bool:
        """True while an export is under way, or the map is opened."""
        return self._exporting.running or self._map.running

    @property
    def mask(self) -> Labels | None:
        """The layer of the chosen segmentation, or None."""
        return self.form.mask.currentData()

    def _emitters(self) -> list[Any]:
        """Return the events of the viewer after which the segmentations are listed."""
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.renamed]

    def _fill_masks(self, _event: Any = None) -> None:
        """List the segmentations, the uppermost first, and keep the chosen one."""
        field, chosen = self.form.mask, self.mask
        found = list(reversed(masks(self._viewer)))
        field.blockSignals(True)
        field.clear()
        for mask in found:
            field.addItem(mask.name, mask)
        if chosen in found:
            field.setCurrentIndex(found.index(chosen))
        field.blockSignals(False)
        self._choose_mask()
        self._mask_changed()

    def _choose_mask(self, _event: Any = None) -> None:
        """Choose a segmentation of the image, unless one of it is chosen."""
        image, field = self._image.layer, self.form.mask
        if image is None or (self.mask is not None and is_mask(self._viewer, self.mask, image)):
            return
        mask = preferred_mask(self._viewer, image)
        if mask is not None:
            field.setCurrentIndex(field.findData(mask))

    def _mask_changed(self) -> None:
        """Propose a path beside the segmentation, unless the user has entered one."""
        form, mask = self.form, self.mask
        if mask is not None:
            form.guide.say("")
        elif self._image.layer is None:
            form.guide.say("Open an image first.")
        else:
            form.guide.say("Segment the image first, or open a segmentation.", "Segment it (Segment)", "Segment")
        self._propose()
        if mask is not self._shown_mask:
            self._shown_mask = mask
            self._show_map()

    def _propose(self) -> None:
        """Propose a path beside the segmentation that says what is written, unless the user has entered one."""
        form, mask = self.form, self.mask
        if without_kind(form.path.text()) not in ("", without_kind(self._proposed)):
            return
        self._proposed = ""
        if mask is not None:
            part, suffix = PARTS[WHAT[form.what.currentText()]], form.suffix
            if suffix == ".ome.zarr" and not part:
                part = ".map"  # the segmentation itself has the name without it
            self._proposed = f"{str(mask.metadata[STORE_KEY]).removesuffix('.ome.zarr')}{part}{suffix}"
        form.path.setText(self._proposed)

    def _draw(self) -> None:
        """Let the user draw the region."""
        self.form.where.setCurrentText(DRAWN)
        start_drawing(self._viewer, self.mask)

    def _ask(self) -> None:
        """Ask for the path."""
        what = WHAT[self.form.what.currentText()]
        path, chosen = QFileDialog.getSaveFileName(
            self,
            "Export to",
            self.form.path.text(),
            ";;".join(one for one in FILTERS if goes_together(what, _suffix(one))),
            options=QFileDialog.Option.DontConfirmOverwrite,  # earlier exports are replaced, other files never
        )
        if path:
            self.form.path.setText(path if "." in Path(path).name else path + _suffix(chosen))

    def inputs(self) -> ExportInputs | ReportInputs:
        """Return the inputs that the fields hold.

        Returns
        -------
        ExportInputs or ReportInputs
            The inputs, checked.

        Raises
        ------
        FctlError
            There is no segmentation, or it cannot be exported like that.
        """
        form, mask = self.form, self.mask
        if mask is None:
            raise InputError("there is no segmentation to export; segment an image first, or open a segmentation.")
        path = local_path(form.path.text().strip()).expanduser().absolute()
        store = str(mask.metadata[STORE_KEY])
        what = WHAT[form.what.currentText()]
        if what == "provenance":
            check_provenance_path(path)
        if is_report_path(path):
            check_report_path(path)
            return ReportInputs(store, path, what == "final map", session().ground_truth_of(self.window(), store))
        inputs = ExportInputs(
            store,
            path,
            region=chosen_region(self._viewer, mask, form.where.currentText()),
            simplify=(form.simplify.value() or None) if form.simplify.isEnabled() else None,
            min_area=form.min_area.value() if form.min_area.isEnabled() else 0,
            what=what,
        )
        check_export(path, simplify=inputs.simplify, min_area=inputs.min_area)
        return inputs

    def start(self) -> None:
        """Export what the fields say, in a thread (the Export button)."""
        form = self.form
        form.status.clear()
        form.open.hide()
        with reported(self):
            inputs, image = self.inputs(), self._image.layer
            form.status.setText(f"Writing {inputs.out.name}…")
            form.set_busy(True)
            self._follow_window()
            if image is None:
                self._write(inputs)
            else:
                session().flush_strokes(self.window(), image, lambda: self._write(inputs))

    def _write(self, inputs: ExportInputs | ReportInputs) -> None:
        """Write the file now that all strokes are on disk."""
        form = self.form
        work = report_work(inputs) if isinstance(inputs, ReportInputs) else export_work(inputs)

        def done(sentence: str) -> None:
            form.status.setText(sentence)
            self._written = inputs.out
            form.open.setVisible(isinstance(inputs, ReportInputs))

        self._exporting.begin(work, done, self._failed, progressed=form.show_progress)
        form.show_progress(0, 0)

    def _open(self) -> None:
        """Open the report that was written last in the program for such files."""
        with reported(self):
            if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written))):
                raise InputError(f"{self._written}: no program is known that shows it; open it yourself.")

    def _failed(self, error: BaseException) -> None:
        self.form.status.setText("Stopped." if isinstance(error, Cancelled) else "")
        report(error, self)

    def _leave(self, *, layers: bool) -> None:
        """Stop following the viewer when the dock or the window is gone.

        An export under way is ended.
        """
        self._exporting.drop()
        if layers:
            self._map.hide()
        identities().known.disconnect(self._choose_mask)
        for emitter in self._emitters():
            emitter.disconnect(self._fill_masks)


def _suffix(filtered: str) -> str:
    """Return the end of names of a filter of the dialog."""
    return filtered.rpartition("*")[2].rstrip(")")
