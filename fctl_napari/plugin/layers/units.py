"""Units of the layers of a viewer, which napari uses only if they can all be converted into each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import pint
from napari.components import ViewerModel
from napari.layers import Image, Layer

from fctl_napari.plugin.layers.image_source import LayerData, image_source

_followed: WeakKeyDictionary[ViewerModel, SharedUnits] = WeakKeyDictionary()


class SharedUnits:
    """Units that all layers of a viewer share.

    Those of the uppermost visible image count. Layers whose units are of another kind (px beside meters) have them too,
    because napari else warns of each new layer, and takes the numbers as they are, as it does now. They get their own
    units back when these can be converted again.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._layers = viewer.layers
        self._own: WeakKeyDictionary[Layer, tuple[Any, ...]] = WeakKeyDictionary()
        for layer in viewer.layers:
            layer.events.visible.connect(self._share)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._share)
        viewer.layers.events.reordered.connect(self._share)
        self._share()

    def _inserted(self, event: Any) -> None:
        event.value.events.visible.connect(self._share)
        self._share()

    def _share(self, _event: Any = None) -> None:
        """Give all layers units that can be converted into those that count."""
        leader = self._leader()
        if leader is not None:
            self.follow(self._own.get(leader, leader.units)[-2:])

    def follow(self, units: Sequence[Any]) -> None:
        """Give all layers units that can be converted into others.

        Parameters
        ----------
        units : sequence of pint.Unit
            Units along (y, x).
        """
        for layer in self._layers:
            own = self._own.get(layer, layer.units)
            if _alike(own, units):
                wanted = own
                self._own.pop(layer, None)
            else:
                wanted = (*own[:-2], *units[-len(own) :])
                self._own[layer] = own
            if layer.units != wanted:
                layer.units = wanted

    def _leader(self) -> Layer | None:
        """Return the layer whose units count: an image of a file, else of anything, that is seen."""
        seen = [layer for layer in self._layers if layer.visible]
        images = [layer for layer in seen if isinstance(layer, Image)]
        files = [layer for layer in images if image_source(layer) is not None]
        return next((found[-1] for found in (files, images, seen) if found), None)


def share_units(viewer: ViewerModel, coming: Sequence[LayerData] = ()) -> None:
    """Let the layers of a viewer share their units from now on.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    coming : sequence of LayerData, optional
        Layers that are about to be added. Those that are there take their units now, because napari draws a layer, and
        warns, before anything else is told that it was added.
    """
    if viewer not in _followed:
        _followed[viewer] = SharedUnits(viewer)
    for _, arguments, _ in coming[:1]:
        unit = pint.get_application_registry().Unit
        _followed[viewer].follow([unit(str(name)) for name in arguments.get("units", ("pixel", "pixel"))])


def _alike(units: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether the units of the last two axes can be converted into others."""
    return all(one.is_compatible_with(other) for one, other in zip(units[-2:], others[-len(units) :], strict=True))
