"""Placement of the compared layers on each other, which is followed as they are moved."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.plugin.common.base_widget import resting
from fctl_napari.plugin.errors.choices import ErrorChoices
from fctl_napari.plugin.layers.ground_truth import labels_over
from fctl_napari.plugin.layers.resampled_labels import lies_over
from fctl_napari.plugin.layers.transforms import moves


class ComparedPlacement(QObject):
    """Placement of the ground truth and of the second segmentation on the segmentation.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the layers.
    choices : ErrorChoices
        The layers that are chosen.
    parent : QObject
        Qt parent.

    Attributes
    ----------
    changed : Signal()
        Layers have come to rest, and lie elsewhere on each other than when they were opened.
    """

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, choices: ErrorChoices, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._choices = viewer, choices
        self._emitters: list[Any] = []  # of the layers that are compared
        self._key: tuple[Any, ...] | None = ()  # placement of the ground truth; None: not px for px
        self._settled = resting(self, self._look)

    @property
    def moving(self) -> bool:
        """True until layers that were moved have come to rest."""
        return self._settled.isActive()

    def follow(self) -> None:
        """Follow the layers that are chosen now, or none if no segmentation is chosen."""
        mask, ground_truth, second = self._choices.mask, self._choices.ground_truth, self._choices.second
        compared = (mask, None if ground_truth is None else ground_truth.layer, second)
        self._watch([] if mask is None else [layer for layer in compared if layer is not None])

    def ground_truth(self) -> Any:
        """Return the labels of a ground truth that a layer shows in the px of the segmentation.

        Returns
        -------
        object
            The labels, by ``labels_over``. None if no layer is the ground truth.

        Raises
        ------
        InputError
            They, or the second segmentation, cannot be compared px for px with the segmentation.
        """
        mask, ground_truth, second = self._choices.mask, self._choices.ground_truth, self._choices.second
        self._key = None
        if mask is not None and second is not None and not lies_over(self._viewer, second, mask):
            raise InputError(
                f"{second.name}: lies elsewhere than {mask.name}, or has other px; put one over the other."
            )
        if mask is None or ground_truth is None or ground_truth.layer is None:
            placed = None
        else:
            placed = labels_over(self._viewer, ground_truth.layer, mask)
        self._key = placed.key if isinstance(placed, PlacedLabels) else ()
        return placed

    def leave(self) -> None:
        """Stop following all layers."""
        self._settled.stop()
        self._watch([])

    def _watch(self, layers: list[Labels]) -> None:
        """Look anew when one of these layers is placed anew."""
        for emitter in self._emitters:
            emitter.disconnect(self._moved)
        self._emitters = [emitter for layer in layers for emitter in moves(layer)]
        for emitter in self._emitters:
            emitter.connect(self._moved)

    def _moved(self, _event: Any = None) -> None:
        """Look at the placement of layers when they have come to rest."""
        self._settled.start()

    def _look(self) -> None:
        """Report layers that have another placement now, relative to each other."""
        before = self._key
        with suppress(InputError):  # it is reported when it is opened
            self.ground_truth()
        if self._key is None or self._key != before:
            self.changed.emit()
