"""Fields that choose which values of an image are black and white."""

from __future__ import annotations

import copy

from napari.layers import Image
from qtpy.QtCore import QLocale, Signal
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.measured import measured_range
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.layers.choosers import row, tool
from fctl_napari.plugin.layers.image_source import image_source, show_levels
from fctl_napari.plugin.layers.shown_levels import displayed_levels
from fctl_napari.progress import Progress

TOOLTIPS = {
    "low": "The value that is shown as black, and that networks read as 0 unless they have ranges of their own.",
    "high": "The value that is shown as white, and that networks read as 255 unless they have ranges of their own.",
    "stretch": "Take the values below which 2 % and 98 % of a sample of the px lie, in the bands that are shown.",
}
STRETCH = (2.0, 98.0)
"""Percentiles of the button."""


class RangeFields(QWidget):
    """Two values of an image, and a button that measures them. They are hidden for an image of 8 bits.

    Attributes
    ----------
    chosen : Signal(object)
        Another range was chosen by the user: (low, high).
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._layer: Image | None = None
        self._measuring = Jobs(self)
        self._shown = (0.0, 0.0)
        self.low, self.high = QLineEdit(), QLineEdit()
        for field, name in ((self.low, "low"), (self.high, "high")):
            numbers = QDoubleValidator(field)
            numbers.setLocale(QLocale.c())
            field.setValidator(numbers)
            field.setToolTip(TOOLTIPS[name])
            field.setMinimumWidth(40)
            field.editingFinished.connect(self._edited)
        self.stretch = tool("2-98 %", TOOLTIPS["stretch"])
        self.stretch.clicked.connect(self._measure)
        self.setLayout(row(QLabel("Range"), self.low, self.high, self.stretch))
        self.setVisible(False)

    @property
    def measuring(self) -> bool:
        """True while the values of the image are measured."""
        return self._measuring.running

    def show_image(self, layer: Image | None) -> None:
        """Show the range of an image layer.

        Parameters
        ----------
        layer : Image or None
            The layer.
        """
        self._measuring.drop()
        self._layer = layer
        source = image_source(layer) if layer is not None else None
        shown = None if source is None or source.pyramid is None else source.pyramid.value_range
        self.setVisible(shown is not None)
        if shown is not None:
            self._show(shown)

    def _show(self, value_range: tuple[float, float]) -> None:
        self._shown = value_range
        for field, value in zip((self.low, self.high), value_range, strict=True):
            field.setText(f"{value:.10g}")
            field.setCursorPosition(0)

    def _edited(self) -> None:
        words = self.low.text(), self.high.text()
        if words == tuple(f"{value:.10g}" for value in self._shown):
            return  # a field was left as it is
        self._choose((float(words[0]), float(words[1])))

    def _choose(self, value_range: tuple[float, float]) -> None:
        if not value_range[0] < value_range[1]:
            low, high = value_range
            self._show(self._shown)
            report(
                InputError(f"no value lies between black at {low:g} and white at {high:g}; make white larger."), self
            )
            return
        self._show(value_range)
        self.chosen.emit(value_range)

    def _measure(self) -> None:
        """Measure the values of the image in a thread, and choose them."""
        source = image_source(self._layer) if self._layer is not None else None
        if source is None:
            return

        def work(_progress: Progress) -> tuple[float, float]:
            return measured_range(source.open(), STRETCH)

        self._measuring.begin(work, self._choose, lambda error: report(error, self))


def show_range(layer: Image, value_range: tuple[float, float]) -> None:
    """Show other values of an image as black and white, as which networks read them from then on.

    Parameters
    ----------
    layer : Image
        Layer of an image file.
    value_range : tuple of 2 float
        Values that become 0 and 255.

    Raises
    ------
    InputError
        The file is damaged, or holds another picture than the one that is shown.
    """
    source = image_source(layer)
    assert source is not None
    pyramid = copy.copy(source.open())
    pyramid.value_range = value_range
    source.value_range, source.pyramid = value_range, pyramid
    if layer.rgb:
        show_levels(layer, displayed_levels(pyramid), source)
    else:
        layer.contrast_limits_range = value_range
        layer.contrast_limits = value_range
