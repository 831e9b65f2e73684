"""Choices where corrections were painted on another image than the one that is open."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import napari
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from fctl_napari.api.locations import cache_folder
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.relink import copy_for, relink
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.plugin.common.form_layout import button, wrapped
from fctl_napari.plugin.correct.layer import add_corrections
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.segmentation_layers import StoredLevels
from fctl_napari.plugin.layers.viewport import image_shape
from fctl_napari.segmentation.store.result_paths import named_path

Way = Literal["relink", "copy", "new", "look"]

WAYS: dict[Way, tuple[str, str]] = {
    "relink": (
        "They belong to this image",
        "Keep painting on them here, as you know that both images show one scene (sharpened, color balanced). The "
        "painted pixels stay, and the file remembers the earlier image.",
    ),
    "copy": (
        "Copy them for this image",
        "Paint on a copy under a new name. The earlier corrections stay as they are, with their image.",
    ),
    "new": ("Begin new ones", "Begin empty corrections under a new name. The earlier ones stay as they are."),
    "look": ("Only show them", "Show these corrections as a layer that cannot be painted on."),
}


class OtherImagePage(QFrame):
    """Message that the corrections are of another image, with the difference, and buttons for the choices.

    Parameters
    ----------
    parent : QWidget or None, optional
        Qt's parent.

    Attributes
    ----------
    chosen : Signal(str)
        A button was pressed; carries its key in ``WAYS``.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.words = wrapped("The corrections at this image's path were painted on another image.")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.words)
        self.buttons = {}
        for way, (name, tip) in WAYS.items():
            made = self.buttons[way] = button(name, tip)
            made.clicked.connect(lambda _checked=False, way=way: self.chosen.emit(way))
            column.addWidget(made)
        self.hide()

    def ask(self, words: str) -> None:
        """Show the message with the buttons.

        Parameters
        ----------
        words : str
            The message. Empty to hide all.
        """
        self.words.setText(words)
        self.setVisible(bool(words))


def carry_out(way: Way, source: ImageSource) -> None:
    """Relink or copy the corrections at the usual location of an image (in a thread: this writes files).

    Parameters
    ----------
    way : Way
        ``"relink"``, or another one to copy.
    source : ImageSource
        The image.

    Raises
    ------
    FctlError
        See ``relink`` and ``copy_for``.
    """
    image = source.open()
    usual = corrections_path(source.original, cache_folder)
    if way == "relink":
        relink(usual, image)
    else:
        copy_for(usual, named_path(usual, image), image)


def open_to_look(source: ImageSource) -> tuple[Path, Corrections, StoredLevels]:
    """Open the corrections at the usual location of an image for reading (in a thread: this reads files).

    They may be of another image.

    Parameters
    ----------
    source : ImageSource
        The image.

    Returns
    -------
    path : Path
        Location of the corrections.
    corrections : Corrections
        The corrections, open for reading.
    levels : StoredLevels
        Their levels.
    """
    path = corrections_path(source.original, cache_folder)
    corrections = Corrections.open(path)
    return path, corrections, StoredLevels(corrections.labels)


def show_only(viewer: napari.Viewer, image: Image, opened: tuple[Path, Corrections, StoredLevels]) -> Labels:
    """Show another image's corrections over an image, read-only.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image
        The image layer.
    opened : tuple of (Path, Corrections, StoredLevels)
        Result of :func:`open_to_look`.

    Returns
    -------
    Labels
        The new layer.

    Raises
    ------
    InputError
        They have another size, so that they cannot lie on the image.
    """
    path, corrections, levels = opened
    if corrections.shape != image_shape(image):
        raise InputError(f"{path}: has another size than {image.name}; open it beside the image it was painted on.")
    layer = add_corrections(viewer, image, levels, corrections.class_table)
    layer.name = f"{path.name} (of another image, read only)"
    return layer
