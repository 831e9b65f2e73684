"""The path of the result: proposed or named, with the result that an earlier run left there."""

from __future__ import annotations

import os
from collections.abc import Callable

import napari
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFileDialog

from fctl_napari.api.locations import result_path
from fctl_napari.model.model_card import Card
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.layers.hidden_masks import show_alone
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.live_run import layer_name
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.plugin.segment.existing_result import ExistingResult, find_existing_result, find_newest_result
from fctl_napari.plugin.segment.form import SegmentForm
from fctl_napari.plugin.segment.runner import Runner
from fctl_napari.progress import Progress
from fctl_napari.words import count_of


class ResultField(QObject):
    """Actions of the field for the result's path.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows a result.
    form : SegmentForm
        Form with the field, which is Qt's parent.
    runner : Runner
        Runs, which make results.
    card : callable
        Function that returns the model card of the checkpoint that is chosen, or None.
    run_is_chosen : callable
        Function that returns True if the last run is of the image and the checkpoint that are chosen now.

    Attributes
    ----------
    named : Signal()
        The user has named a path.
    shown : Signal()
        A result that is there already is shown.
    """

    named = Signal()
    shown = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        form: SegmentForm,
        runner: Runner,
        card: Callable[[], Card | None],
        run_is_chosen: Callable[[], bool],
    ) -> None:
        super().__init__(form)
        self._viewer, self._form, self._runner = viewer, form, runner
        self._card, self._run_is_chosen = card, run_is_chosen
        self._finding = Jobs(self)
        self._proposed = ""  # path of the result while the user has not named one
        self._left = False
        form.result.editingFinished.connect(self._named)
        form.choose_result.clicked.connect(self._ask)

    @property
    def finding(self) -> bool:
        """True while a result is looked for."""
        return self._finding.running

    def propose(self) -> None:
        """Propose the usual path of the result of the image and the checkpoint that are chosen."""
        image, name, request = self._form.image.layer, self._form.checkpoint.name, self._runner.request
        if request is not None and self._run_is_chosen():
            self._form.result.setText(request.out)
            return
        source = image_source(image) if image is not None else None
        text = ""
        if source is not None and name is not None:
            with reported(self):
                text = str(result_path(source.original, name))
        self._form.result.setText(text)
        self._proposed = text
        self._form.result.setPlaceholderText("in the cache folder" if image is not None and source is None else "")

    def look(self, _path: str = "") -> None:
        """Show the result that an earlier run left: at the path, or of any checkpoint while none is chosen.

        Parameters
        ----------
        _path : str, optional
            Path of the image's pyramid that was made; ignored.
        """
        path, image, name = self._chosen()
        running = self._runner.request is not None
        if running or image is None or (name is not None and (self._card() is None or not path)):
            return
        source = image_source(image)
        if source is not None and source.job is not None:
            source.job.finished.connect(self.look)  # its pyramid identifies the image
            return
        proposed = path == self._proposed

        def work(_progress: Progress) -> ExistingResult | None:
            if name is not None:
                return find_existing_result(path, name, source, proposed=proposed)
            return None if source is None else find_newest_result(source)

        def found(result: ExistingResult | None) -> None:
            there = result is not None and (result.layers is not None or os.path.isdir(path))
            unchanged = self._chosen() == (path, image, name) and self._runner.request is None
            if result is not None and there and unchanged:
                self._show(image, result)

        self._finding.begin(work, found, lambda error: report(error, self))

    def leave(self) -> None:
        """Look for nothing any more."""
        self._left = True
        self._finding.drop()

    def _chosen(self) -> tuple[str, Image | None, str | None]:
        """Return path, image and checkpoint that are chosen."""
        return self._form.result.text(), self._form.image.layer, self._form.checkpoint.name

    def _show(self, image: Image, result: ExistingResult) -> None:
        """Show a result that is there already."""
        form, name = self._form, self._form.checkpoint.name
        if name is not None and result.path != form.result.text():
            form.result.setText(result.path)
            self._proposed = result.path
        layers = result.layers
        if layers is None or layers.shape != image_shape(image):
            form.show_progress(0, 1, result.words)
            return
        stored = layers.stored
        title = layer_name(image, stored.facts["checkpoint"]["name"] if name is None else name)
        mask = layers.show_mask(self._viewer, image, title)
        show_alone(self._viewer, mask)

        def show_confidence() -> None:
            if not self._left and mask in self._viewer.layers and image in self._viewer.layers:
                layers.show_confidence(self._viewer, image, title)

        QTimer.singleShot(0, self, show_confidence)  # one layer a tick: each takes about 100 ms under software OpenGL
        if name is None:
            form.legend.show_classes(layers.classes)
        form.legend.show_shares(layers.shares(), layers.hectares())
        self.shown.emit()
        done = stored.done()
        inherited = int(stored.inherited().sum())
        words = f" {inherited} more are those of {stored.parent_name}." if inherited else ""
        there = f"{done.sum():,} of {count_of(done.size, 'tile')} are there already.{words} {result.words}".strip()
        form.show_progress(int(done.sum()), done.size, there)

    def _ask(self) -> None:
        """Ask for a path."""
        path, _ = QFileDialog.getSaveFileName(
            self._form,
            "Choose the path of the result",
            self._form.result.text(),
            "OME-Zarr (*.ome.zarr)",
            options=QFileDialog.Option.DontConfirmOverwrite,  # a result that exists is resumed
        )
        if path:
            self._form.result.setText(path if path.endswith(".zarr") else f"{path}.ome.zarr")
            self._named()

    def _named(self) -> None:
        """Show the result at a path that the user has named."""
        self.look()
        self.named.emit()
