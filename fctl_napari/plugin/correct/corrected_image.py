"""The image that is corrected, followed as it moves, and its corrections while they are open."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.exceptions import InputError
from fctl_napari.plugin.correct.session import Painting
from fctl_napari.plugin.layers.image_source import ImageSource, image_source
from fctl_napari.plugin.layers.transforms import moves
from fctl_napari.windows import Window


class CorrectedImage(QObject):
    """The corrected image with its open corrections, whose layers follow it.

    Parameters
    ----------
    parent : QObject
        Qt's parent.

    Attributes
    ----------
    painting : Painting or None
        The open corrections. None while none are open.
    replaced : Signal()
        The layer was given other px than those of its file, or of the array before: it shows another image.
    """

    replaced = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.painting: Painting | None = None
        self._image: Image | None = None
        self._source: ImageSource | None = None

    @property
    def image(self) -> Image | None:
        """The image that is corrected."""
        return self._image

    def follow(self, image: Image | None) -> None:
        """Follow the movements and the data of another image layer from now on.

        Parameters
        ----------
        image : Image or None
            The layer. None follows none.
        """
        for emitter in moves(self._image):
            emitter.disconnect(self._moved)
        if self._image is not None:
            self._image.events.data.disconnect(self._data_changed)
        self._image = image
        for emitter in moves(image):
            emitter.connect(self._moved)
        if image is not None:
            self._source = image_source(image)
            image.events.data.connect(self._data_changed)

    def require_open(self) -> Painting:
        """Return the open corrections.

        Returns
        -------
        Painting
            The corrections with their layers.

        Raises
        ------
        InputError
            None are open.
        """
        if self.painting is None:
            raise InputError("no corrections are open; press Edit here first.")
        return self.painting

    def on_ground(self, pixels: int) -> str:
        """Return what px of the image cover on the ground, to follow their number.

        Parameters
        ----------
        pixels : int
            Number of px.

        Returns
        -------
        str
            Their area in words. Empty if it is not known, or nothing is open.
        """
        if self.painting is None:
            return ""
        corrections = self.painting.corrections
        return area_words(pixels, corrections.georeference, Window.of_image(corrections.shape))

    def _moved(self, _event: Any = None) -> None:
        if self.painting is not None:
            self.painting.follow()

    def _data_changed(self) -> None:
        if self._image is not None:
            before, self._source = self._source, image_source(self._image)
            if self._source is None or self._source is not before:
                self.replaced.emit()
