"""Two maps of an image compared on the canvas: side by side with a line that is dragged (swipe), or in turn (blink)."""

from __future__ import annotations

from typing import Any, Literal

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QLabel
from vispy.visuals.filters.clipping_planes import PlanesClipper

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.divider import Divider
from fctl_napari.plugin.layers.image_source import FINAL_KEY, OVERLAY_KEY
from fctl_napari.plugin.layers.resampled_labels import lies_over
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY

BLINK_MS = 700
"""Time for which each of two maps is shown in turn, ms."""

Mode = Literal["", "swipe", "blink"]


def pair_of(viewer: napari.Viewer) -> tuple[Labels, Labels]:
    """Choose the two maps to compare: the uppermost visible one, and the next below it of the same place.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    tuple of (Labels, Labels)
        The lower one, which is taken for the state before, and the upper one.

    Raises
    ------
    InputError
        There are no two maps of one image.
    """
    maps = [
        layer
        for layer in reversed(viewer.layers)
        if isinstance(layer, Labels) and {STORE_KEY, FINAL_KEY} & layer.metadata.keys()
    ]
    for index, after in enumerate(maps):
        if after.visible:
            for before in maps[index + 1 :]:
                if lies_over(viewer, before, after):
                    return before, after
    raise InputError("there are no two maps of one image to compare; show one that lies over another.")


class BeforeAfter(QObject):
    """Comparison of two maps on the canvas of a viewer, at most one at a time.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Attributes
    ----------
    changed : Signal()
        ``mode`` has changed.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer) -> None:
        canvas = viewer.window._qt_viewer.canvas
        super().__init__(canvas.native)
        self._viewer, self._visuals, self._native = viewer, canvas.layer_to_visual, canvas.native
        self._mode: Mode = ""
        self._pair: tuple[Labels, Labels] | None = None
        self._shown: dict[Labels, bool] = {}
        self._clippers: dict[Labels, tuple[Any, PlanesClipper]] = {}
        self._divider: Divider | None = None
        self._caption: QLabel | None = None
        self._is_before = False
        self._timer = QTimer(self)
        self._timer.setInterval(BLINK_MS)
        self._timer.timeout.connect(self._turn)

    @property
    def mode(self) -> Mode:
        """``"swipe"``, ``"blink"``, or an empty text while nothing is compared."""
        return self._mode

    @property
    def divider(self) -> Divider | None:
        """The line that is dragged, while there is one."""
        return self._divider

    def toggle(self, mode: Mode) -> None:
        """Begin to compare, in place of another comparison, or end the comparison of that kind.

        Parameters
        ----------
        mode : {"swipe", "blink"}
            Kind of the comparison.

        Raises
        ------
        InputError
            There are no two maps of one image, or they are shown in 3D.
        """
        was = self._mode
        self.stop()
        if mode == was:
            return
        if self._viewer.dims.ndisplay != 2:
            raise InputError("maps are compared in two dimensions; leave 3D first.")
        self._start(mode, *pair_of(self._viewer))

    def stop(self) -> None:
        """Show the maps as they were shown before the comparison."""
        if not self._mode:
            return
        self._mode, self._pair = "", None
        self._timer.stop()
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._viewer.dims.events.ndisplay.disconnect(self._dimensions_changed)
        for node, clipper in self._clippers.values():
            node.detach(clipper)
            node.update()
        self._clippers.clear()
        for part in (self._divider, self._caption):
            if part is not None:
                part.hide()
                part.deleteLater()
        self._divider = self._caption = None
        for layer, visible in self._shown.items():
            if layer in self._viewer.layers:
                layer.visible = visible
        self._shown.clear()
        self.changed.emit()

    def _start(self, mode: Mode, before: Labels, after: Labels) -> None:
        """Show both maps, hide what else lies over the image, and divide the canvas."""
        self._mode, self._pair = mode, (before, after)
        overlays = [layer for layer in self._viewer.layers if OVERLAY_KEY in layer.metadata and layer is not after]
        self._shown = {layer: layer.visible for layer in (before, after, *overlays)}
        for layer in self._shown:
            layer.visible = layer in self._pair
        self._viewer.layers.events.removed.connect(self._removed)
        self._viewer.dims.events.ndisplay.connect(self._dimensions_changed)
        if mode == "swipe":
            self._divider = Divider(self._native)
            self._divider.moved.connect(self._clip)
        else:
            self._is_before = True
            self._caption = QLabel(self._native)
            self._caption.setStyleSheet("background: rgba(0, 0, 0, 160); color: white; padding: 4px 8px;")
            self._caption.move(8, 8)
            self._caption.show()
            self._timer.start()
        self._clip()
        self.changed.emit()

    def _turn(self) -> None:
        """Show the other map."""
        self._is_before = not self._is_before
        self._clip()

    def _clip(self) -> None:
        """Show the state before on the left of the line, and the one after on its right."""
        if self._pair is None:
            return
        before, after = self._pair
        at = self._boundary()
        if self._caption is not None:
            shown = before if self._is_before else after
            self._caption.setText(f"{'Before' if self._is_before else 'After'}: {shown.name}")
            self._caption.adjustSize()
        for layer, side in ((before, -1.0), (after, 1.0)):
            node, clipper = self._clipper(layer)
            clipper.clipping_planes = [[(at, 0.0, 0.0), (side, 0.0, 0.0)]]
            node.update()

    def _boundary(self) -> float:
        """Return where the two maps meet, px of the canvas, which is beyond a side while only one is shown."""
        if self._divider is not None:
            return self._divider.position
        return float(self._native.width() + 1) if self._is_before else -1.0

    def _clipper(self, layer: Labels) -> tuple[Any, PlanesClipper]:
        """Return a layer's node and what clips it in px of the canvas."""
        node = self._visuals[layer].node
        if layer not in self._clippers:
            clipper = PlanesClipper(coord_system="canvas")
            node.attach(clipper)
            self._clippers[layer] = node, clipper
        return self._clippers[layer]

    def _dimensions_changed(self, _event: Any) -> None:
        """End the comparison in 3D, for which napari draws layers by other nodes."""
        self.stop()

    def leave(self) -> None:
        """End the comparison of a window that closes, and leave its layers as they are."""
        self._timer.stop()

    def _removed(self, event: Any) -> None:
        """End the comparison when one of its maps is gone."""
        if self._pair is not None and event.value in self._pair:
            self._clippers.pop(event.value, None)
            self.stop()


def before_after(viewer: napari.Viewer) -> BeforeAfter:
    """Return the comparison on a viewer's canvas.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    BeforeAfter
        The comparison.
    """
    found: BeforeAfter | None = viewer.window._qt_viewer.canvas.native.findChild(BeforeAfter)
    return BeforeAfter(viewer) if found is None else found
