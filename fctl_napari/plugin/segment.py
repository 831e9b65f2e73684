"""The Segment widget: what its fields do."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Shapes
from napari.qt.threading import create_worker
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QVBoxLayout, QWidget

from fctl_napari.errors import FctlError, InputError
from fctl_napari.imagery.pyramid import pyramid_from_array
from fctl_napari.model.card import Card, checkpoint_hash, read_card, resolve_checkpoint
from fctl_napari.plugin.growing import STORE_KEY, GrowingSegmentation
from fctl_napari.plugin.layers import ImageSource, image_source
from fctl_napari.plugin.live_run import LiveRun, describe
from fctl_napari.plugin.notify import report, reported, say
from fctl_napari.plugin.places import array_path, result_path
from fctl_napari.plugin.pyramids import PyramidJob, is_complete
from fctl_napari.plugin.segment_form import DRAWN, VIEW, SegmentForm
from fctl_napari.plugin.session import session
from fctl_napari.plugin.view import IntWindow, drawn_region, image_shape, view_region
from fctl_napari.segmentation.jobs import Progress, SegmentationRequest

REGION_NAME = "FCtL region"


@dataclass(frozen=True)
class Order:
    """What the user asked for when pressing Run."""

    layer: Image
    checkpoint: str
    region: IntWindow | None
    device: str
    out: str
    fresh: bool


class SegmentWidget(QWidget):
    """Segments an image layer in another process and shows the result tile by tile.

    Parameters
    ----------
    napari_viewer
        The viewer that it is docked in.

    Signals
    -------
    progressed, finished : object
        The latest ``Progress`` of a run (at most every 100 ms), and its last; also of one that could not start.
    """

    progressed = Signal(object)
    finished = Signal(object)

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._run: LiveRun | None = None
        self._job: PyramidJob | None = None
        self._card: Card | None = None
        self.form = SegmentForm()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._connect()
        self._fill_images()
        self._checkpoint_changed()

    def _connect(self) -> None:
        form, layers = self.form, self._viewer.layers
        form.image.currentIndexChanged.connect(self._image_changed)
        form.checkpoint.currentIndexChanged.connect(self._checkpoint_changed)
        form.open_checkpoint.clicked.connect(self._ask_checkpoint)
        form.draw.clicked.connect(self._start_drawing)
        form.result.editingFinished.connect(self._look_for_result)
        form.choose_result.clicked.connect(self._ask_result)
        form.run.clicked.connect(self.start)
        form.cancel.clicked.connect(self.cancel)
        for emitter in (layers.events.inserted, layers.events.removed, layers.events.renamed):
            emitter.connect(self._fill_images)
        session().window_closed.connect(self._window_closed)

    # ---- fields

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        layer = self.form.image.currentData()
        return layer if layer is not None and layer in self._viewer.layers else None

    @property
    def card(self) -> Card | None:
        """The card of the chosen checkpoint; None if there is none, or it cannot be read."""
        return self._card

    @property
    def running(self) -> bool:
        """Whether a run, or what it waits for, is under way."""
        return self._run is not None or self._job is not None

    def _fill_images(self, _event: Any = None) -> None:
        combo, chosen = self.form.image, self.form.image.currentData()
        images = [
            layer for layer in self._viewer.layers if isinstance(layer, Image) and STORE_KEY not in layer.metadata
        ]
        combo.blockSignals(True)
        combo.clear()
        for layer in images:
            combo.addItem(layer.name, layer)
        if chosen in images:
            combo.setCurrentIndex(images.index(chosen))
        combo.blockSignals(False)
        if combo.currentData() is not chosen:
            self._image_changed()

    def _image_changed(self) -> None:
        self._propose_result()
        self._look_for_result()

    def _checkpoint_changed(self) -> None:
        self._card = None
        with reported():
            name = self.form.checkpoint.currentData()
            if name is not None:
                self._card = read_card(resolve_checkpoint(name))
        self.form.card.show_card(self._card)
        self.form.legend.show_classes(self._card.classes.scored if self._card else ())
        self._propose_result()
        self._look_for_result()

    def _ask_checkpoint(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a checkpoint", "", "Checkpoints (*.safetensors)")
        if path:
            self.form.add_checkpoint(path)

    def _ask_result(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Where the result goes",
            self.form.result.text(),
            "OME-Zarr (*.ome.zarr)",
            options=QFileDialog.Option.DontConfirmOverwrite,  # a result that exists is gone on with
        )
        if path:
            self.form.result.setText(path if path.endswith(".zarr") else f"{path}.ome.zarr")
            self._look_for_result()

    def _start_drawing(self) -> None:
        shapes = self._region_layer()
        if shapes is None:
            image = self.image
            scale = image.scale[-2:] if image is not None else (1.0, 1.0)
            place = {} if image is None else {"scale": scale, "units": image.units[-2:]}
            shapes = self._viewer.add_shapes(
                ndim=2,
                name=REGION_NAME,
                edge_color="yellow",
                face_color=[1, 1, 0, 0.05],
                edge_width=3 / (self._viewer.scene.camera.zoom * max(scale)),  # three px on the screen, as it is now
                **place,
            )
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        self.form.where.setCurrentText(DRAWN)

    def _region_layer(self) -> Shapes | None:
        """Return the shapes layer that counts: the active one, else ours, else the topmost."""
        active = self._viewer.layers.selection.active
        found = [layer for layer in self._viewer.layers if isinstance(layer, Shapes)]
        ours = [layer for layer in found if layer.name == REGION_NAME]
        if isinstance(active, Shapes):
            return active
        return (ours or found or [None])[-1]

    def _region(self, layer: Image) -> IntWindow | None:
        where = self.form.where.currentText()
        if where == VIEW:
            return view_region(self._viewer, layer)
        if where == DRAWN:
            shapes = self._region_layer()
            if shapes is None:
                raise InputError(f"{layer.name}: no region is drawn; press Draw and drag a rectangle over the image.")
            return drawn_region(shapes, layer)
        return None

    # ---- the result that is there

    def _propose_result(self) -> None:
        image, name = self.image, self.form.checkpoint.currentData()
        source = image_source(image) if image is not None else None
        text = ""
        if source is not None and name is not None:
            with reported():
                text = str(result_path(source.original, name))
        self.form.result.setText(text)
        self.form.result.setPlaceholderText("in the cache folder" if image is not None and source is None else "")

    def _look_for_result(self) -> None:
        """Show what an earlier run of this checkpoint on this image left at the place of the result."""
        path, image, name = self.form.result.text(), self.image, self.form.checkpoint.currentData()
        if self.running or image is None or self._card is None or not path or not os.path.isdir(path):
            return
        worker = create_worker(_existing_result, path, name)

        def found(growing: GrowingSegmentation | None) -> None:
            current = (self.form.result.text(), self.image) == (path, image) and not self.running
            if growing is None or not current or growing.shape != image_shape(image):
                return
            growing.show_mask(self._viewer, image, layer_name(image, name))
            growing.show_confidence(self._viewer, image, layer_name(image, name))
            self.form.legend.show_shares(growing.shares())
            done = growing.stored.done()
            self.form.show_progress(int(done.sum()), done.size, f"{done.sum()} of {done.size} tiles are there already.")

        worker.returned.connect(found)
        worker.errored.connect(report)
        worker.start()

    # ---- running

    def start(self) -> None:
        """Run what the fields say (the Run button)."""
        if self.running:
            return
        # the window is not kept: a child that holds its window is never collected
        session().follow(self.window())
        with reported():
            image, name = self.image, self.form.checkpoint.currentData()
            if image is None:
                raise InputError("there is no image to segment; open one first.")
            if name is None:
                raise InputError("there is no checkpoint; open one with the button beside the field.")
            if image.ndim != 2:
                raise InputError(f"{image.name}: has {image.ndim} dimensions; segment a layer with two (and colours).")
            order = Order(
                layer=image,
                checkpoint=str(name),
                region=self._region(image),
                device=self.form.device.currentText(),
                out=self.form.result.text(),
                fresh=self.form.fresh.isChecked(),
            )
            source = image_source(image)
            if source is None:
                self._save_first(order)
            elif source.job is not None:
                self._wait_for(source.job, lambda _path: self._launch(order, source))
                say(f"{image.name}: the run starts when its pyramid is ready.")
            else:
                self._launch(order, source)

    def cancel(self) -> None:
        """Stop the run (the Cancel button)."""
        self.form.cancel.setEnabled(False)
        self.form.status.setText("Stopping…")
        if self._run is not None:
            self._run.cancel()
        elif self._job is not None:
            job, self._job = self._job, None
            if job.for_run:
                job.cancel()
            self._idle("Cancelled.")

    def _save_first(self, order: Order) -> None:
        """Save a layer that is no file as an OME-Zarr in the cache folder, then run on that."""
        layer = order.layer
        array = layer.data[0] if layer.multiscale else layer.data
        value_range: tuple[float, float] | None = None
        if np.dtype(array.dtype) != np.uint8:
            # what is black and white on the screen is black and white to the network
            most = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
            low, high = (0, most) if layer.rgb else layer.contrast_limits
            value_range = float(low), float(high)

        def make_source() -> tuple[Any, Path]:
            out = array_path(array, layer.name)  # named after the content: a complete one is this array
            if is_complete(out):
                return None, out
            return pyramid_from_array(array, name=layer.name, value_range=value_range), out

        def launch(path: str) -> None:
            out = order.out or str(result_path(path, order.checkpoint))
            self.form.result.setText(out)
            self._launch(replace(order, out=out), ImageSource(path, path, value_range))

        say(f"{layer.name}: is no file; it is saved in the cache folder first, so that the worker can read it.")
        job = PyramidJob(make_source, f"saving {layer.name}", for_run=True)
        self._wait_for(job, launch)
        job.start()

    def _wait_for(self, job: PyramidJob, then: Any) -> None:
        self._job = job
        self.form.set_busy(True)
        self.form.show_progress(0, 0, "Waiting for the image's pyramid…")

        def go(path: str) -> None:
            if self._job is job:
                self._job = None
                then(path)

        def stop(error: BaseException) -> None:
            if self._job is job:
                self._job = None
                self._idle("Failed.")
                if job.for_run:
                    report(error)

        job.finished.connect(go)
        job.failed.connect(stop)

    def _launch(self, order: Order, source: ImageSource) -> None:
        run = LiveRun(self._viewer, order.layer, layer_name(order.layer, order.checkpoint), self)
        run.progressed.connect(self._show_progress)
        run.shown.connect(lambda growing: self.form.legend.show_shares(growing.shares()))
        run.finished.connect(self._finished)
        request = SegmentationRequest(
            image=source.path,
            out=order.out,
            checkpoint=order.checkpoint,
            region=order.region,
            device=order.device,
            fresh=order.fresh,
            value_range=source.value_range,
            bands=source.bands,
        )
        self.form.set_busy(True)
        self.form.show_progress(0, 0, "Starting the worker…")
        self._run = run
        try:
            run.start(session().engine(), request)
        except FctlError as error:
            self._finished(Progress("failed", error=error))

    def _show_progress(self, progress: Progress) -> None:
        if self.form.cancel.isEnabled():
            self.form.show_progress(progress.done, progress.total, describe(progress))
        self.progressed.emit(progress)

    def _finished(self, progress: Progress) -> None:
        self._run = None
        self._idle(describe(progress), progress.done, progress.total)
        self.form.fresh.setChecked(False)
        if progress.error is not None:
            report(progress.error)
        self.finished.emit(progress)

    def _idle(self, text: str, done: int = 0, total: int = 1) -> None:
        self.form.set_busy(False)
        self.form.show_progress(done, max(total, 1), text)

    # ---- the end

    def event(self, event: QEvent) -> bool:
        """Qt's hook: napari takes a closed dock's widget out of its parent."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._leave()
        return super().event(event)

    def _window_closed(self, window: QWidget) -> None:
        if window is self.window():
            self._leave()

    def _leave(self) -> None:
        """Stop the run and listen to nothing any more: the dock or the window is gone."""
        if self._run is not None:
            self._run.abandon()
        if self._job is not None and self._job.for_run:
            self._job.cancel()
        self._run = self._job = None
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._fill_images)


def layer_name(image: Image, checkpoint: str) -> str:
    """Return the name of the mask's layer."""
    return f"{image.name} by {Path(checkpoint).name.removesuffix('.safetensors')}"


def _existing_result(path: str, checkpoint: str) -> GrowingSegmentation | None:
    """Open the result at ``path`` if ``checkpoint`` made it (on a thread: this reads files)."""
    try:
        growing = GrowingSegmentation(path)
        return growing if growing.stored.checkpoint_hash == checkpoint_hash(resolve_checkpoint(checkpoint)) else None
    except FctlError:
        return None  # Run says what is wrong with it
