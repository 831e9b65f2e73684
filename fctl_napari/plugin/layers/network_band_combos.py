"""Combo boxes that say which band of an image is which of a network's."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QWidget

from fctl_napari.imagery.band_matching import image_band_names
from fctl_napari.imagery.band_meanings import canonical_names
from fctl_napari.model.model_card import Card
from fctl_napari.plugin.layers.choosers import combo
from fctl_napari.plugin.layers.image_source import image_source, show_levels
from fctl_napari.plugin.layers.shown_levels import displayed_levels

TOOLTIP = "The band of the image that the network takes as {}."
COLUMNS = 2
"""Number of bands in a row."""


class NetworkBandCombos(QWidget):
    """A combo box for each band of a network. They are hidden for a network of red, green and blue.

    Attributes
    ----------
    chosen : Signal(object)
        The user said which band is which: the names of all bands of the image.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.boxes: dict[str, QComboBox] = {}
        self._names: list[str] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self.setVisible(False)

    def show_bands(self, layer: Image | None, card: Card | None) -> None:
        """Show which bands of an image a network takes.

        Parameters
        ----------
        layer : Image or None
            Layer of the image.
        card : Card or None
            Model card of the network.
        """
        source = image_source(layer) if layer is not None else None
        pyramid = source.pyramid if source is not None else None
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.deleteLater()
        self.boxes = {}
        self.setVisible(pyramid is not None and card is not None and bool(card.config.bands))
        if pyramid is None or card is None or not card.config.bands:
            return
        known = image_band_names(pyramid)
        own = canonical_names(card.config.band_names)
        self._names = [name or f"band {index}" for index, name in enumerate(pyramid.band_names)]
        for number, wanted in enumerate(card.config.band_names):
            box = combo(TOOLTIP.format(wanted))
            box.setMinimumContentsLength(3)
            box.addItems(self._names)
            box.setCurrentIndex(known.index(own[number]) if own[number] in known else -1)
            box.activated.connect(self._activated)
            row, column = divmod(number, COLUMNS)
            self._grid.addWidget(QLabel(wanted), row, 2 * column)
            self._grid.addWidget(box, row, 2 * column + 1)
            self.boxes[wanted] = box

    def _activated(self) -> None:
        names = list(self._names)
        for wanted, box in self.boxes.items():
            if (old := names.index(wanted) if wanted in names else None) is not None:
                names[old] = f"band {old}"
            if box.currentIndex() >= 0:
                names[box.currentIndex()] = wanted
        self.chosen.emit(tuple(names))


def name_bands(layer: Image, names: Sequence[str]) -> None:
    """Name the bands of an image, by which networks find theirs from then on, and show red, green and blue.

    Parameters
    ----------
    layer : Image
        Layer of an image file.
    names : sequence of str
        Name of each band.

    Raises
    ------
    InputError
        The file is damaged, or holds another picture than the one that is shown.
    """
    source = image_source(layer)
    assert source is not None
    before = source.open()
    named = before.with_band_names(names)
    if named.bands is None:  # they name no red, green and blue: what is shown stays
        named = copy.copy(named)
        named.bands = before.bands
    if named.rgb_channels != before.rgb_channels:
        show_levels(layer, displayed_levels(named), source)
    source.bands, source.pyramid = tuple(names), named
