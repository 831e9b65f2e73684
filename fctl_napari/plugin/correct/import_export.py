"""Import of labels and of others' corrections in the tab Correct, and export of corrections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
from napari.layers import Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.files import export_corrections, import_file, import_labels
from fctl_napari.correcting.merge import Conflict, MergeReport, Policy, merge
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.form_layout import button, labelled, wrapped
from fctl_napari.plugin.common.notify import report, say
from fctl_napari.plugin.io.export import FILTERS
from fctl_napari.plugin.layers.choosers import combo
from fctl_napari.plugin.layers.ground_truth import layer_choices, named_classes
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow
from fctl_napari.words import count_of

FILE, FOLDER, OTHERS = "A file…", "An OME-Zarr label…", "Other corrections…"

POLICIES: dict[str, Policy] = {"keep mine": "mine", "take theirs": "theirs", "not sure": "not sure"}

MOST_CONFLICTS = 1000
"""Maximum number of conflicts that are listed, the largest first."""

TOOLTIPS = {
    "source": (
        "The source to take over: a labels layer (label 0 is nothing; label 1 the first class, unless it names its "
        "classes), where it is seen; polygons (GeoJSON, GeoPackage, COCO), a PNG or TIFF of class indices, a label "
        "of an OME-Zarr, or others' corrections of this image."
    ),
    "policy": "The treatment of pixels that are already painted here as another class.",
    "take": "Take the source over. A single Undo takes all of it back.",
    "export": "Write the corrections for other programs: GeoTIFF, GeoPackage, GeoJSON, COCO, OME-Zarr labels, PNG.",
    "report": "Report on what was taken over.",
    "conflicts": "Conflicts: pixels that both had painted differently. Click one to fly there.",
}


class ExchangePage(QWidget):
    """Fields that choose what to import, the report of an import, and the export.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    wanted : Signal(object, bool)
        Something is to be imported; carries a layer or a path, and True if it is others' corrections.
    export_wanted : Signal(object)
        The corrections are to be exported; carries the ``Path`` to write.
    chosen : Signal(object)
        A conflict was clicked; carries its window.
    """

    wanted = Signal(object, bool)
    export_wanted = Signal(object)
    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source = combo(TOOLTIPS["source"])
        self.policy = combo(TOOLTIPS["policy"])
        self.policy.addItems(list(POLICIES))
        self.take = button("Take over", TOOLTIPS["take"])
        self.export = button("Export…", TOOLTIPS["export"])
        self.report = wrapped(TOOLTIPS["report"])
        self.conflicts = QListWidget()
        self.conflicts.setToolTip(TOOLTIPS["conflicts"])
        self.conflicts.setMinimumHeight(90)
        self.conflicts.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addLayout(labelled([("From", self.source), ("Where both painted", self.policy)]))
        layout.addWidget(self.take)
        layout.addWidget(self.report)
        layout.addWidget(self.conflicts, stretch=1)
        layout.addWidget(self.export)
        self.take.clicked.connect(self._ask)
        self.export.clicked.connect(self._ask_out)
        self.conflicts.itemClicked.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        self._viewer: napari.Viewer | None = None

    def follow(self, viewer: napari.Viewer) -> None:
        """Offer the labels layers of a viewer from now on.

        Parameters
        ----------
        viewer : napari.Viewer
            The viewer.
        """
        self._viewer = viewer
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.renamed):
            emitter.connect(self._fill)
        self._fill()

    def leave(self) -> None:
        """Disconnect from the viewer."""
        assert self._viewer is not None
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._fill)

    def show_report(self, done: MergeReport) -> None:
        """Show the report of an import, and list its conflicts.

        Parameters
        ----------
        done : MergeReport
            The report.
        """
        new = ", ".join(f"{name} {pixels:,} px" for name, pixels in done.added.items() if pixels)
        words = [f"New: {new or 'nothing'}."]
        if done.agreed:
            words.append(f"The same already: {done.agreed:,} px.")
        if done.conflicts:
            pixels = sum(conflict.pixels for conflict in done.conflicts)
            outcome = {"mine": "stay as they were", "theirs": "are theirs now", "not sure": "are not sure now"}
            words.append(f"{count_of(len(done.conflicts), 'conflict')}, {pixels:,} px, {outcome[done.policy]}.")
        if done.notes:
            words += [f"{note[0].upper()}{note[1:]}." for note in done.notes]
        self.report.setText(" ".join(words))
        self.conflicts.clear()
        for conflict in sorted(done.conflicts, key=lambda conflict: -conflict.pixels)[:MOST_CONFLICTS]:
            item = QListWidgetItem(_describe(conflict))
            item.setData(Qt.ItemDataRole.UserRole, conflict.window)
            self.conflicts.addItem(item)

    def clear(self) -> None:
        """Clear the report."""
        self.report.clear()
        self.conflicts.clear()

    def _fill(self, _event: object = None) -> None:
        """List the sources: labels layers and kinds of files."""
        assert self._viewer is not None
        chosen = self.source.currentText()
        self.source.clear()
        for choice in layer_choices(self._viewer):
            self.source.addItem(choice.name, choice.layer)
        self.source.addItems([FILE, FOLDER, OTHERS])
        self.source.setCurrentText(chosen)

    def _ask(self) -> None:
        """Ask for the file or folder to import, and emit ``wanted``."""
        layer, kind = self.source.currentData(), self.source.currentText()
        if layer is not None:
            self.wanted.emit(layer, False)
        elif kind == FILE:
            kinds = "Polygons, class indices (*.geojson *.json *.gpkg *.shp *.zip *.fgb *.tif *.tiff *.png)"
            path, _ = QFileDialog.getOpenFileName(self, "Take over", "", kinds)
            if path:
                self.wanted.emit(Path(path), False)
        else:
            path = QFileDialog.getExistingDirectory(self, kind.removesuffix("…"))
            if path:
                self.wanted.emit(Path(path), kind == OTHERS)

    def _ask_out(self) -> None:
        """Ask for the file to write, and emit ``export_wanted``."""
        path, chosen = QFileDialog.getSaveFileName(
            self,
            "Export the corrections to",
            "",
            ";;".join(FILTERS),
            options=QFileDialog.Option.DontConfirmOverwrite,  # earlier exports are replaced, other files never
        )
        if path:
            suffix = chosen.rpartition("*")[2].rstrip(")")
            self.export_wanted.emit(Path(path if "." in Path(path).name else path + suffix))


def take_over(
    source: Labels | Path,
    placed: Any,
    others: bool,
    policy: Policy,
    author: str,
    corrections: Corrections,
    progress: Progress,
) -> tuple[IntWindow | None, MergeReport]:
    """Import labels, or others' corrections (in the thread that writes).

    Parameters
    ----------
    source : Labels or Path
        A layer, or a path.
    placed : PlacedLabels, ndarray or None
        The labels of a layer in the px of the image (``labels_over``). Unused where the source is a path.
    others : bool
        If True, the path holds corrections.
    policy : Policy
        Resolution of conflicts; see ``corrections.merge.merge``.
    author : str
        Author of the labels. Corrections have authors of their own.
    corrections : Corrections
        Corrections, open for writing.
    progress : Progress
        Called with counts of blocks.

    Returns
    -------
    window : IntWindow or None
        Bounding box of what has changed, (y0, x0, y1, x1) px. None if nothing has.
    report : MergeReport
        What was imported, and the conflicts.

    Raises
    ------
    FctlError
        The source cannot be read, or is of another size or of other classes; or the disk is full.
    Cancelled
        ``progress`` raised it.
    """
    if isinstance(source, Labels):
        labels = _layer_source(source, placed)
        done = import_labels(corrections, labels, author=author, policy=policy, progress=progress)
        if isinstance(placed, PlacedLabels) and (beside := placed.count_beside()):
            done = replace(done, notes=(*done.notes, f"labeled px beside the image, left out: {beside:,}"))
    elif others:
        done = merge(corrections, [Corrections.open(source)], policy=policy, progress=progress)
    else:
        done = import_file(corrections, source, author=author, policy=policy, progress=progress)
    return None if done.stroke is None else done.stroke.window, done


def start_export(path: Path, out: Path) -> Job:
    """Export corrections in a thread, with a bar in napari's activity dock.

    A notification reports how it ended.

    Parameters
    ----------
    path : Path
        Location of the corrections.
    out : Path
        File to write. Its suffix chooses the format.

    Returns
    -------
    Job
        The job, started.
    """

    def work(progress: Progress) -> Path:
        return export_corrections(Corrections.open(path), out, progress=progress)

    job = Job(work, label=f"export to {out.name}")
    job.finished.connect(lambda written: say(f"{written}: is exported."))
    job.failed.connect(report)
    job.start()
    return job


def _layer_source(layer: Labels, array: Any) -> LabelSource:
    """Return the labels of a layer: 0 is nothing, k + 1 is class k, by name where the layer has names."""
    height, width = array.shape[-2:]
    return LabelSource(layer.name, array, (height, width), one_based=True, class_names=named_classes(layer))


def _describe(conflict: Conflict) -> str:
    """Describe a conflict in one line."""
    mine, theirs = (", ".join(counts) for counts in (conflict.mine, conflict.theirs))
    return f"{conflict.pixels:,} px: here {mine}, there {theirs} ({Path(conflict.source).name})"
