"""Watcher that reports the part of an image layer in view when it has changed and come to rest."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.transforms import moves
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.windows import IntWindow

REST_MS = 150
"""Time for which the view has to rest before it counts, ms: panning would request parts that are only passed by."""


class ViewWatcher(QObject):
    """Watcher of camera, canvas, sliders and the layer's own placement.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : Image
        Layer whose part in view is reported.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    moved : Signal(object)
        The view has changed: the window in view now, px of level 0, or None if nothing of the layer is.
    """

    moved = Signal(object)

    def __init__(self, viewer: napari.Viewer, layer: Image, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer = layer
        self._emitted: tuple[IntWindow | None] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._emit)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        self._emitters = [
            *(camera.center, camera.zoom),
            *(dims.ndisplay, dims.order, dims.point),
            viewer.canvas.events.size,
            *moves(layer),
            layer.events.visible,
        ]

    def start(self) -> None:
        """Start to watch, and emit the part in view now at once."""
        for emitter in self._emitters:
            emitter.connect(self._changed)
        self._emit()

    def close(self) -> None:
        """Stop watching.

        No signal is emitted after it.
        """
        self._timer.stop()
        for emitter in self._emitters:
            emitter.disconnect(self._changed)
        self._emitters = []

    def _changed(self, _event: Any = None) -> None:
        """Wait again until the view rests."""
        self._timer.start()  # starts again from the beginning

    def _emit(self) -> None:
        """Emit the part in view if it differs from the last one."""
        view: IntWindow | None = None
        if self._layer in self._viewer.layers and self._layer.visible:
            try:
                view = view_region(self._viewer, self._layer)
            except InputError:
                view = None  # beside the image, or in three dimensions
        if self._emitted != (view,):
            self._emitted = (view,)
            self.moved.emit(view)
