"""Preparation of an image layer for the worker: saving what is no file, waiting for pyramids in the making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import array_path
from fctl_napari.cache.entries import cache_path
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.pyramid_size import most_bytes
from fctl_napari.plugin.common.notify import say
from fctl_napari.plugin.layers.image_source import ImageSource, image_source
from fctl_napari.plugin.layers.pyramids import PyramidJob, is_complete
from fctl_napari.words import size_of


class OnDisk(QObject):
    """Finder or maker of the file behind one layer.

    Parameters
    ----------
    layer : Image
        The image layer.
    then : str
        Name for people of the work that begins when it is ready: ``"the run"``.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    waiting : Signal(str)
        The file is not ready yet: a sentence about what it waits for.
    ready : Signal(object)
        The file is ready: its ``ImageSource``.
    failed : Signal(object)
        There is no file: the exception, or None where it was reported already.
    """

    waiting = Signal(str)
    ready = Signal(object)
    failed = Signal(object)

    def __init__(self, layer: Image, then: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer = layer
        self._then = then
        self._job: PyramidJob | None = None

    @property
    def waits(self) -> bool:
        """True if the file is under way."""
        return self._job is not None

    def start(self) -> None:
        """Find or make the file.

        ``ready`` may be emitted before this returns.
        """
        source = image_source(self._layer)
        if source is None:
            self._save()
        elif source.job is not None:
            self._wait_for(source.job, source)
            say(f"{self._layer.name}: {self._then} starts when its pyramid is ready.")
        else:
            self.ready.emit(source)

    def cancel(self) -> None:
        """Stop waiting.

        Neither ``ready`` nor ``failed`` follows.
        """
        if self._job is not None and self._job.for_run:
            self._job.cancel()
        self._job = None

    def _save(self) -> None:
        """Save a layer that is no file as an OME-Zarr in the cache folder."""
        layer = self._layer
        array = layer.data[0] if layer.multiscale else layer.data
        value_range: tuple[float, float] | None = None
        if np.dtype(array.dtype) != np.uint8:
            # Black and white on the screen become black and white for the network.
            most = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
            low, high = (0, most) if layer.rgb else layer.contrast_limits
            value_range = float(low), float(high)

        def make_source() -> tuple[Any, Path]:
            out = array_path(array, layer.name)  # named after the content, so a complete one is this array
            if is_complete(out):
                return None, out
            alpha = layer.rgb and array.shape[-1] == 4
            return pyramid_from_array(array, name=layer.name, value_range=value_range, alpha=alpha), out

        size = size_of(most_bytes(array.shape, array.dtype))
        say(
            f"{layer.name}: is no file; it is saved in the cache folder first, so that the worker can read it (at most "
            f"{size} in {cache_path()})."
        )
        job = PyramidJob(make_source, f"saving {layer.name}", for_run=True)
        self._wait_for(job, None, value_range)
        job.start()

    def _wait_for(
        self, job: PyramidJob, source: ImageSource | None, value_range: tuple[float, float] | None = None
    ) -> None:
        """Wait for a pyramid, of a given source or of an array that is saved."""
        self._job = job
        self.waiting.emit("Waiting for the image's pyramid…")

        def go(path: str) -> None:
            if self._job is job:
                self._job = None
                self.ready.emit(source or ImageSource(path, path, value_range))

        def stop(error: BaseException) -> None:
            if self._job is job:
                self._job = None
                self.failed.emit(
                    error if job.for_run else None
                )  # errors of other jobs are reported where the image is shown

        job.finished.connect(go)
        job.failed.connect(stop)
