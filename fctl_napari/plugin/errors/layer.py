"""Layer of errors over a segmentation's layer, which it follows in placement, growth and removal."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.plugin.errors.comparison import Comparison
from fctl_napari.plugin.errors.overlay import add_overlay, kinds_style
from fctl_napari.plugin.errors.showing import Showing
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.plugin.layers.transforms import move, moves, placed_like

FOLLOW_MS = 250
"""Interval at which the segmentation is checked for growth, ms; a check takes 0.1 ms."""


class ErrorLayer(QObject):
    """Layer that shows errors over a mask, the same layer whatever is shown.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer where it is shown.
    parent : QObject or None, optional
        Qt parent.
    what : str, optional
        Beginning of the layer's name, before the mask's.

    Attributes
    ----------
    replaced : Signal()
        The mask has other data now: what is compared has to be opened again.
    """

    replaced = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None, *, what: str = "errors of") -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._what = what
        self._mask: Labels | None = None
        self._comparison: Comparison | None = None
        self._layer: Labels | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(FOLLOW_MS)
        self._timer.timeout.connect(self._follow)

    @property
    def layer(self) -> Labels | None:
        """The layer, or None if it is not there."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def watch(self, mask: Labels | None) -> None:
        """Follow another mask from now on, and remove the layer over the former one.

        Parameters
        ----------
        mask : Labels or None
            Layer of the segmentation, or None.
        """
        if mask is self._mask:
            return
        self.hide()
        self._unwatch()
        self._mask = mask
        if mask is not None:
            for emitter in moves(mask):
                emitter.connect(self._moved)
            mask.events.data.connect(self._data_changed)

    def show(self, comparison: Comparison, showing: Showing, legend: Any) -> None:
        """Show the errors of a comparison.

        Parameters
        ----------
        comparison : Comparison
            The opened comparison.
        showing : Showing
            Contents of the overlay.
        legend : object
            Names and colors of kinds 1, 2, ...
        """
        overlay, mask = comparison.overlay, self._mask
        if overlay is None or mask is None or mask not in self._viewer.layers:
            self.hide()
            return
        self._comparison = comparison
        overlay.show(showing.kinds())
        style = kinds_style(legend)
        layer = self.layer
        if layer is None:
            self._layer = add_overlay(self._viewer, mask, overlay, f"{self._what} {mask.name}", style)
        else:
            if layer.data is not overlay.data:
                layer.data = overlay.data
            self._dress(layer, style)
        self._timer.start()

    def change(self, showing: Showing, legend: Any) -> None:
        """Show other contents of the same comparison.

        Parameters
        ----------
        showing : Showing
            Contents of the overlay.
        legend : object
            Names and colors of kinds 1, 2, ...
        """
        layer = self.layer
        if self._comparison is None or self._comparison.overlay is None or layer is None:
            return
        self._comparison.overlay.show(showing.kinds())
        self._dress(layer, kinds_style(legend))

    def hide(self) -> None:
        """Remove the layer."""
        self._timer.stop()
        layer = self.layer
        if layer is not None:
            chosen = set(self._viewer.layers.selection) - {layer}
            remove_layers(self._viewer, [layer])
            self._viewer.layers.selection = chosen
        self._layer = self._comparison = None

    def leave(self) -> None:
        """Stop following the mask."""
        self._timer.stop()
        self._unwatch()
        self._mask = None

    def _unwatch(self) -> None:
        """Stop following the placement and data of the mask."""
        if self._mask is not None:
            for emitter in moves(self._mask):
                emitter.disconnect(self._moved)
            self._mask.events.data.disconnect(self._data_changed)

    def _dress(self, layer: Labels, style: dict[str, Any]) -> None:
        # New colors draw the layer anew, but its data have to be read again too.
        """Give the layer its colors and names."""
        layer.features = style["features"]
        layer.colormap = style["colormap"]
        layer.refresh(extent=False, highlight=False)

    def _follow(self) -> None:
        """Draw the layer again if the segmentation has grown."""
        layer = self.layer
        if layer is None or self._comparison is None or self._comparison.overlay is None:
            self._timer.stop()
        elif self._comparison.overlay.follow():
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _moved(self, _event: Any = None) -> None:
        """Place the layer like the mask."""
        if self.layer is not None and self._mask is not None:
            move(self.layer, placed_like(self._mask))

    def _data_changed(self, _event: Any = None) -> None:
        """Report that the mask has other data."""
        self.replaced.emit()
