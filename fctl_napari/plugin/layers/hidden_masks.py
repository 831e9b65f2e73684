"""Masks that are hidden while something else is shown over the image."""

from __future__ import annotations

import weakref
from typing import Any

import napari
from napari.layers import Labels

from fctl_napari.plugin.layers.image_identity import IMAGE_KEY
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY


class HiddenMasks:
    """Masks of segmentations that are hidden for a time, and shown again.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the masks.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._on = False
        self._hidden: weakref.WeakSet[Labels] = weakref.WeakSet()

    def set_hidden(self, hidden: bool) -> None:
        """Hide the masks that are visible, or show those again that were hidden.

        Nothing happens where that is done already: what the user shows or hides meanwhile stays so.

        Parameters
        ----------
        hidden : bool
            If True, hide them.
        """
        if hidden == self._on:
            return
        self._on = hidden
        if hidden:
            self._hidden = weakref.WeakSet(mask for mask in masks(self._viewer) if mask.visible)
        for mask in [mask for mask in self._hidden if mask in self._viewer.layers]:
            mask.visible = not hidden


def masks(viewer: Any) -> list[Labels]:
    """List the masks of segmentations in a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    list of Labels
        The layers, the lowest first.
    """
    return [layer for layer in viewer.layers if isinstance(layer, Labels) and STORE_KEY in layer.metadata]


def toggle_masks(viewer: napari.Viewer) -> None:
    """Hide the masks of segmentations, or show the uppermost if none is visible.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    found = masks(viewer)
    visible = [mask for mask in found if mask.visible]
    for mask in visible or found[-1:]:
        mask.visible = not mask.visible


def show_alone(viewer: Any, mask: Labels) -> None:
    """Show a mask, and hide the other masks of its image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    mask : Labels
        The mask, of a segmentation.
    """
    mask.visible = True
    for other in masks(viewer):
        if other is not mask and other.metadata.get(IMAGE_KEY) == mask.metadata.get(IMAGE_KEY):
            other.visible = False
