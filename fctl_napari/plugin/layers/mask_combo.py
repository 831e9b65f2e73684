"""The field of the tab Correct that chooses a segmentation of its image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from fctl_napari.exceptions import InputError
from fctl_napari.plugin.layers.image_identity import identities, may_be_of
from fctl_napari.plugin.layers.resampled_labels import lies_over
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.plugin.layers.styles import only_show
from fctl_napari.plugin.layers.viewport import image_shape


class MaskChoices(QObject):
    """Synchronization of a field with the segmentations of an image that the viewer shows.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers are offered.
    field : object
        The combo box.
    image : callable
        Function that returns the image layer.

    Attributes
    ----------
    changed : Signal()
        Another segmentation is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, field: Any, image: Callable[[], Image | None]) -> None:
        super().__init__(field)
        self._viewer = viewer
        self._field = field
        self._image = image
        self._known: list[Labels] = []
        self._unchosen = ""
        field.currentIndexChanged.connect(self.changed)
        identities().known.connect(self.fill)
        for emitter in self._emitters():
            emitter.connect(self.fill)
        self.fill()

    @property
    def mask(self) -> Labels | None:
        """The segmentation's layer, if one is chosen and still there."""
        mask = self._field.currentData()
        return mask if mask is not None and mask in self._viewer.layers else None

    def require(self) -> Labels:
        """Return the segmentation's layer.

        Returns
        -------
        Labels
            The layer.

        Raises
        ------
        InputError
            There is none.
        """
        image = self._image()
        if self.mask is None:
            self.fill()  # a segmentation may lie over the image by now
        mask = self.mask
        if image is None or mask is None:
            raise InputError(self._why_none(image))
        if not is_mask(self._viewer, mask, image):
            raise _elsewhere(mask, image)
        return mask

    def _why_none(self, image: Image | None) -> str:
        """Return why there is no segmentation of an image."""
        if image is not None:
            for layer in self._viewer.layers:
                if (
                    isinstance(layer, Labels)
                    and STORE_KEY in layer.metadata
                    and image_shape(layer) == image_shape(image)
                ):
                    if may_be_of(layer, image):
                        return str(_elsewhere(layer, image))
                    other = f"{layer.name} is of another image of this size"
                    return f"there is no segmentation of this image ({other}); segment it, or open one."
        return "there is no segmentation of this image; segment it (tab Segment), or open one."

    @property
    def store(self) -> str | None:
        """Location of the segmentation."""
        return None if self.mask is None else str(self.mask.metadata[STORE_KEY])

    def leave_unchosen(self, store: str) -> None:
        """Do not choose a segmentation by itself when it is new.

        Parameters
        ----------
        store : str
            Its location.
        """
        self._unchosen = store

    def fill(self, _event: Any = None) -> None:
        """List the segmentations of the image, the topmost first.

        A new one is chosen, as a result is usually corrected next.

        Parameters
        ----------
        _event : object, optional
            Event of the viewer, which is ignored.
        """
        image, field = self._image(), self._field
        if image is not None:
            identities().names(image)  # checked again, as its file may have been rewritten
        layers = [] if image is None else list(reversed(self._viewer.layers))
        masks = [layer for layer in layers if image is not None and is_mask(self._viewer, layer, image)]
        for mask in masks:
            only_show(mask)
        chosen = field.currentData()
        offered = [mask for mask in masks if mask.metadata[STORE_KEY] != self._unchosen]
        new = [mask for mask in offered if mask not in self._known]
        if new or (chosen is not None and chosen not in masks):
            chosen = (new or offered or [None])[0]
        self._known = masks
        before = field.currentData()
        field.blockSignals(True)
        field.clear()
        for mask in masks:
            field.addItem(mask.name, mask)
        field.addItem("none", None)
        field.setCurrentIndex(masks.index(chosen) if chosen in masks else len(masks))
        field.blockSignals(False)
        if field.currentData() is not before:
            self.changed.emit()

    @property
    def busy(self) -> bool:
        """True while the identity of the image is being determined."""
        return identities().pending(self._image())

    def leave(self) -> None:
        """Disconnect from the viewer."""
        identities().known.disconnect(self.fill)
        for emitter in self._emitters():
            emitter.disconnect(self.fill)

    def _emitters(self) -> list[Any]:
        """Return the events of the viewer after which the field is filled."""
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.renamed]


def _elsewhere(mask: Labels, image: Image) -> InputError:
    """Return the error of a segmentation that does not lie over the image."""
    return InputError(f"{mask.name}: lies elsewhere than {image.name}; put it back over the image.")


def is_mask(viewer: napari.Viewer, layer: Any, image: Image) -> bool:
    """Return whether a layer shows a segmentation of an image, over it.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : object
        Any layer.
    image : Image
        The image layer.

    Returns
    -------
    bool
        True if it lies over the image and may be of it; see ``may_be_of``.
    """
    if not isinstance(layer, Labels) or STORE_KEY not in layer.metadata:
        return False
    return lies_over(viewer, layer, image) and may_be_of(layer, image)


def preferred_mask(viewer: napari.Viewer, image: Image) -> Labels | None:
    """Choose among the segmentations of an image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image
        The image layer.

    Returns
    -------
    Labels or None
        The uppermost that is visible, or else the uppermost. None if there is none.
    """
    found = [layer for layer in reversed(viewer.layers) if is_mask(viewer, layer, image)]
    return next((mask for mask in found if mask.visible), found[0] if found else None)
