"""Marks of layers that show corrections, which tell apart the copies that napari makes of them."""

from __future__ import annotations

from weakref import WeakSet

from napari.layers import Labels, Layer

from fctl_napari.plugin.layers.image_source import OVERLAY_KEY

CORRECTIONS_KEY = "fctl_corrections"
"""Key of the ``metadata`` of layers that show corrections; copies that napari makes of them have it too."""

_ours: WeakSet[Layer] = WeakSet()


def mark_corrections(layer: Layer) -> None:
    """Mark a layer as one that shows corrections.

    Parameters
    ----------
    layer : Layer
        A layer that is not in a viewer yet.
    """
    layer.metadata.update({OVERLAY_KEY: True, CORRECTIONS_KEY: True})
    _ours.add(layer)


def is_copy(layer: Layer) -> bool:
    """Return whether a labels layer is a copy of one that shows corrections.

    A copy looks the same and is not kept.

    Parameters
    ----------
    layer : Layer
        Any layer.

    Returns
    -------
    bool
        True for a copy.
    """
    return isinstance(layer, Labels) and CORRECTIONS_KEY in layer.metadata and layer not in _ours
