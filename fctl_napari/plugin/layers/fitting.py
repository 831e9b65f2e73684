"""Checkpoints beside an image, and the choice of the one that fits it, made in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import checkpoints_beside
from fctl_napari.evaluation.domain import fitting_checkpoint
from fctl_napari.exceptions import FctlError
from fctl_napari.model.model_card import Card, builtin_checkpoints, read_card, resolve_checkpoint
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.stored_results import known_checkpoint, newest, results_of
from fctl_napari.progress import Progress

if TYPE_CHECKING:
    from fctl_napari.plugin.layers.choosers import CheckpointCombo, ImageCombo

NONE_FITS = "No checkpoint here was trained on images like this one: choose one yourself."


@dataclass(frozen=True)
class Found:
    """Checkpoints that were found for an image.

    Attributes
    ----------
    beside : list of str
        Checkpoint files beside it.
    chosen : str or None
        The one that made its newest result, or that fits it. None if none does, or if the user has chosen.
    """

    beside: list[str]
    chosen: str | None


class Fitting(QObject):
    """Finder of the checkpoints beside an image, and chooser of one that fits, as long as the user has chosen none.

    It is the one that made the newest result of the image, or none where that one is not at hand. Without a result it
    is the one that fits the image, or none.

    Parameters
    ----------
    image : ImageCombo
        Field of the image.
    checkpoint : CheckpointCombo
        Field of the checkpoint, in which it is chosen, or none.
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    chosen : Signal()
        A checkpoint was chosen for an image, or none fits.
    """

    chosen = Signal()

    def __init__(self, image: ImageCombo, checkpoint: CheckpointCombo, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._image, self._checkpoint = image, checkpoint
        self._jobs = Jobs(self)
        self._by_user = False
        self._choosing = False
        checkpoint.currentIndexChanged.connect(self._changed)
        image.currentIndexChanged.connect(lambda _index: self.look())

    @property
    def none_fits(self) -> bool:
        """True if no checkpoint was found to fit the image, and the user has chosen none."""
        return not self._by_user and self._checkpoint.currentIndex() < 0

    @property
    def running(self) -> bool:
        """True while the image is compared with what the checkpoints know."""
        return self._jobs.running

    def look(self) -> None:
        """Look for the checkpoints beside the image, and for the one that fits it."""
        image = self._image.layer
        source = None if image is None else image_source(image)
        if image is None or source is None:
            self._jobs.drop()
            return
        if source.job is not None:  # the pyramid that it is made of tells its colors
            source.job.finished.connect(lambda _path: self.look())
            return
        names = [str(self._checkpoint.itemData(index)) for index in range(self._checkpoint.count())]
        by_user = self._by_user

        def work(_progress: Progress) -> Found:
            beside = _cards(map(str, checkpoints_beside(source.original)))
            cards = beside | _cards(names)
            result = None if by_user else newest(results_of(source.original, source.open()))
            if by_user:
                chosen = None
            elif result is not None:
                chosen = known_checkpoint(result, source.original, cards)
            else:
                chosen = fitting_checkpoint(source.open(), cards)
            return Found(list(beside), chosen)

        # Errors of the image are reported where it is read.
        self._jobs.begin(work, lambda found: self._show(image, found), lambda _error: None)

    def leave(self) -> None:
        """Stop looking."""
        self._jobs.drop()
        self._by_user = True

    def _show(self, image: Image, found: Found) -> None:
        """Offer what was found, and choose what fits, unless the user has chosen one or another image since."""
        if self._image.layer is not image:
            return
        self._choosing = True
        self._checkpoint.offer(found.beside)
        if not self._by_user:
            if found.chosen is not None and found.chosen not in builtin_checkpoints():
                self._checkpoint.offer([found.chosen])
            self._checkpoint.setCurrentIndex(-1 if found.chosen is None else self._checkpoint.findData(found.chosen))
        self._choosing = False
        self.chosen.emit()

    def _changed(self, _index: int) -> None:
        if not self._choosing:
            self._by_user = True


def _cards(names: Iterable[str]) -> dict[str, Card]:
    """Read the model cards of checkpoints, leaving out those that cannot be read or have no classes yet."""
    cards = {}
    for name in names:
        try:
            card = read_card(resolve_checkpoint(name))
        except FctlError:
            continue  # it is reported where it is chosen
        if not card.pretrained:
            cards[name] = card
    return cards
