"""Masks that are hidden while something else is shown over the image."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import napari
from napari.layers import Labels, Layer

from fctl_napari.plugin.layers.image_identity import IMAGE_KEY
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY


class HiddenMasks:
    """Masks of segmentations that are hidden for a time, and shown again.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the masks.
    which : callable or None, optional
        Function that lists the layers of a viewer that are hidden. None takes the masks of segmentations.
    """

    def __init__(self, viewer: napari.Viewer, which: Callable[[Any], Sequence[Layer]] | None = None) -> None:
        self._viewer = viewer
        self._which = which or masks
        self._on = False
        self._hidden: weakref.WeakSet[Layer] = weakref.WeakSet()

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
            self._hidden = weakref.WeakSet(mask for mask in self._which(self._viewer) if mask.visible)
        for mask in [mask for mask in self._hidden if mask in self._viewer.layers]:
            mask.visible = not hidden

    def hide_too(self, layer: Layer) -> None:
        """Hide a layer that has come meanwhile, if it is one of those that are hidden now.

        Parameters
        ----------
        layer : Layer
            A layer of the viewer.
        """
        if self._on and layer.visible and layer in self._which(self._viewer):
            self._hidden.add(layer)
            layer.visible = False


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


def all_but_images(viewer: Any) -> list[Layer]:
    """List the layers of a viewer that show labels, or something that was computed: all but images and drawings.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    list of Layer
        The layers, the lowest first.
    """
    ours = {STORE_KEY, OVERLAY_KEY}
    return [layer for layer in viewer.layers if isinstance(layer, Labels) or ours & layer.metadata.keys()]


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
