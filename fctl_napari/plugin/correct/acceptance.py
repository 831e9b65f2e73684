"""Acceptance of a prediction as correct, in a drawn shape or in the error that is selected."""

from __future__ import annotations

import napari
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from fctl_napari.correcting.acceptance import accept
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.selected_region import SelectedRegion
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.drawn_area import drawn_here
from fctl_napari.plugin.correct.form import CorrectForm
from fctl_napari.plugin.layers.mask_combo import MaskChoices
from fctl_napari.plugin.layers.roi import DRAWN, start_drawing
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow


class Acceptance(QObject):
    """Actions of the fields that accept a prediction.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer in which shapes are drawn.
    form : CorrectForm
        Form with the fields.
    masks : MaskChoices
        Choice of the segmentation that predicts.
    corrected : CorrectedImage
        The image and its corrections.
    tab : QWidget
        The tab, which is Qt's parent.
    """

    def __init__(
        self, viewer: napari.Viewer, form: CorrectForm, masks: MaskChoices, corrected: CorrectedImage, tab: QWidget
    ) -> None:
        super().__init__(tab)
        self._viewer, self._form, self._masks, self._corrected, self._tab = viewer, form, masks, corrected, tab
        form.draw.clicked.connect(self._draw)
        form.accept.clicked.connect(self._accept)

    def _draw(self) -> None:
        """Let the user draw a shape."""
        start_drawing(self._viewer, self._corrected.image)
        self._form.where.setCurrentText(DRAWN)

    def _accept(self) -> None:
        """Paint what the segmentation predicts in the drawn shape, or in the error that is selected."""
        with reported(self):
            painting = self._corrected.require_open()
            self._masks.require()
            store, painter = self._masks.store, session().painter
            where = (
                drawn_here(self._viewer, self._corrected.image)
                if self._form.where.currentText() == DRAWN
                else session().selected_error(self._tab.window())
            )

            def work(into: Corrections, progress: Progress) -> tuple[IntWindow | None, None]:
                segmentation = (
                    where.segmentation if isinstance(where, SelectedRegion) else Segmentation.open(str(store))
                )
                return accept(into, segmentation, where, painter, progress), None

            painting.act(work)
