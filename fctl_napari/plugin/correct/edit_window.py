"""The edit window: a full-resolution part of the corrections on which napari's own tools paint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.model.classes import NOT_SURE, ClassTable
from fctl_napari.plugin.correct.layer import correction_style
from fctl_napari.plugin.correct.stroke_queue import PixelEdit
from fctl_napari.plugin.layers.correction_marks import mark_corrections
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.segmentation_layers import above
from fctl_napari.plugin.layers.transforms import move, placed_over, seen_pixels
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.windows import IntWindow

SIDE = 2048
"""Side of the window, px. With 2048, a dab takes 1 ms and moving the window 350 ms."""

TAKE_MS = 150
"""Delay from the end of a stroke until it is taken, ms. Undo and redo with the key held down become one stroke."""

PAINTING = ("paint", "erase", "fill", "polygon")
NAME = "edit window"


def window_around(y: float, x: float, shape: tuple[int, int], side: int) -> IntWindow:
    """Return the window inside an image whose center is nearest to a point.

    Parameters
    ----------
    y, x : float
        The point, px of the image.
    shape : tuple of 2 int
        Height and width of the image, px.
    side : int
        Side of the window at most, px.

    Returns
    -------
    IntWindow
        (y0, x0, y1, x1) px of the image.
    """
    starts = [
        int(min(max(round(middle - side / 2), 0), max(size - side, 0)))
        for middle, size in zip((y, x), shape, strict=True)
    ]
    return starts[0], starts[1], min(starts[0] + side, shape[0]), min(starts[1] + side, shape[1])


class EditWindow(QObject):
    """A window of the corrections to paint on, which emits every finished stroke.

    napari reports a stroke (``paint``), but of undo, redo and what the console does only that the data were set. So
    after either the data are compared with a copy. What differs is the stroke.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows it.
    image : Image
        Layer of the image that is corrected.
    table : ClassTable
        The classes.
    author : callable
        Function that returns the name of the person who paints.
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    table : ClassTable
        The classes to paint with.
    window : IntWindow or None
        Where it lies, (y0, x0, y1, x1) px of the image. None before it is shown.
    edited : Signal(object)
        A stroke is finished; carries the ``PixelEdit``.
    beside : Signal(object)
        The user paints beside the window; carries the point, (y, x) px of the image.
    refused : Signal(str)
        Something that cannot be painted was reverted; carries the reason.
    shown : Signal(object)
        A new layer is shown; carries the layer.
    """

    edited = Signal(object)
    beside = Signal(object)
    refused = Signal(str)
    shown = Signal(object)

    def __init__(
        self,
        viewer: napari.Viewer,
        image: Image,
        table: ClassTable,
        author: Callable[[], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self.table = table
        """The classes to paint with."""
        self._author = author
        self._layer: Labels | None = None
        self._saved: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        self._dragging = False
        self.window: IntWindow | None = None
        """Where it lies, (y0, x0, y1, x1) px of the image. None before it is shown."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TAKE_MS)
        self._timer.timeout.connect(self._rested)
        viewer.mouse_drag_callbacks.append(self._drag)
        viewer.layers.events.removed.connect(self._removed)

    @property
    def layer(self) -> Labels | None:
        """The layer of the window, if it is there."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    @property
    def waits(self) -> bool:
        """True if there may be a finished stroke that is not emitted yet."""
        return self._timer.isActive()

    def show(self, window: IntWindow, values: NDArray[np.uint8]) -> None:
        """Show a window of the image with what is painted there, and make it the active layer.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1) px of the image.
        values : ndarray of uint8 [y, x]
            What is painted there: k + 1 = class k, 255 = not sure, 0 = nothing.
        """
        self.take()
        placement = self._placement(window)
        self._saved = values.copy()
        self.window = window
        layer = self.layer
        if layer is None:
            layer = self._add(values, placement)
        else:
            mode = layer.mode
            layer.editable = False  # clears napari's own undo history, which would paint into the new location
            layer.data = values
            move(layer, placement)
            layer.editable = True
            layer.mode = mode
        self._viewer.layers.selection.active = layer

    def update(self, window: IntWindow, values: NDArray[np.uint8]) -> None:
        """Show what others changed in a part of the window.

        What is being painted stays.

        Parameters
        ----------
        window : IntWindow
            The part, (y0, x0, y1, x1) px of the image.
        values : ndarray of uint8 [y, x]
            Its new values.
        """
        layer, inner = self.layer, self.common(window)
        if layer is None or inner is None or self.window is None:
            return
        y0, x0, y1, x1 = inner
        values = values[y0 - window[0] : y1 - window[0], x0 - window[1] : x1 - window[1]]
        part = np.s_[y0 - self.window[0] : y1 - self.window[0], x0 - self.window[1] : x1 - self.window[1]]
        data = layer.data[part]
        same = data == self._saved[part]
        data[same] = values[same]
        self._saved[part] = values
        layer.refresh(extent=False, thumbnail=False, highlight=False)

    def around(self, y: float, x: float) -> IntWindow:
        """Return the location of the window around a point.

        Parameters
        ----------
        y, x : float
            The point, px of the image.

        Returns
        -------
        IntWindow
            (y0, x0, y1, x1) px of the image.
        """
        return window_around(y, x, image_shape(self._image), SIDE)

    def common(self, window: IntWindow) -> IntWindow | None:
        """Return the intersection of a window of the image with this one.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1) px of the image.

        Returns
        -------
        IntWindow or None
            The intersection, (y0, x0, y1, x1) px. None if it is empty.
        """
        if self.window is None or self.layer is None:
            return None
        y0, x0 = max(window[0], self.window[0]), max(window[1], self.window[1])
        y1, x1 = min(window[2], self.window[2]), min(window[3], self.window[3])
        return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None

    def take(self) -> None:
        """Emit what was painted since the last time, as one stroke."""
        self._timer.stop()
        layer, window = self._layer, self.window
        if layer is None or window is None:
            return
        if np.shape(layer.data) != self._saved.shape or layer.data.dtype != np.uint8:
            layer.data = self._saved.copy()
            self.refused.emit("the edit window keeps its size; the data put there instead are taken back.")
            return
        data = np.asarray(layer.data)
        changed = data != self._saved
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        if not rows.size:
            return
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        block, mask = data[box], changed[box]
        classes = len(self.table.scored)
        strays = mask & (block > classes) & (block != NOT_SURE)
        if strays.any():
            value = int(block[strays][0])
            block[strays] = self._saved[box][strays]
            mask = mask & ~strays
            layer.refresh(extent=False, thumbnail=False, highlight=False)
            self.refused.emit(
                f"label {value} is no class; there are {classes}. The pixels painted with it are taken back."
            )
        self._saved[box] = block
        if mask.any():
            y0, x0 = window[0] + int(rows[0]), window[1] + int(columns[0])
            self.edited.emit(PixelEdit(y0, x0, block.copy(), mask.copy(), self._author()))

    def follow(self) -> None:
        """Move the layer to where the image lies now."""
        if self.layer is not None and self.window is not None:
            move(self.layer, self._placement(self.window))

    def hide(self) -> None:
        """Remove the layer."""
        layer = self.layer
        if layer is not None:
            remove_layers(self._viewer, [layer])
        self._layer = self.window = None

    def leave(self) -> None:
        """Emit what was painted, and disconnect from the viewer."""
        self.take()
        self._viewer.layers.events.removed.disconnect(self._removed)
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
        if self._layer is not None:
            self._forget(self._layer)

    # ----

    def _placement(self, window: IntWindow) -> dict[str, Any]:
        """Return the keywords that place a layer over a window of the image."""
        y0, x0, y1, x1 = window
        return placed_over(self._image, window, (y1 - y0, x1 - x0))

    def _add(self, values: NDArray[np.uint8], placement: dict[str, Any]) -> Labels:
        """Add the layer, with its frame, brush and connections."""
        layer = self._layer = Labels(
            values,
            name=NAME,
            opacity=0.6,
            **placement,
            **correction_style(self.table),
        )
        mark_corrections(layer)
        layer.brush_size = 20
        layer.bounding_box.visible = True
        layer.bounding_box.points = False
        layer.bounding_box.line_color = "yellow"
        layer.bounding_box.line_thickness = 2
        layer.events.paint.connect(self._touched)
        layer.events.set_data.connect(self._touched)
        self._viewer.layers.insert(above(self._viewer, self._image), layer)
        layer.selected_label = 1
        layer.mode = "paint"
        self.shown.emit(layer)
        return layer

    def _forget(self, layer: Labels) -> None:
        """Disconnect from a layer."""
        layer.events.paint.disconnect(self._touched)
        layer.events.set_data.disconnect(self._touched)

    def _touched(self, _event: Any = None) -> None:
        self._timer.start()

    def _rested(self) -> None:
        if self._dragging:
            return  # the end of the drag starts the timer again
        self.take()

    def _removed(self, event: Any) -> None:
        if event.value is self._layer and self._layer is not None:
            self.take()
            self._forget(self._layer)
            self._layer = self.window = None

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Follow a drag of the mouse, which is one stroke."""
        layer = self.layer
        if layer is None or viewer.layers.selection.active is not layer or str(layer.mode) not in PAINTING:
            return
        self.take()  # the previous stroke ends here, however quickly this one follows
        if event.button == 1:
            y, x = seen_pixels(viewer, self._image, event.position)
            self._look_beside(float(y), float(x))
        self._dragging = True
        yield
        while event.type == "mouse_move":
            yield
        self._dragging = False
        self._timer.start()

    def _look_beside(self, y: float, x: float) -> None:
        """Emit ``beside`` if a point lies on the image but not in the window."""
        assert self.window is not None
        height, width = image_shape(self._image)
        y0, x0, y1, x1 = self.window
        if 0 <= y < height and 0 <= x < width and not (y0 <= y < y1 and x0 <= x < x1):
            self.beside.emit((y, x))
