"""Marks on layers that show corrections, and how copies that napari makes of them are told apart."""

from __future__ import annotations

from weakref import WeakSet

from napari.layers import Labels, Layer

from fctl_napari.plugin.layers.image_source import OVERLAY_KEY

CORRECTIONS_KEY = "fctl_corrections"
"""Key of the ``metadata`` of layers that show corrections; copies that napari makes of them have it, too."""

_ours: WeakSet[Layer] = WeakSet()


def mark_corrections(layer: Layer) -> None:
    """Mark a layer, which is not in a viewer yet, as one that shows corrections."""
    layer.metadata.update({OVERLAY_KEY: True, CORRECTIONS_KEY: True})
    _ours.add(layer)


def is_copy(layer: Layer) -> bool:
    """Tell whether a labels layer is a copy of one that shows corrections: it looks the same and is not kept."""
    return isinstance(layer, Labels) and CORRECTIONS_KEY in layer.metadata and layer not in _ours
