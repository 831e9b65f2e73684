"""Choices of the tab Errors: the viewer's segmentations, and ground truth from layers, images and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog

from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.layers.choosers import ImageCombo
from fctl_napari.plugin.layers.ground_truth import GROUND_TRUTH_FILES, GroundTruthChoice, layer_choices, shows
from fctl_napari.plugin.layers.image_identity import identities
from fctl_napari.plugin.layers.mask_combo import is_mask, preferred_mask
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.plugin.layers.styles import only_show


class ErrorChoices(QObject):
    """Synchronizer of the fields for segmentation, ground truth and second segmentation with the viewer's layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose layers are offered.
    form : ErrorForm
        Form with the fields.
    image : ImageCombo
        Field of the image, whose segmentation is chosen when it changes.

    Attributes
    ----------
    changed : Signal()
        Another segmentation or ground truth is chosen.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, form: ErrorForm, image: ImageCombo) -> None:
        super().__init__(form)
        self._viewer = viewer
        self._form = form
        self._image = image
        self._files: list[GroundTruthChoice] = []
        self._own: dict[str, list[GroundTruthChoice]] = {}  # labels of the image, by segmentation
        self._chosen: tuple[object, ...] = ()
        self._proposed: dict[str, object] = {}  # what was proposed for a segmentation, not chosen by the user
        image.currentIndexChanged.connect(self._follow_image)
        identities().known.connect(self._follow_image)
        form.mask.currentIndexChanged.connect(self._mask_changed)
        form.ground_truth.currentIndexChanged.connect(self._look)
        form.second.currentIndexChanged.connect(self._look)
        form.open_ground_truth.clicked.connect(self._ask_file)
        form.open_folder.clicked.connect(self._ask_folder)
        for emitter in self._emitters():
            emitter.connect(self.fill)

    @property
    def mask(self) -> Labels | None:
        """Layer of the chosen segmentation, or None."""
        return self._form.mask.currentData()

    @property
    def ground_truth(self) -> GroundTruthChoice | None:
        """Chosen ground truth, or None."""
        return self._form.ground_truth.currentData()

    @property
    def second(self) -> Labels | None:
        """Layer of the segmentation to compare with, or None."""
        return self._form.second.currentData()

    @property
    def ground_truth_key(self) -> tuple[object, ...]:
        """Key that differs where another segmentation or another ground truth is chosen."""
        return self.mask, _key(self.ground_truth)

    def fill(self, _event: Any = None) -> None:
        """List the layers and files again.

        What was chosen stays so, if it is still there.

        Parameters
        ----------
        _event : object, optional
            Event of the layer list; ignored.
        """
        form = self._form
        layers = self._viewer.layers
        masks = [layer for layer in layers if isinstance(layer, Labels) and STORE_KEY in layer.metadata]
        for mask in masks:
            only_show(mask)
        before = self.mask
        _offer(form.mask, [(mask.name, mask) for mask in masks], id)
        if self.mask is not before and self._image.layer is not None:
            form.mask.blockSignals(True)
            form.mask.setCurrentIndex(self._preferred())
            form.mask.blockSignals(False)
        others = [(mask.name, mask) for mask in masks if mask is not self.mask]
        _offer(form.second, [("nothing", None), *others], id)
        shown = layer_choices(self._viewer)
        own = [choice for choice in self._own_labels() if not any(shows(layer, choice.path or "") for layer in shown)]
        choices = [*shown, *own, *self._files]
        _offer(form.ground_truth, [("none", None), *((choice.name, choice) for choice in choices)], _key)
        self._look()

    def _follow_image(self, _changed: Any = None) -> None:
        """Choose a segmentation of the image, or none where it has none, unless one of it is chosen."""
        image = self._image.layer
        if image is not None and (self.mask is None or not is_mask(self._viewer, self.mask, image)):
            self._form.mask.setCurrentIndex(self._preferred())

    def _preferred(self) -> int:
        """Return the index of the segmentation that is taken first, or -1 where the image has none."""
        image, field = self._image.layer, self._form.mask
        mask = None if image is None else preferred_mask(self._viewer, image)
        if mask is not None:
            return int(field.findData(mask))
        known = image is not None and identities().names(image) is not None
        return -1 if known else int(field.currentIndex())  # until it is known whose they are, one stays

    def offer_own(self, path: str, choices: list[GroundTruthChoice]) -> None:
        """Offer the labels of the image that a segmentation is of.

        One is proposed if no ground truth is chosen.

        Parameters
        ----------
        path : str
            Path of the segmentation's store.
        choices : list of GroundTruthChoice
            Labels of the image.
        """
        self._own[path] = choices
        self.fill()
        field = self._form.ground_truth
        if path in self._proposed or field.currentData() is not None:
            return
        paths = [choice.path for choice in choices if choice.path is not None]
        for location in sorted(paths, key=lambda location: Path(location).name != "truth"):
            for index in range(1, field.count()):
                if shows(field.itemData(index), location):
                    self._proposed[path] = _key(field.itemData(index))
                    field.setCurrentIndex(index)
                    return

    def _mask_changed(self) -> None:
        """Drop a ground truth that was proposed for another segmentation, and list again."""
        field = self._form.ground_truth
        if _key(field.currentData()) in self._proposed.values():  # it may belong to the image of another segmentation
            self._proposed.clear()
            field.blockSignals(True)
            field.setCurrentIndex(0)
            field.blockSignals(False)
        self.fill()

    def known_own(self, path: str) -> list[GroundTruthChoice] | None:
        """Return the labels that :meth:`offer_own` was given for a segmentation.

        Parameters
        ----------
        path : str
            Path of the segmentation's store.

        Returns
        -------
        list of GroundTruthChoice or None
            Labels of the image; None if they were not given yet.
        """
        return self._own.get(path)

    def add_ground_truth(self, path: str | Path) -> None:
        """Offer a file or label group of ground truth, and choose it.

        Parameters
        ----------
        path : str or Path
            Path of the file or group.
        """
        choice = GroundTruthChoice(Path(path).name, str(path))
        if choice.path not in [other.path for other in self._files]:
            self._files.append(choice)
        self.fill()
        field = self._form.ground_truth
        keys = [_key(field.itemData(index)) for index in range(field.count())]
        field.setCurrentIndex(keys.index(choice.key))

    def leave(self) -> None:
        """Stop following the viewer."""
        identities().known.disconnect(self._follow_image)
        for emitter in self._emitters():
            emitter.disconnect(self.fill)

    def _emitters(self) -> list[Any]:
        """Return the emitters of changes of the layer list."""
        events = self._viewer.layers.events
        return [events.inserted, events.removed, events.renamed]

    def _own_labels(self) -> list[GroundTruthChoice]:
        """Return the labels of the chosen segmentation's image."""
        return [] if self.mask is None else self._own.get(self.mask.metadata[STORE_KEY], [])

    def _look(self) -> None:
        """Report the choice if it has changed."""
        chosen = (*self.ground_truth_key, self.second)
        if chosen != self._chosen:
            self._chosen = chosen
            self.changed.emit()

    def _ask_file(self) -> None:
        """Ask for a file of ground truth and offer it."""
        path, _ = QFileDialog.getOpenFileName(self._form, "Open a ground truth", "", GROUND_TRUTH_FILES)
        if path:
            self.add_ground_truth(path)

    def _ask_folder(self) -> None:
        """Ask for a label group and offer it."""
        path = QFileDialog.getExistingDirectory(self._form, "Open a label group of an OME-Zarr")
        if path:
            self.add_ground_truth(path)


def _key(choice: GroundTruthChoice | None) -> object:
    """Return the key of a choice, or None."""
    return None if choice is None else choice.key


def _offer(field: Any, entries: list[tuple[str, Any]], key: Callable[[Any], object]) -> None:
    """Fill a field, keeping what is chosen.

    No signal is emitted.
    """
    chosen = key(field.currentData()) if field.count() else None
    keys = [key(value) for _, value in entries]
    field.blockSignals(True)
    field.clear()
    for name, value in entries:
        field.addItem(name, value)
    if chosen in keys:
        field.setCurrentIndex(keys.index(chosen))
    field.blockSignals(False)
