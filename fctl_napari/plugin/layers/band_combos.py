"""Combo boxes that choose which bands of an image are red, green and blue."""

from __future__ import annotations

import copy

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QWidget

from fctl_napari.plugin.layers.choosers import combo, row
from fctl_napari.plugin.layers.image_source import image_source, show_levels
from fctl_napari.plugin.layers.shown_levels import displayed_levels

TOOLTIP = "The band that is shown, and read by networks, as {}."
COLORS = ("red", "green", "blue")


class BandCombos(QWidget):
    """Three combo boxes of the bands of an image. They are hidden for an image that has no choice.

    Attributes
    ----------
    chosen : Signal(object)
        Other bands were chosen by the user: the indices of red, green and blue.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.boxes = [combo(TOOLTIP.format(color)) for color in COLORS]
        for box in self.boxes:
            box.setMinimumContentsLength(3)
            box.setMinimumWidth(48)
            box.activated.connect(self._activated)
        self.setLayout(row(QLabel("RGB"), *self.boxes))
        self.setVisible(False)

    @property
    def bands(self) -> tuple[int, int, int]:
        """Indices of the bands that are chosen."""
        red, green, blue = (box.currentIndex() for box in self.boxes)
        return red, green, blue

    def show_image(self, layer: Image | None) -> None:
        """Offer the bands of an image layer.

        Parameters
        ----------
        layer : Image or None
            The layer.
        """
        source = image_source(layer) if layer is not None else None
        pyramid = source.pyramid if source is not None else None
        self.setVisible(pyramid is not None and (pyramid.channels > 4 or pyramid.bands is not None))
        if pyramid is None:
            return
        names = [name or f"band {index}" for index, name in enumerate(pyramid.band_names)]
        shown = (pyramid.rgb_channels * 3)[:3]  # one gray channel is all three
        for box, band in zip(self.boxes, shown, strict=True):
            box.clear()
            box.addItems(names)
            box.setCurrentIndex(band)

    def _activated(self) -> None:
        self.chosen.emit(self.bands)


def show_bands(layer: Image, bands: tuple[int, int, int]) -> None:
    """Show other bands of an image, which networks read from then on.

    Parameters
    ----------
    layer : Image
        Layer of an image file.
    bands : tuple of 3 int
        Indices of red, green and blue.

    Raises
    ------
    InputError
        The file is damaged, or holds another picture than the one that is shown.
    """
    source = image_source(layer)
    assert source is not None
    pyramid = copy.copy(source.open())
    pyramid.bands = bands
    show_levels(layer, displayed_levels(pyramid), source)
    source.bands, source.pyramid = bands, pyramid
