"""One segmentation run in the window: the worker's news come in on its thread, the layers are drawn on ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers, refresh
from fctl_napari.plugin.layers.viewport_watcher import ViewWatcher
from fctl_napari.segmentation.tiling.grid import default_overlap

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine, Run, RunProgress, SegmentationRequest

DRAW_MS = 100
"""Layers are drawn at most this often; one drawing takes 5 to 12 ms."""

FINAL = ("done", "cancelled", "failed")


class LiveRun(QObject):
    """Runs a request and shows what it finishes, what is in view first; it ends when the image's layer is removed.

    Parameters
    ----------
    viewer, image
        Where the layers go, and the image that they lie on.
    name
        Of the mask's layer.
    mask_only
        Show nothing but the mask.

    Signals (on the main thread)
    ----------------------------
    progressed : object
        The latest ``RunProgress``, at most every ``DRAW_MS``.
    shown : object
        The ``SegmentationLayers``, when there is something new to see.
    finished : object
        The last ``RunProgress``.
    """

    progressed = Signal(object)
    shown = Signal(object)
    finished = Signal(object)

    def __init__(
        self,
        viewer: napari.Viewer,
        image: Image,
        name: str,
        parent: QObject | None = None,
        *,
        mask_only: bool = False,
    ) -> None:
        super().__init__(parent)
        self._mask_only = mask_only
        self._viewer = viewer
        self._image = image
        self._name = name
        self._events: deque[RunProgress] = deque()
        self._segmentation_layers: SegmentationLayers | None = None
        self._makers: list[Callable[[], Layer]] = []
        self._layers: list[Layer] = []
        self._run: Run | None = None
        self._watcher = ViewWatcher(viewer, image, self)
        self._timer = QTimer(self)
        self._timer.setInterval(DRAW_MS)
        self._timer.timeout.connect(self._draw)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the result that are there already: mask and confidence, or maps."""
        return tuple(self._layers)

    def start(self, engine: Engine, request: SegmentationRequest) -> None:
        """Start; returns at once.

        Raises
        ------
        FctlError
            The request cannot be run.
        """
        self._out = request.out
        self._run = engine.start(request, self._receive)
        self._watcher.moved.connect(self._run.look)
        self._watcher.start()
        self._viewer.layers.events.removed.connect(self._removed)
        self._timer.start()

    def cancel(self) -> None:
        """Stop within a second; finished tiles stay. ``finished`` follows."""
        if self._run is not None:
            self._run.cancel()

    def abandon(self) -> None:
        """Cancel, and show nothing any more: the window or the dock is gone."""
        self._leave()
        self.cancel()

    def _leave(self) -> None:
        self._timer.stop()
        self._watcher.close()
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _removed(self, event: Any) -> None:
        if event.value is self._image:
            self.cancel()

    def _receive(self, progress: RunProgress) -> None:
        """Take news in, on the engine's thread: reading the store is done here, not on the window's thread."""
        if self._segmentation_layers is None:
            # a run that failed at once may leave somebody else's store there
            if progress.state != "failed":
                self._segmentation_layers = SegmentationLayers(self._out)
        elif progress.windows:
            self._segmentation_layers.update(progress.windows)
        self._events.append(progress)

    def _draw(self) -> None:
        latest, fresh = None, False
        while self._events:
            latest = self._events.popleft()
            fresh = fresh or bool(latest.windows)
        # Without its image nothing is drawn, and the run is about to end. (Under software OpenGL napari 0.9.2 crashes
        # in the first draw after an image under a labels layer was removed.)
        there = self._segmentation_layers is not None and self._image in self._viewer.layers
        if there and not self._makers:
            assert self._segmentation_layers is not None
            self._makers = self._segmentation_layers.makers(
                self._viewer, self._image, self._name, mask_only=self._mask_only
            )
        if there and len(self._layers) < len(self._makers):
            self._add_layer()
            fresh = True
        elif there and fresh:
            refresh(self._layers, self._viewer)
        if fresh and self._segmentation_layers is not None:
            self.shown.emit(self._segmentation_layers)
        if latest is None:
            return
        self.progressed.emit(latest)
        if latest.state in FINAL:
            self._leave()
            while there and len(self._layers) < len(self._makers) and latest.state != "failed":
                self._add_layer()
            for layer in self._layers:
                if there and layer in self._viewer.layers:
                    layer.refresh(extent=False)
            self.finished.emit(latest)

    def _add_layer(self) -> None:
        # one a tick: each takes about 100 ms under software OpenGL
        chosen = set(self._viewer.layers.selection)
        self._layers.append(self._makers[len(self._layers)]())
        if len(self._layers) > 1:
            self._viewer.layers.selection = chosen  # napari selects what is added


def describe(progress: RunProgress) -> str:
    """Say how far a run is, in one line."""
    tiles = f"{progress.done} of {progress.total} tiles"
    if progress.state == "starting":
        return "Starting the worker…"
    if progress.state == "running":
        view = progress.view
        parts = [tiles if view is None else f"In view {view.done} of {view.total} tiles, {view.waiting} waiting"]
        if progress.tiles_per_second:
            parts.append(f"{progress.tiles_per_second:.1f} tiles/s")
        if progress.seconds_left is not None and view is None:
            parts.append(f"{duration(progress.seconds_left)} left")
        if progress.device:
            parts.append(progress.device)
        if progress.memory_bytes is not None:
            parts.append(f"{progress.memory_bytes / 1e6:.0f} MB")
        return " · ".join(parts)
    return {"done": f"Done: {tiles}.", "cancelled": f"Cancelled: {tiles} are kept."}.get(
        progress.state, f"Failed: {tiles} are kept."
    )


def duration(seconds: float) -> str:
    """Return a time in one or two units: ``"8 s"``, ``"3 min 20 s"``, ``"2 h 5 min"``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def offer(progress: RunProgress, tile_size: int) -> str:
    """Say what it would take to run what is in view but was not asked for; empty if there is nothing of the kind.

    Parameters
    ----------
    progress
        Of a live run.
    tile_size
        The network's, px.
    """
    view = progress.view
    if view is None or view.waiting or view.done == view.total:
        return ""
    tiles = view.total - view.done
    side = tile_size - default_overlap(tile_size)
    megabytes = tiles * side**2 * 2 * 4 / 3 / 1e6  # classes and confidence with their coarser levels, uncompressed
    size = f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes))} MB"
    rate = progress.tiles_per_second
    time = f"about {duration(tiles / rate)}" if rate else "speed not known yet"
    return f"Run the {tiles} tiles in view\n{time}, up to {size}"
