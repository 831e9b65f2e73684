"""Choice among the images of a file that holds several."""

from __future__ import annotations

import napari
from napari.layers import Image, Layer
from npe2 import PluginManager
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

from fctl_napari.plugin.layers.choosers import keep_narrow
from fctl_napari.plugin.layers.image_source import image_source

TOOLTIP = "The images of this file, by number, name and size in px. Another one is opened as a layer of its own."


class FileImageCombo(QComboBox):
    """Combo box of the images of a layer's file. It is hidden where there is only one.

    Attributes
    ----------
    wanted : Signal(str)
        Location of another image that was chosen.
    """

    wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self, TOOLTIP)
        self.hide()
        self.activated.connect(lambda _index: self.wanted.emit(self.currentData()))

    def show_images(self, layer: Image | None) -> None:
        """List the images of the file behind a layer.

        Parameters
        ----------
        layer : Image or None
            The layer, whose own image is the current one.
        """
        source = None if layer is None else image_source(layer)
        self.clear()
        if source is not None:
            for number, image in enumerate(source.images):
                self.addItem(image.words(number), image.location)
            self.setCurrentIndex(self.findData(source.original))
        self.setVisible(self.count() > 1)


def open_instead_of(viewer: napari.Viewer, layer: Image | None, location: str) -> Image | None:
    """Show another image of a file in place of a layer, which is hidden.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : Image or None
        Layer to hide.
    location : str
        Location of the other image.

    Returns
    -------
    Image or None
        Its layer, opened now or before. None if it cannot be opened, which is reported.
    """
    there = next((one for one in viewer.layers if _shows(one, location)), None)
    if there is None:
        # viewer.open looks for a file of this very name
        read = PluginManager.instance().commands.execute("fctl-napari.read", args=(location,))
        for data in read(location):
            if data[0] is not None:
                viewer.add_layer(Layer.create(*data))
        there = next((one for one in viewer.layers if _shows(one, location)), None)
    if isinstance(there, Image):
        there.visible = True
        if layer is not None and layer is not there:
            layer.visible = False
        return there
    return None


def _shows(layer: Layer, location: str) -> bool:
    source = image_source(layer)
    return source is not None and source.original == location
