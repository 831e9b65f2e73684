"""Runs of the tab Segment: their requests, and their results shown while they grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import maps_path, result_path
from fctl_napari.exceptions import FctlError
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.live_run import LiveRun, layer_name
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.result_paths import own_path


class Runner(QObject):
    """Runner of the tab Segment's requests.

    It saves an image that is no file, waits for pyramids that are being made, then runs the request.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that the layers are added to.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    begun : Signal(object)
        The ``SegmentationRequest`` that is now run. It is emitted again when its ``out`` became known.
    waiting : Signal(str)
        Text that says what the runner waits for.
    progressed : Signal(object)
        The latest ``RunProgress`` of the run.
    shown : Signal(object)
        The ``SegmentationLayers``, when there is something new to see.
    ended : Signal(object)
        The last ``RunProgress``, also of a request that never ran.
    """

    begun = Signal(object)
    waiting = Signal(str)
    progressed = Signal(object)
    shown = Signal(object)
    ended = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Image | None = None
        self._request: SegmentationRequest | None = None
        self._next: tuple[Image, SegmentationRequest] | None = None
        self._run: LiveRun | None = None
        self._file: OnDisk | None = None
        self._placing = Jobs(self)  # finds where a result goes

    @property
    def request(self) -> SegmentationRequest | None:
        """Request that is run now, or None."""
        return self._request

    @property
    def followed(self) -> bool:
        """True if another request waits for the end of this one."""
        return self._next is not None

    @property
    def run(self) -> LiveRun | None:
        """Run under way, or None while there is none or the request still waits for its image."""
        return self._run

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the run under way."""
        return () if self._run is None else self._run.layers

    def submit(self, layer: Image, request: SegmentationRequest) -> None:
        """Run a request.

        A live one that is under way is stopped and makes way for it. While any other is under way, nothing happens.

        Parameters
        ----------
        layer : Image
            Image layer.
        request : SegmentationRequest
            Request to run. Its image, range and bands are replaced by those of the layer. An empty ``out`` means the
            usual path.
        """
        if self._request is None:
            self._begin(layer, request)
        elif self._request.live:
            self._next = (layer, request)
            self._stop()

    def cancel(self) -> None:
        """Stop the request under way.

        ``ended`` is emitted in the end.
        """
        self._next = None
        self._stop()

    def abandon(self) -> None:
        """Stop the request under way without a further signal, as the window or the dock is gone."""
        if self._run is not None:
            self._run.abandon()
        if self._file is not None:
            self._file.cancel()
        self._placing.drop()
        self._layer = self._request = self._next = self._run = self._file = None

    def _stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
        elif self._file is not None:
            self._file.cancel()
            self._placing.drop()
            self._end(RunProgress("cancelled"))

    def _begin(self, layer: Image, request: SegmentationRequest) -> None:
        self._layer, self._request = layer, request
        self.begun.emit(request)
        self._file = OnDisk(layer, "the run", self)
        self._file.waiting.connect(self.waiting)
        self._file.ready.connect(self._file_ready)
        self._file.failed.connect(lambda error: self._end(RunProgress("failed", error=error)))
        self._file.start()

    def _file_ready(self, source: ImageSource) -> None:
        assert self._request is not None
        request = replace(self._request, image=source.path, value_range=source.value_range, bands=source.bands)
        if request.out and not source.touched:
            self._launch(request)
            return
        usual = (maps_path if request.maps else result_path)(source.original, request.checkpoint)

        def work(_progress: Progress) -> Path:
            image = source.open()  # raises if it holds another picture now
            return Path(request.out) if request.out else own_path(usual, image)

        def found(out: Path) -> None:
            there = self._request = replace(request, out=str(out))
            self.begun.emit(there)
            self._launch(there)

        self._placing.begin(work, found, lambda error: self._end(RunProgress("failed", error=error)))

    def _launch(self, request: SegmentationRequest) -> None:
        assert self._layer is not None
        run = LiveRun(self._viewer, self._layer, layer_name(self._layer, request.checkpoint), self)
        run.progressed.connect(self.progressed)
        run.shown.connect(self.shown)
        run.finished.connect(self._end)
        self._run = run
        self.waiting.emit("Starting the worker…")
        try:
            run.start(session().engine(), request)
        except FctlError as error:
            self._end(RunProgress("failed", error=error))

    def _end(self, progress: RunProgress) -> None:
        for part in (self._run, self._file):
            if part is not None:
                part.deleteLater()
        self._layer = self._request = self._run = self._file = None
        self.ended.emit(progress)
        following, self._next = self._next, None
        if following is not None:
            self._begin(*following)
