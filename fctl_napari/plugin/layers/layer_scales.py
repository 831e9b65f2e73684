"""Color scales of the layers of confidence and of maps that are visible in a viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.plugin.common.scale_bars import Scale, gradient
from fctl_napari.plugin.layers.map_layers import MAP_KEY
from fctl_napari.plugin.layers.segmentation_layers import CONFIDENCE, STORE_KEY
from fctl_napari.segmentation.store.map_names import ENTROPY, MARGIN, map_title

MEANINGS = {CONFIDENCE: "1 is sure", MARGIN: "1 is sure", ENTROPY: "0 is sure"}
"""Words for the values of a map, by its name."""


def layer_scale(layer: Layer) -> Scale | None:
    """Return the color scale of a layer of confidence or of a map.

    Parameters
    ----------
    layer : Layer
        Any layer.

    Returns
    -------
    Scale or None
        The colors, as they are now, of values from 0 to 1. None for any other layer.
    """
    if not isinstance(layer, Image) or STORE_KEY not in layer.metadata:
        return None
    name = layer.metadata.get(MAP_KEY, CONFIDENCE)
    low, high = layer.contrast_limits
    values = np.clip((np.arange(1, 256) - low) / max(high - low, 1e-6), 0, 1) ** layer.gamma  # 0 is not computed
    return Scale(map_title(name), (0.0, 1.0), gradient(layer.colormap.map(values)), note=MEANINGS.get(name, ""))


class LayerScales(QObject):
    """Watcher of the visible layers of confidence and of maps.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    changed : Signal(object)
        Other layers are visible, or in other colors; carries a list of ``Scale``, the uppermost first.
    """

    changed = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        for layer in viewer.layers:
            self._watch(layer)
        events = viewer.layers.events
        events.inserted.connect(self._inserted)
        events.removed.connect(self._removed)
        events.reordered.connect(self._look)

    def scales(self) -> list[Scale]:
        """Return the scales of the layers that are visible.

        Returns
        -------
        list of Scale
            The uppermost first; alike ones once.
        """
        found: dict[tuple[str, bytes], Scale] = {}
        for layer in reversed(self._viewer.layers):
            scale = layer_scale(layer) if layer.visible else None
            if scale is not None:
                found.setdefault((scale.title, bytes(scale.gradient.constBits())), scale)
        return list(found.values())

    def leave(self) -> None:
        """Stop watching the viewer."""
        for layer in self._viewer.layers:
            self._unwatch(layer)
        events = self._viewer.layers.events
        events.inserted.disconnect(self._inserted)
        events.removed.disconnect(self._removed)
        events.reordered.disconnect(self._look)

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._look()

    def _removed(self, event: Any) -> None:
        self._unwatch(event.value)
        self._look()

    def _watch(self, layer: Layer) -> None:
        for emitter in _of_layer(layer):
            emitter.connect(self._look)

    def _unwatch(self, layer: Layer) -> None:
        for emitter in _of_layer(layer):
            emitter.disconnect(self._look)

    def _look(self, _event: Any = None) -> None:
        self.changed.emit(self.scales())


def _of_layer(layer: Layer) -> list[Any]:
    """Return the emitters of what a layer's scale depends on. Empty for a layer without a scale."""
    if layer_scale(layer) is None:
        return []
    events = layer.events
    return [events.visible, events.colormap, events.contrast_limits, events.gamma]
