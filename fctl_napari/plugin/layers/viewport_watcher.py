"""Tells what part of an image layer is in view, when that has changed and come to rest."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.errors import InputError
from fctl_napari.plugin.layers.transforms import moves
from fctl_napari.plugin.layers.viewport import view_region
from fctl_napari.windows import IntWindow

REST_MS = 150
"""How long the view has to rest before it counts: panning would ask for what is only passed by."""


class ViewWatcher(QObject):
    """Watches camera, canvas, sliders and the layer's own placement.

    Parameters
    ----------
    viewer, layer
        Where one looks, and at what.

    Signals
    -------
    moved : object
        What is in view now, level 0 px, or None if nothing of the layer is.
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
        """Begin; what is in view now is told at once."""
        for emitter in self._emitters:
            emitter.connect(self._changed)
        self._emit()

    def close(self) -> None:
        """Tell nothing any more."""
        self._timer.stop()
        for emitter in self._emitters:
            emitter.disconnect(self._changed)
        self._emitters = []

    def _changed(self, _event: Any = None) -> None:
        self._timer.start()  # again from the beginning

    def _emit(self) -> None:
        view: IntWindow | None = None
        if self._layer in self._viewer.layers and self._layer.visible:
            try:
                view = view_region(self._viewer, self._layer)
            except InputError:
                view = None  # beside the image, or in three dimensions
        if self._emitted != (view,):
            self._emitted = (view,)
            self.moved.emit(view)
