"""Bands and range of values that an image is read with, as the fields of the tab Segment state them."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from fctl_napari.model.model_card import Card
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.layers.band_combos import show_bands
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.network_band_combos import name_bands
from fctl_napari.plugin.layers.range_fields import show_range
from fctl_napari.plugin.segment.form import SegmentForm


class ReadingFields(QObject):
    """Actions of the fields for bands and range.

    Parameters
    ----------
    form : SegmentForm
        Form with the fields, which is Qt's parent.
    card : callable
        Function that returns the model card of the checkpoint that is chosen, or None.

    Attributes
    ----------
    changed : Signal()
        The user has chosen other bands, other names of bands, or another range.
    """

    changed = Signal()

    def __init__(self, form: SegmentForm, card: Callable[[], Card | None]) -> None:
        super().__init__(form)
        self._form, self._card = form, card
        form.bands.chosen.connect(self._choose_bands)
        form.values.chosen.connect(self._choose_range)
        form.network_bands.chosen.connect(self._name_bands)

    def show_image(self, _path: str = "") -> None:
        """Show bands and range of the image that is chosen, now and when its pyramid is made.

        Parameters
        ----------
        _path : str, optional
            Path of the pyramid that was made; ignored.
        """
        form, image = self._form, self._form.image.layer
        form.bands.show_image(image)
        form.values.show_image(image)
        self.show_card()
        source = None if image is None else image_source(image)
        if source is not None and source.job is not None:
            source.job.finished.connect(self.show_image)

    def show_card(self) -> None:
        """Show the bands that the network of the chosen checkpoint reads."""
        self._form.network_bands.show_bands(self._form.image.layer, self._card())

    def _choose_bands(self, bands: tuple[int, int, int]) -> None:
        """Read other bands of the image as red, green and blue."""
        image = self._form.image.layer
        if image is not None:
            with reported(self):
                show_bands(image, bands)
            self.changed.emit()

    def _choose_range(self, value_range: tuple[float, float]) -> None:
        """Read the image's values in another range."""
        image = self._form.image.layer
        if image is not None:
            with reported(self):
                show_range(image, value_range)
            self.changed.emit()

    def _name_bands(self, names: tuple[str, ...]) -> None:
        """Name the bands of the image, and show them by their names."""
        image = self._form.image.layer
        if image is not None:
            with reported(self):
                name_bands(image, names)
            self.show_image()
            self.changed.emit()
