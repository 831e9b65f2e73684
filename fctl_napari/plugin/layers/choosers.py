"""Choosers of an image layer and a checkpoint: the fields that several widgets begin with."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QCompleter,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from fctl_napari.exceptions import InputError
from fctl_napari.model.model_card import Card, builtin_checkpoints, read_card, resolve_checkpoint
from fctl_napari.plugin.common.last_choices import note_checkpoint, recent_checkpoints
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY

CHECKPOINT_TIP = "The trained network: a built-in one, or a file of yours (the button beside it). Type to search."
OPEN_TIP = "Choose a checkpoint file (.safetensors)."


def combo(tooltip: str) -> QComboBox:
    """Return a combo box that a long name does not widen.

    Parameters
    ----------
    tooltip : str
        Tooltip of the box.

    Returns
    -------
    QComboBox
        The box, empty.
    """
    box = QComboBox()
    keep_narrow(box, tooltip)
    return box


def keep_narrow(box: QComboBox, tooltip: str) -> None:
    """Give a box its tooltip, and keep long names from widening it.

    Parameters
    ----------
    box : QComboBox
        The box.
    tooltip : str
        Its tooltip.
    """
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(4)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def tool(text: str, tooltip: str) -> QPushButton:
    """Return a button just wide enough for its text.

    Parameters
    ----------
    text : str
        Text of the button.
    tooltip : str
        Tooltip of the button.

    Returns
    -------
    QPushButton
        The button.
    """
    button = QPushButton(text)
    button.setFixedWidth(button.fontMetrics().horizontalAdvance(text) + 24)
    button.setToolTip(tooltip)
    return button


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return a layout of widgets side by side, without margins.

    Parameters
    ----------
    *widgets : QWidget
        Widgets, from left to right.

    Returns
    -------
    QHBoxLayout
        The layout.
    """
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


class ImageCombo(QComboBox):
    """Combo box of the image layers of a viewer, without maps of ours.

    ``currentIndexChanged`` is emitted when another image is chosen. Between ``follow`` and ``leave`` the list follows
    the viewer's.

    Parameters
    ----------
    tooltip : str
        Tooltip of the box.
    """

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        keep_narrow(self, tooltip)
        self._viewer: napari.Viewer | None = None

    def follow(self, viewer: napari.Viewer) -> None:
        """Offer the image layers of a viewer from now on.

        Parameters
        ----------
        viewer : napari.Viewer
            The viewer.
        """
        self._viewer = viewer
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.connect(self._fill)
        self._fill()

    def leave(self) -> None:
        """Stop following the viewer."""
        if self._viewer is None:
            return
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._fill)
        self._viewer = None

    @property
    def layer(self) -> Image | None:
        """Chosen image layer, or None if it is not there any more."""
        layer = self.currentData()
        return layer if layer is not None and self._viewer is not None and layer in self._viewer.layers else None

    def require_layer(self, doing: str) -> Image:
        """Return the chosen layer.

        Parameters
        ----------
        doing : str
            Verb for the purpose, for the error: ``"segment"``.

        Returns
        -------
        Image
            A layer with two dimensions (and colors).

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
        """List the image layers again, and keep the chosen one."""
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
    """Combo box of the built-in checkpoints, and of files that were opened or used last, or lie beside the image.

    What is typed into it is looked for anywhere in their names. Only what is chosen counts.

    Attributes
    ----------
    open_file : QPushButton
        Button that asks for a file.
    """

    def __init__(self) -> None:
        super().__init__()
        keep_narrow(self, CHECKPOINT_TIP)
        self._make_searchable()
        for name in builtin_checkpoints():
            self.addItem(name, name)
        self.offer(recent_checkpoints())
        for path in session().checkpoints:
            if Path(path).is_file():
                self.add(path)
        self.activated.connect(lambda _index: self._note())
        self.open_file = tool("…", OPEN_TIP)
        self.open_file.clicked.connect(self._ask)

    @property
    def name(self) -> str | None:
        """Chosen checkpoint (a built-in name or a file), or None if there is none."""
        data = self.currentData()
        return None if data is None else str(data)

    def setCurrentText(self, text: str | None) -> None:
        """Choose a checkpoint by its shown name. A name that is not offered leaves the choice as it is.

        Of a box that is searched, Qt would only change what is typed.

        Parameters
        ----------
        text : str or None
            The name.
        """
        index = self.findText(text or "")
        if index >= 0:
            self.setCurrentIndex(index)

    def require_name(self) -> str:
        """Return the chosen checkpoint.

        Returns
        -------
        str
            A built-in name or a file.

        Raises
        ------
        InputError
            There is none.
        """
        if self.name is None:
            raise InputError("no checkpoint is chosen; choose one, or open a file with the button beside the field.")
        return self.name

    def card(self) -> Card | None:
        """Read the model card of the chosen checkpoint.

        Errors are reported to the user.

        Returns
        -------
        Card or None
            The card, or None if nothing is chosen or it cannot be read.
        """
        with reported():
            if self.name is not None:
                return read_card(resolve_checkpoint(self.name))
        return None

    def add(self, path: str | Path) -> None:
        """Offer a checkpoint file, and choose it.

        Parameters
        ----------
        path : str or Path
            Path of the file.
        """
        self.offer([path])
        self.setCurrentIndex(self.findData(str(path)))
        self._note()

    def offer(self, paths: Iterable[str | Path]) -> None:
        """Offer checkpoint files, and leave the choice as it is.

        Parameters
        ----------
        paths : iterable of str or Path
            Paths of the files.
        """
        chosen = self.currentIndex()
        for path in map(str, paths):
            if self.findData(path) < 0:
                self.addItem(Path(path).stem, path)
                self.setItemData(self.count() - 1, path, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(chosen)  # Qt chooses the first item of an empty box

    def drop(self, path: str) -> None:
        """Offer a checkpoint no more, as its file is gone. Nothing is chosen if it was.

        Parameters
        ----------
        path : str
            Path of the file.
        """
        index = self.findData(path)
        if index >= 0:
            if index == self.currentIndex():
                self.setCurrentIndex(-1)
            self.removeItem(index)

    def _make_searchable(self) -> None:
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        line, completer = self.lineEdit(), self.completer()
        assert line is not None
        assert completer is not None
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        line.setPlaceholderText("type to search")
        line.editingFinished.connect(lambda: self.setEditText(self.itemText(self.currentIndex())))

    def _note(self) -> None:
        """Keep the chosen file among those that were used last."""
        if self.name is not None and self.name not in builtin_checkpoints():
            note_checkpoint(self.name)

    def _ask(self) -> None:
        """Ask for a file and offer it."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a checkpoint", "", "Checkpoints (*.safetensors)")
        if path:
            self.add(path)


def devices() -> list[str]:
    """Return the devices to offer. The worker knows which exist, since this process never loads torch."""
    return ["auto", "cpu", "cuda"] if shutil.which("nvidia-smi") else ["auto", "cpu"]
