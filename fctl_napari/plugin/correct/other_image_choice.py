"""The choice that is made where the corrections at an image's usual location are of another image, carried out."""

from __future__ import annotations

from typing import Any

import napari
from qtpy.QtCore import QObject

from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.open import Opening
from fctl_napari.plugin.correct.other_image import OtherImagePage, Way, carry_out, open_to_look, show_only
from fctl_napari.plugin.layers.image_source import image_source


class OtherImageChoice(QObject):
    """Actions of the message that corrections are of another image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows the image.
    page : OtherImagePage
        The message.
    corrected : CorrectedImage
        The image.
    opening : Opening
        Opener of corrections.
    parent : QObject
        Qt's parent.
    """

    def __init__(
        self, viewer: napari.Viewer, page: OtherImagePage, corrected: CorrectedImage, opening: Opening, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._corrected, self._opening = viewer, corrected, opening
        self._jobs = Jobs(self)
        page.chosen.connect(self._choose)

    @property
    def running(self) -> bool:
        """True while files are linked, copied or opened."""
        return self._jobs.running

    def _choose(self, way: Way) -> None:
        """Carry out a choice."""
        image = self._corrected.image
        source = None if image is None else image_source(image)
        if image is None or source is None or self.running:
            return
        if way == "new":
            self._opening.make(image, apart=True)
        elif way == "look":

            def show(opened: Any) -> None:
                with reported(self):
                    if image in self._viewer.layers:
                        show_only(self._viewer, image, opened)

            self._jobs.begin(lambda _progress: open_to_look(source), show, self._failed)
        else:
            self._jobs.begin(
                lambda _progress: carry_out(way, source), lambda _none: self._opening.look(source), self._failed
            )

    def _failed(self, error: BaseException) -> None:
        report(error, self)
