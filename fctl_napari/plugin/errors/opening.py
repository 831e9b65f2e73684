"""Opening of the comparison that is chosen in the tab Errors, once the layers have come to rest."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.QtCore import QObject, Signal

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import resting
from fctl_napari.plugin.errors.choices import ErrorChoices
from fctl_napari.plugin.errors.comparison import Comparison, Wanted, open_comparison
from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.errors.placement import ComparedPlacement
from fctl_napari.plugin.layers.ground_truth import GroundTruthChoice, labels_of_image
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, levels_of
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


class Opening(QObject):
    """The comparison that is chosen, opened in a thread.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer of the layers.
    form : ErrorForm
        Form that says what is being opened, and what the overlay shows.
    choices : ErrorChoices
        The layers and files that are chosen.
    parent : QObject
        Qt parent.

    Attributes
    ----------
    begun : Signal()
        The former comparison is gone, and what is chosen now is being opened, if anything is.
    opened : Signal(object)
        A comparison is open; carries the ``Comparison``.
    failed : Signal(object)
        The comparison cannot be opened; carries the exception.
    """

    begun = Signal()
    opened = Signal(object)
    failed = Signal(object)

    def __init__(self, viewer: napari.Viewer, form: ErrorForm, choices: ErrorChoices, parent: QObject) -> None:
        super().__init__(parent)
        self._form, self._choices = form, choices
        self._jobs = Jobs(self)
        self._comparison: Comparison | None = None
        self._mapping: ClassMapping | None = None  # the user's own
        self._chosen_key: tuple[object, ...] = ()  # the segmentation and ground truth that the mapping is for
        self._opened_key: tuple[object, ...] = ()
        self._placement = ComparedPlacement(viewer, choices, self)
        self._rest = resting(self, self._open)
        choices.changed.connect(self._chosen)
        self._placement.changed.connect(self._open_placed)

    @property
    def comparison(self) -> Comparison | None:
        """Opened comparison, or None while there is none or it is being opened."""
        return self._comparison

    @property
    def running(self) -> bool:
        """True while something is being opened, or layers have not come to rest."""
        return self._jobs.running or self._rest.isActive() or self._placement.moving

    def require(self) -> Comparison:
        """Return the opened comparison.

        Returns
        -------
        Comparison
            The comparison.

        Raises
        ------
        InputError
            None is open.
        """
        if self._comparison is None:
            raise InputError("there is nothing to examine yet; choose a segmentation and its ground truth.")
        return self._comparison

    def reopen(self) -> None:
        """Open the comparison again when the layers have come to rest."""
        self._rest.start()

    def set_mapping(self, mapping: ClassMapping) -> None:
        """Read the ground truth's values by a mapping, until another ground truth or segmentation is chosen.

        Parameters
        ----------
        mapping : ClassMapping
            The mapping.
        """
        self._mapping = mapping
        self.reopen()

    def leave(self) -> None:
        """Open nothing any more, and stop following the layers."""
        self._rest.stop()
        self._placement.leave()
        self._jobs.drop()

    def _chosen(self) -> None:
        """Open what is chosen when the layers have come to rest."""
        if self._choices.ground_truth_key != self._chosen_key:
            self._chosen_key, self._mapping = self._choices.ground_truth_key, None
        self._rest.start()

    def _open_placed(self) -> None:
        """Open the ground truth anew, as the opened one has the former placement."""
        self._opened_key = ()
        self._open()

    def _open(self) -> None:
        """Open the chosen comparison in a thread."""
        showing = self._form.showing
        mask, ground_truth, second = self._choices.mask, self._choices.ground_truth, self._choices.second
        opened_key, self._opened_key = self._opened_key, self._choices.ground_truth_key
        before = self._comparison if opened_key == self._opened_key else None  # comparison with the same ground truth
        self._comparison = None
        self._placement.follow()
        if mask is None:
            self._jobs.drop()
            self.begun.emit()
            return
        self.begun.emit()
        try:
            placed = self._placement.ground_truth()
        except InputError as error:
            self._jobs.drop()
            self.failed.emit(error)
            return
        wanted = Wanted(
            path=mask.metadata[STORE_KEY],
            levels=levels_of(mask),
            ground_truth=ground_truth,
            mapping=self._mapping,
            placed=placed,
            second_path=None if second is None else second.metadata[STORE_KEY],
            second_levels=None if second is None else levels_of(second),
        )
        known = self._choices.known_own(wanted.path)

        def work(progress: Progress) -> tuple[Any, list[GroundTruthChoice]]:
            own = labels_of_image(Segmentation.open(wanted.path)) if known is None else known
            return open_comparison(wanted, showing, before, progress), own

        def opened(result: tuple[Comparison, list[GroundTruthChoice]]) -> None:
            self._comparison, own = result
            self.opened.emit(self._comparison)
            self._choices.offer_own(wanted.path, own)

        self._form.explain("Opening…")
        self._jobs.begin(work, opened, self.failed.emit, label=f"truth of {mask.name}")
