"""Carries out what the Segment widget is asked for, one order at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.errors import FctlError
from fctl_napari.imagery.pyramid import pyramid_from_array
from fctl_napari.plugin.layers import ImageSource, image_source
from fctl_napari.plugin.live_run import LiveRun
from fctl_napari.plugin.notify import say
from fctl_napari.plugin.places import array_path, result_path
from fctl_napari.plugin.pyramids import PyramidJob, is_complete
from fctl_napari.plugin.session import session
from fctl_napari.plugin.view import IntWindow
from fctl_napari.segmentation.jobs import Progress, SegmentationRequest


@dataclass(frozen=True)
class Order:
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
        Where the result goes; empty: into the cache folder.
    fresh
        Start over what is there.
    live
        Stay open, and compute where one looks.
    """

    layer: Image
    checkpoint: str
    region: IntWindow | None
    device: str
    out: str
    fresh: bool
    live: bool


class Orders(QObject):
    """Saves what is no file, waits for pyramids in the making, then runs.

    Parameters
    ----------
    viewer
        Where the layers go.

    Signals
    -------
    begun : object
        The ``Order`` that is now carried out; again when its ``out`` became known.
    waiting : str
        What it waits for.
    progressed : object
        The latest ``Progress`` of the run.
    shown : object
        The ``GrowingSegmentation``, when there is something new to see.
    ended : object
        The last ``Progress``; of an order that never ran too.
    """

    begun = Signal(object)
    waiting = Signal(str)
    progressed = Signal(object)
    shown = Signal(object)
    ended = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._order: Order | None = None
        self._next: Order | None = None
        self._run: LiveRun | None = None
        self._job: PyramidJob | None = None

    @property
    def order(self) -> Order | None:
        """What is carried out now."""
        return self._order

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

    def give(self, order: Order) -> None:
        """Carry an order out; a live one that is under way makes way for it."""
        if self._order is None:
            self._begin(order)
        elif self._order.live:
            self._next = order
            self._stop()

    def cancel(self) -> None:
        """Stop what is under way; ``ended`` follows."""
        self._next = None
        self._stop()

    def abandon(self) -> None:
        """Stop what is under way, and say nothing any more: the window or the dock is gone."""
        if self._run is not None:
            self._run.abandon()
        if self._job is not None and self._job.for_run:
            self._job.cancel()
        self._order = self._next = self._run = self._job = None

    def _stop(self) -> None:
        if self._run is not None:
            self._run.cancel()
        elif self._job is not None:
            if self._job.for_run:
                self._job.cancel()
            self._end(Progress("cancelled"))

    def _begin(self, order: Order) -> None:
        self._order = order
        self.begun.emit(order)
        source = image_source(order.layer)
        if source is None:
            self._save_first(order)
        elif source.job is not None:
            self._wait_for(source.job, lambda _path: self._launch(order, source))
            say(f"{order.layer.name}: the run starts when its pyramid is ready.")
        else:
            self._launch(order, source)

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
            placed = replace(order, out=order.out or str(result_path(path, order.checkpoint)))
            self._order = placed
            self.begun.emit(placed)
            self._launch(placed, ImageSource(path, path, value_range))

        say(f"{layer.name}: is no file; it is saved in the cache folder first, so that the worker can read it.")
        job = PyramidJob(make_source, f"saving {layer.name}", for_run=True)
        self._wait_for(job, launch)
        job.start()

    def _wait_for(self, job: PyramidJob, then: Callable[[str], None]) -> None:
        self._job = job
        self.waiting.emit("Waiting for the image's pyramid…")

        def go(path: str) -> None:
            if self._job is job:
                self._job = None
                then(path)

        def stop(error: BaseException) -> None:
            if self._job is job:
                # who shows the image tells of other jobs
                self._end(Progress("failed", error=error if job.for_run else None))

        job.finished.connect(go)
        job.failed.connect(stop)

    def _launch(self, order: Order, source: ImageSource) -> None:
        run = LiveRun(self._viewer, order.layer, layer_name(order.layer, order.checkpoint), self)
        run.progressed.connect(self.progressed)
        run.shown.connect(self.shown)
        run.finished.connect(self._end)
        request = SegmentationRequest(
            image=source.path,
            out=order.out,
            checkpoint=order.checkpoint,
            region=order.region,
            device=order.device,
            fresh=order.fresh,
            value_range=source.value_range,
            bands=source.bands,
            live=order.live,
        )
        self._run = run
        self.waiting.emit("Starting the worker…")
        try:
            run.start(session().engine(), request)
        except FctlError as error:
            self._end(Progress("failed", error=error))

    def _end(self, progress: Progress) -> None:
        if self._run is not None:
            self._run.deleteLater()
        self._order = self._run = self._job = None
        self.ended.emit(progress)
        following, self._next = self._next, None
        if following is not None:
            self._begin(following)


def layer_name(image: Image, checkpoint: str) -> str:
    """Return the name of the mask's layer."""
    return f"{image.name} by {Path(checkpoint).name.removesuffix('.safetensors')}"
