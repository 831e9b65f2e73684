"""Identity of the image that a layer shows: fingerprints of image layers, computed in threads, each once."""

from __future__ import annotations

import weakref
from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.fingerprint import fingerprint
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.layers.array_image import array_image, layer_levels, lazy_layer
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.identity import known_as

IMAGE_KEY = "fctl_image"
"""Key of a layer's ``metadata`` that holds the fingerprint of the image that its segmentation is of."""


class ImageIdentities(QObject):
    """Fingerprints of image layers.

    Attributes
    ----------
    known : Signal(object)
        The fingerprints of an image layer, which were asked for, are known now: the layer.
    """

    known = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._of_arrays: weakref.WeakKeyDictionary[Image, frozenset[str]] = weakref.WeakKeyDictionary()
        self._pending: weakref.WeakSet[Image] = weakref.WeakSet()

    def names(self, image: Image) -> frozenset[str] | None:
        """Return the fingerprints that mean the image of a layer.

        Parameters
        ----------
        image : Image
            The image layer.

        Returns
        -------
        frozenset of str or None
            Fingerprints; empty if the image cannot be read. None means not known yet; ``known`` is emitted when they
            are.
        """
        source = image_source(image)
        found = self._of_arrays.get(image) if source is None else source.names
        if found is None and image not in self._pending:
            self._find(image)
        return found

    def pending(self, image: Image | None) -> bool:
        """Return whether the fingerprints of a layer are being computed.

        Parameters
        ----------
        image : Image or None
            The image layer, or None.

        Returns
        -------
        bool
            True while they are computed.
        """
        return image is not None and image in self._pending

    def _find(self, image: Image) -> None:
        """Compute the fingerprints of a layer, after its pyramid if one is being made."""
        self._pending.add(image)
        source = image_source(image)
        if (
            source is not None and source.job is not None
        ):  # reads its pyramid then, so that a large file is not decoded twice
            source.job.finished.connect(lambda _path: self._start(image))
            source.job.failed.connect(lambda _error: self._done(image, frozenset()))
        else:
            self._start(image)

    def _start(self, image: Image) -> None:
        """Compute the fingerprints of a layer in a thread."""
        source = image_source(image)
        shown = layer_levels(image)[0]
        lazy = source is None and lazy_layer(image)

        def work(_progress: Progress) -> frozenset[str]:
            try:
                opened = array_image(image) if source is None else source.open()
                # Fingerprints of versions before 0.2 would take all px of an array.
                return frozenset([fingerprint(opened)]) if lazy else known_as(opened)
            except FctlError:
                return frozenset()  # the error is reported where the image is read

        def done(names: frozenset[str]) -> None:
            other = source is None and layer_levels(image)[0] is not shown
            if other or image_source(image) is not source:
                self._start(image)  # it was given other data meanwhile
            else:
                self._done(image, names)

        job = Job(work)
        job.finished.connect(done)
        job.failed.connect(lambda _error: self._done(image, frozenset()))
        job.start()

    def _done(self, image: Image, names: frozenset[str]) -> None:
        """Keep the fingerprints of a layer and report them."""
        self._pending.discard(image)
        source = image_source(image)
        if source is not None:
            source.names = names
        else:
            self._of_arrays[image] = names
            image.events.data.connect(self._forget)
        self.known.emit(image)

    def _forget(self, event: Any) -> None:
        """Drop the fingerprints of a layer that is given other data."""
        self._of_arrays.pop(event.source, None)


_identities: ImageIdentities | None = None


def identities() -> ImageIdentities:
    """Return the fingerprints of this process's image layers."""
    global _identities
    if _identities is None:
        _identities = ImageIdentities()
    return _identities


def may_be_of(layer: Layer, image: Image) -> bool:
    """Return whether a segmentation's layer may be of an image.

    While the image's fingerprints are not known the answer is False, and ``ImageIdentities.known`` is emitted when they
    are.

    Parameters
    ----------
    layer : Layer
        Layer of a segmentation.
    image : Image
        The image layer.

    Returns
    -------
    bool
        True if the store names the image, or does not say of which image it is.
    """
    stored = layer.metadata.get(IMAGE_KEY)
    if stored is None:
        return True
    names = identities().names(image)
    return names is not None and stored in names
