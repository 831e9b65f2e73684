"""Carries out what a widget is asked to compute, one order at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.errors import FctlError
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.plugin.layers.paths import maps_path, result_path
from fctl_napari.plugin.segment.live_run import LiveRun
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.result_paths import own_path
from fctl_napari.windows import IntWindow


@dataclass(frozen=True)
class SegmentInputs:
    """What the user asked for.

    Attributes
    ----------
    layer
        The image.
    checkpoint
        A built-in name or a file.
    region
        What to segment, level 0 px; None: the whole image, or where one looks.
    device
        As for ``SegmentationRequest``.
    out
        Where the result goes; empty: to its usual place.
    fresh
        Start over what is there.
    live
        Stay open, and compute where one looks.
    maps
        Maps of certainty and of fusion weights are wanted, rather than the mask.
    """

    layer: Image
    checkpoint: str
    region: IntWindow | None
    device: str
    out: str
    fresh: bool
    live: bool
    maps: bool = False


class Runner(QObject):
    """Saves what is no file, waits for pyramids in the making, then runs.

    Parameters
    ----------
    viewer
        Where the layers go.

    Signals
    -------
    begun : object
        The ``SegmentInputs`` that is now carried out; again when its ``out`` became known.
    waiting : str
        What it waits for.
    progressed : object
        The latest ``RunProgress`` of the run.
    shown : object
        The ``SegmentationLayers``, when there is something new to see.
    ended : object
        The last ``RunProgress``; of an order that never ran too.
    """

    begun = Signal(object)
    waiting = Signal(str)
    progressed = Signal(object)
    shown = Signal(object)
    ended = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._inputs: SegmentInputs | None = None
        self._next: SegmentInputs | None = None
        self._run: LiveRun | None = None
        self._file: OnDisk | None = None
        self._placing = Jobs(self)  # finds where a result goes

    @property
    def inputs(self) -> SegmentInputs | None:
        """What is carried out now."""
        return self._inputs

    @property
    def followed(self) -> bool:
        """Whether another order waits for the end of this one."""
        return self._next is not None

    @property
    def run(self) -> LiveRun | None:
        """The run under way, if it has come to that."""
        return self._run

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the run under way."""
        return () if self._run is None else self._run.layers

    def submit(self, inputs: SegmentInputs) -> None:
        """Carry an order out; a live one that is under way makes way for it."""
        if self._inputs is None:
            self._begin(inputs)
        elif self._inputs.live:
            self._next = inputs
            self._stop()

    def cancel(self) -> None:
        """Stop what is under way; ``ended`` follows."""
        self._next = None
        self._stop()

    def abandon(self) -> None:
        """Stop what is under way, and say nothing any more: the window or the dock is gone."""
        if self._run is not None:
            self._run.abandon()
        if self._file is not None:
            self._file.cancel()
        self._placing.drop()
        self._inputs = self._next = self._run = self._file = None

    def _stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
        elif self._file is not None:
            self._file.cancel()
            self._placing.drop()
            self._end(RunProgress("cancelled"))

    def _begin(self, inputs: SegmentInputs) -> None:
        self._inputs = inputs
        self.begun.emit(inputs)
        self._file = OnDisk(inputs.layer, "the run", self)
        self._file.waiting.connect(self.waiting)
        self._file.ready.connect(self._file_ready)
        self._file.failed.connect(lambda error: self._end(RunProgress("failed", error=error)))
        self._file.start()

    def _file_ready(self, source: ImageSource) -> None:
        inputs = self._inputs
        assert inputs is not None
        if inputs.out and not source.touched:
            self._launch(inputs, source)
            return
        usual = (maps_path if inputs.maps else result_path)(source.original, inputs.checkpoint)

        def work(_progress: Progress) -> Path:
            image = source.open()  # says so if it holds another picture now
            return Path(inputs.out) if inputs.out else own_path(usual, image)

        def found(out: Path) -> None:
            there = self._inputs = replace(inputs, out=str(out))
            self.begun.emit(there)
            self._launch(there, source)

        self._placing.begin(work, found, lambda error: self._end(RunProgress("failed", error=error)))

    def _launch(self, inputs: SegmentInputs, source: ImageSource) -> None:
        run = LiveRun(self._viewer, inputs.layer, layer_name(inputs.layer, inputs.checkpoint), self)
        run.progressed.connect(self.progressed)
        run.shown.connect(self.shown)
        run.finished.connect(self._end)
        request = SegmentationRequest(
            image=source.path,
            out=inputs.out,
            checkpoint=inputs.checkpoint,
            region=inputs.region,
            device=inputs.device,
            fresh=inputs.fresh,
            value_range=source.value_range,
            bands=source.bands,
            live=inputs.live,
            maps=inputs.maps,
        )
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
        self._inputs = self._run = self._file = None
        self.ended.emit(progress)
        following, self._next = self._next, None
        if following is not None:
            self._begin(following)


def layer_name(image: Image, checkpoint: str) -> str:
    """Return the name of the mask's layer."""
    return f"{image.name} by {Path(checkpoint).name.removesuffix('.safetensors')}"
