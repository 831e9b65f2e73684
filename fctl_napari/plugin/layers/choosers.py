"""Choosing an image layer and a checkpoint: the fields that several widgets begin with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from fctl_napari.errors import InputError
from fctl_napari.model.model_card import Card, builtin_checkpoints, read_card, resolve_checkpoint
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY

CHECKPOINT_TIP = "The trained network: a built-in one, or a file of yours (the button beside it)."
OPEN_TIP = "Choose a checkpoint file (.safetensors)."


def combo(tooltip: str) -> QComboBox:
    """Return a combo box that a long name does not widen."""
    box = QComboBox()
    _keep_narrow(box, tooltip)
    return box


def _keep_narrow(box: QComboBox, tooltip: str) -> None:
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def tool(text: str, tooltip: str) -> QPushButton:
    """Return a button just wide enough for its text."""
    button = QPushButton(text)
    button.setFixedWidth(button.fontMetrics().horizontalAdvance(text) + 24)
    button.setToolTip(tooltip)
    return button


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return a layout of widgets side by side, without margins."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


class ImageCombo(QComboBox):
    """The image layers of a viewer, maps of ours left out.

    ``currentIndexChanged`` tells that another image is chosen; between ``follow`` and ``leave`` the list follows the
    viewer's.
    """

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        _keep_narrow(self, tooltip)
        self._viewer: napari.Viewer | None = None

    def follow(self, viewer: napari.Viewer, changed: Callable[[], None]) -> None:
        """Offer the image layers of ``viewer`` from now on; ``changed`` is called when another one is chosen."""
        self._viewer = viewer
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.connect(self._fill)
        self._fill()
        self.currentIndexChanged.connect(changed)

    def leave(self) -> None:
        """Listen to the viewer no more."""
        if self._viewer is None:
            return
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._fill)
        self._viewer = None

    @property
    def layer(self) -> Image | None:
        """The chosen image layer, if it is still there."""
        layer = self.currentData()
        return layer if layer is not None and self._viewer is not None and layer in self._viewer.layers else None

    def require_layer(self, doing: str) -> Image:
        """Return the chosen layer.

        Parameters
        ----------
        doing
            What it is wanted for, a verb: ``"segment"``.

        Raises
        ------
        InputError
            There is none, or it is no plane.
        """
        image = self.layer
        if image is None:
            raise InputError(f"there is no image to {doing}; open one first.")
        if image.ndim != 2:
            raise InputError(f"{image.name}: has {image.ndim} dimensions; {doing} a layer with two (and colors).")
        return image

    def _fill(self, _event: Any = None) -> None:
        assert self._viewer is not None
        chosen = self.currentData()
        images = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image) and not {STORE_KEY, OVERLAY_KEY} & layer.metadata.keys()
        ]
        self.blockSignals(True)
        self.clear()
        for layer in images:
            self.addItem(layer.name, layer)
        if chosen in images:
            self.setCurrentIndex(images.index(chosen))
        self.blockSignals(False)
        if self.currentData() is not chosen:
            self.currentIndexChanged.emit(self.currentIndex())


class CheckpointCombo(QComboBox):
    """The built-in checkpoints, and files that were opened.

    Attributes
    ----------
    open_file
        A button that asks for a file.
    """

    def __init__(self) -> None:
        super().__init__()
        _keep_narrow(self, CHECKPOINT_TIP)
        for name in builtin_checkpoints():
            self.addItem(name, name)
        for path in session().checkpoints:
            if Path(path).is_file():
                self.add(path)
        self.open_file = tool("…", OPEN_TIP)
        self.open_file.clicked.connect(self._ask)

    @property
    def name(self) -> str | None:
        """The chosen one: a built-in name or a file."""
        data = self.currentData()
        return None if data is None else str(data)

    def require_name(self) -> str:
        """Return the chosen one.

        Raises
        ------
        InputError
            There is none.
        """
        if self.name is None:
            raise InputError("there is no checkpoint; open one with the button beside the field.")
        return self.name

    def card(self) -> Card | None:
        """Read the card of the chosen one; what is wrong with it is reported, and None returned."""
        with reported():
            if self.name is not None:
                return read_card(resolve_checkpoint(self.name))
        return None

    def add(self, path: str | Path) -> None:
        """Offer a checkpoint file, and choose it."""
        index = self.findData(str(path))
        if index < 0:
            self.addItem(Path(path).name, str(path))
            index = self.count() - 1
            self.setItemData(index, str(path), Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(index)

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a checkpoint", "", "Checkpoints (*.safetensors)")
        if path:
            self.add(path)


def devices() -> list[str]:
    """Return the devices to offer; the worker knows which exist, this process never loads torch."""
    return ["auto", "cpu", "cuda"] if shutil.which("nvidia-smi") else ["auto", "cpu"]
