"""Layers of one image of a list: opening them, and closing them for the next one."""

from __future__ import annotations

from pathlib import Path

import napari
from napari.layers import Image, Layer

from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.plugin.io.reader import image_layers
from fctl_napari.plugin.layers.correction_marks import is_copy
from fctl_napari.plugin.layers.image_identity import identities, may_be_of
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY, image_source
from fctl_napari.plugin.layers.label_groups import LABELS_KEY
from fctl_napari.plugin.layers.resampled_labels import lies_over
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY


def open_layers(viewer: napari.Viewer, location: str) -> Image | None:
    """Open an image and what belongs to its file, as *File > Open* does.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    location : str
        Path of the image.

    Returns
    -------
    Image or None
        Layer of the image. None if the file holds labels alone.

    Raises
    ------
    InputError
        It is missing or damaged, or is not an image.
    """
    added = [viewer.add_layer(Layer.create(*data)) for data in image_layers(location) if data[0] is not None]
    return next((layer for layer in added if isinstance(layer, Image)), None)


def layers_of(viewer: napari.Viewer, image: Image) -> list[Layer]:
    """List the layers that go with an image: its own, its results, and what we show over it.

    Layers that people added themselves, and copies of corrections (which lie nowhere else), are not among them.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image
        Layer of the image.

    Returns
    -------
    list of Layer
        The layers.
    """
    return [layer for layer in viewer.layers if layer is image or _goes_with(viewer, layer, image)]


def _goes_with(viewer: napari.Viewer, layer: Layer, image: Image) -> bool:
    """Return whether another layer is closed together with an image."""
    metadata = layer.metadata
    if STORE_KEY in metadata:
        unknown = identities().names(image) is None
        return lies_over(viewer, layer, image) if unknown else may_be_of(layer, image)
    if OVERLAY_KEY in metadata:
        return not is_copy(layer)
    labels, source = metadata.get(LABELS_KEY), image_source(image)
    if labels is None or source is None or is_url(labels):
        return False
    return Path(labels).absolute().is_relative_to(Path(source.path).absolute())  # in the image's own file
