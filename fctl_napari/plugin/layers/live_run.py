"""Run whose result is shown while it grows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers, refresh
from fctl_napari.plugin.layers.viewport_watcher import ViewWatcher
from fctl_napari.segmentation.jobs.engine import RunProgress, SegmentationRequest

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.engine import Engine, Run

DRAW_MS = 100
"""Layers are drawn at most this often; one drawing takes 5 to 12 ms."""

FINAL = ("done", "cancelled", "failed")


class LiveRun(QObject):
    """Run of a request whose result is shown while it grows.

    Tiles in view are computed first. The run ends when the image's layer is removed. All signals are emitted on the
    main thread.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that the layers are added to.
    image : Image
        Image layer that they lie on.
    name : str
        Name of the mask's layer.
    parent : QObject or None, optional
        Qt parent.
    mask_only : bool, optional
        If True, only the mask is shown.

    Attributes
    ----------
    progressed : Signal(object)
        The latest ``RunProgress``, at most every ``DRAW_MS``.
    shown : Signal(object)
        The ``SegmentationLayers``, when there is something new to see.
    finished : Signal(object)
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
        self._latest: RunProgress | None = None
        self._fresh = False
        self._over = False
        self._segmentation_layers: SegmentationLayers | None = None
        self._makers: list[Callable[[], Layer]] = []
        self._layers: list[Layer] = []
        self._run: Run | None = None
        self._watcher = ViewWatcher(viewer, image, self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DRAW_MS)
        self._timer.timeout.connect(self._draw)
        open_bridge()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the result that are there already: mask and confidence, or maps."""
        return tuple(self._layers)

    def start(self, engine: Engine, request: SegmentationRequest) -> None:
        """Start the run and return at once.

        Parameters
        ----------
        engine : Engine
            Engine that computes the tiles.
        request : SegmentationRequest
            Request to run.

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

    def cancel(self) -> None:
        """Stop within a second.

        Finished tiles stay. ``finished`` is emitted in the end.
        """
        if self._run is not None:
            self._run.cancel()

    def abandon(self) -> None:
        """Cancel the run without showing anything further, as the window or the dock is gone."""
        self._leave()
        self.cancel()

    def _leave(self) -> None:
        self._over = True
        self._timer.stop()
        self._watcher.close()
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _removed(self, event: Any) -> None:
        if event.value is self._image:
            self.cancel()

    def _receive(self, progress: RunProgress) -> None:
        """Receive progress on the engine's thread.

        The store is read here and not on the window's thread.
        """
        if self._segmentation_layers is None:
            # a run that failed at once may leave the store of another run there
            if progress.state != "failed":
                self._segmentation_layers = SegmentationLayers(self._out)
        elif progress.windows:
            self._segmentation_layers.update(progress.windows)
        post(partial(self._take, progress))

    def _take(self, progress: RunProgress) -> None:
        if self._over:
            return
        self._latest = progress
        self._fresh = self._fresh or bool(progress.windows)
        if not self._timer.isActive():
            self._timer.start()

    def _draw(self) -> None:
        (latest, fresh), (self._latest, self._fresh) = (self._latest, self._fresh), (None, False)
        # Without its image nothing is drawn, as the run is about to end. (Under software OpenGL napari 0.9.2 crashes
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
        if there and len(self._layers) < len(self._makers):
            self._timer.start()
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
        # one layer a tick: each takes about 100 ms under software OpenGL
        chosen = set(self._viewer.layers.selection)
        self._layers.append(self._makers[len(self._layers)]())
        if len(self._layers) > 1 or self._image not in chosen:
            self._viewer.layers.selection = chosen  # napari selects what is added


def layer_name(image: Image, checkpoint: str) -> str:
    """Return the name of the mask's layer.

    Parameters
    ----------
    image : Image
        Image layer.
    checkpoint : str
        Built-in name or checkpoint file.

    Returns
    -------
    str
        Name of the image and of the checkpoint, without the suffix ``.safetensors``.
    """
    return f"{image.name} by {Path(checkpoint).name.removesuffix('.safetensors')}"
