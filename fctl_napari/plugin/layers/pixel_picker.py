"""Pick mode: a press or a drag anywhere in the viewer chooses a location, and does nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import napari
import numpy as np
from napari.components._viewer_mouse_bindings import double_click_to_zoom
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

PAN_ZOOM = "pan_zoom"


class Picker(QObject):
    """Mouse mode of the viewer in which clicks choose locations.

    napari hands events that the viewer's callbacks have handled to the active layer all the same. So while the mode is
    on, that layer holds no tool (a brush, say), and taking one up switches the mode off.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose clicks are taken.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    picked : Signal(object)
        A location was picked: world coordinates, (..., y, x).
    released : Signal()
        The button was released.
    switched : Signal(bool)
        The mode went on or off.
    """

    picked = Signal(object)
    released = Signal()
    switched = Signal(bool)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._on = False
        self._active: Layer | None = None

    @property
    def on(self) -> bool:
        """True if clicks are taken."""
        return self._on

    def switch(self, on: bool) -> None:
        """Switch the mode on or off.

        Parameters
        ----------
        on : bool
            If True, take clicks.
        """
        if on == self._on:
            return
        self._on = on
        viewer = self._viewer
        selection = viewer.layers.selection.events.active
        if on:
            viewer.mouse_drag_callbacks.append(self._drag)
            if double_click_to_zoom in viewer.mouse_double_click_callbacks:
                viewer.mouse_double_click_callbacks.remove(double_click_to_zoom)  # two quick picks must not zoom
            selection.connect(self._watch_active)
            self._watch_active()
        else:
            viewer.mouse_drag_callbacks.remove(self._drag)
            viewer.mouse_double_click_callbacks.append(double_click_to_zoom)
            selection.disconnect(self._watch_active)
            self._watch(None)
        self.switched.emit(on)

    def _watch_active(self, _event: Any = None) -> None:
        """Take the tool of the active layer away, and watch its mode."""
        layer = self._viewer.layers.selection.active
        if layer is not None and str(layer.mode) != PAN_ZOOM:
            layer.mode = PAN_ZOOM
        self._watch(layer)

    def _watch(self, layer: Layer | None) -> None:
        """Watch the mode of another layer."""
        if self._active is not None:
            self._active.events.mode.disconnect(self._mode_changed)
        self._active = layer
        if layer is not None:
            layer.events.mode.connect(self._mode_changed)

    def _mode_changed(self, _event: Any = None) -> None:
        """Switch off when the user takes up another tool."""
        if self._active is not None and str(self._active.mode) != PAN_ZOOM:
            self.switch(False)

    def _drag(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Emit the locations of a press and the drag after it, as napari's mouse callback."""
        if event.button != 1 or event.modifiers:
            return
        event.handled = True  # otherwise the camera would pan
        self.picked.emit(np.asarray(event.position, float))
        yield
        while event.type == "mouse_move":
            event.handled = True
            self.picked.emit(np.asarray(event.position, float))
            yield
        event.handled = True
        self.released.emit()
