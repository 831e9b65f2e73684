"""Preparation of an image layer for the worker: saving what is no file, waiting for pyramids in the making."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import array_path
from fctl_napari.cache.entries import cache_path
from fctl_napari.imagery.pyramid_size import most_bytes
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.notify import say
from fctl_napari.plugin.layers.array_image import array_image, copied_source, layer_levels, lazy_layer
from fctl_napari.plugin.layers.image_source import ImageSource, image_source
from fctl_napari.plugin.layers.pyramids import PyramidJob, is_complete
from fctl_napari.progress import Progress
from fctl_napari.words import size_of

_sources: weakref.WeakKeyDictionary[Image, tuple[Any, ImageSource]] = weakref.WeakKeyDictionary()
# of layers without a file, with the array that each showed then

_said: weakref.WeakKeyDictionary[Image, Any] = weakref.WeakKeyDictionary()
"""Layers of which it was said that they are no files, each with the array that it showed then."""


def known_source(layer: Image) -> ImageSource | None:
    """Return the file behind an image layer, or the copy that was made here of one without a file.

    Parameters
    ----------
    layer : Image
        The layer.

    Returns
    -------
    ImageSource or None
        The source, or None if the layer has none yet.
    """
    array, copy = _sources.get(layer, (None, None))
    return copy if copy is not None and array is layer_levels(layer)[0] else image_source(layer)


def _say_once(layer: Image, sentence: str) -> None:
    """Show a sentence about the array of a layer, unless there was one already."""
    array = layer_levels(layer)[0]
    if _said.get(layer) is not array:
        _said[layer] = array
        say(sentence)


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
    whole : bool, optional
        If True, the work reads the file elsewhere than by runs and explanations, so that all of it has to be there.

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

    def __init__(self, layer: Image, then: str, parent: QObject | None = None, *, whole: bool = False) -> None:
        super().__init__(parent)
        self._layer = layer
        self._then = then
        self._whole = whole
        self._job: Job | None = None
        self._own = False

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
            (self._copy if lazy_layer(self._layer) else self._save)()
        elif source.job is not None:
            self._wait_for(source.job, lambda _path: source)
            say(f"{self._layer.name}: {self._then} starts when its pyramid is ready.")
        else:
            self.ready.emit(source)

    def cancel(self) -> None:
        """Stop waiting.

        Neither ``ready`` nor ``failed`` follows.
        """
        if self._job is not None and self._own:
            self._job.cancel()
        self._job = None

    def _value_range(self) -> tuple[float, float] | None:
        """Return the values of the layer that are black and white. None for uint8."""
        layer = self._layer
        dtype = np.dtype(layer.dtype)
        if dtype == np.uint8:
            return None
        # Black and white on the screen become black and white for the network.
        most = 1 if dtype.kind == "f" else np.iinfo(dtype).max
        low, high = (0, most) if layer.rgb else layer.contrast_limits
        return float(low), float(high)

    def _copy(self) -> None:
        """Begin the copy of a lazy layer in the cache folder, or finish it if all of it is needed."""
        value_range = self._value_range()
        _say_once(
            self._layer,
            f"{self._layer.name}: is no file; the parts that are needed are copied into the cache folder "
            f"({cache_path()}), where the worker reads them.",
        )

        def work(progress: Progress) -> ImageSource:
            source, copy = copied_source(self._layer, value_range)
            if self._whole:
                copy.finish(progress)
            return source

        job = Job(work, label=f"saving {self._layer.name}" if self._whole else None)
        self._own = True
        self._wait_for(job, lambda source: source)
        job.start()

    def _save(self) -> None:
        """Save a layer in memory as an OME-Zarr in the cache folder."""
        layer, value_range = self._layer, self._value_range()

        def make_source() -> tuple[Any, Path]:
            array = layer_levels(layer)[0]
            out = array_path(array, layer.name)  # named after the content, so a complete one is this array
            return (None if is_complete(out) else array_image(layer).with_display(value_range, None)), out

        array = layer_levels(layer)[0]
        size = size_of(most_bytes(array.shape, array.dtype))
        _say_once(
            layer,
            f"{layer.name}: is no file; it is saved in the cache folder first, so that the worker can read it (at most "
            f"{size} in {cache_path()}).",
        )
        job = PyramidJob(make_source, f"saving {layer.name}")
        self._own = True
        self._wait_for(job, lambda path: ImageSource(path, path, value_range))
        job.start()

    def _wait_for(self, job: Job, source_of: Callable[[Any], ImageSource]) -> None:
        """Wait for a job, from whose result the source follows."""
        self._job = job
        self.waiting.emit("Waiting for the image's pyramid…" if isinstance(job, PyramidJob) else "Reading the image…")

        def go(result: Any) -> None:
            if self._job is job:
                self._job = None
                if not self._own and image_source(self._layer) is None:
                    self.start()  # it was given other px meanwhile
                    return
                source = source_of(result)
                if image_source(self._layer) is None:
                    _sources[self._layer] = layer_levels(self._layer)[0], source
                self.ready.emit(source)

        def stop(error: BaseException) -> None:
            if self._job is job:
                self._job = None
                # errors of other jobs are reported where the image is shown
                self.failed.emit(error if self._own else None)

        job.finished.connect(go)
        job.failed.connect(stop)
