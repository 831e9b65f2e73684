"""Import into the open corrections, and their export, as the page for both asks for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import napari
from napari.layers import Labels
from qtpy.QtCore import QObject

from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.import_export import POLICIES, ExchangePage, start_export, take_over
from fctl_napari.plugin.layers.ground_truth import labels_over


class Exchange(QObject):
    """Actions of the page for import and export.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose labels layers may be imported.
    page : ExchangePage
        The page.
    corrected : CorrectedImage
        The image and its corrections.
    parent : QObject
        Qt's parent.
    """

    def __init__(self, viewer: napari.Viewer, page: ExchangePage, corrected: CorrectedImage, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._page, self._corrected = viewer, page, corrected
        page.follow(viewer)
        page.wanted.connect(self._take_over)
        page.export_wanted.connect(self._export)

    def _take_over(self, source: Labels | Path, others: bool) -> None:
        """Import a labels layer, a file, or others' corrections, and list the conflicts."""
        with reported(self):
            policy = POLICIES[self._page.policy.currentText()]
            painting = self._corrected.require_open()
            placed = None
            if isinstance(source, Labels) and self._corrected.image is not None:
                placed = labels_over(self._viewer, source, self._corrected.image)
            work = partial(take_over, source, placed, others, policy, session().painter)
            self._page.clear()  # the report of the import before
            painting.act(work, self._page.show_report)

    def _export(self, out: Path) -> None:
        """Export the corrections into a file whose suffix chooses the format."""
        with reported(self):
            painting = self._corrected.require_open()
            painting.settle(lambda: start_export(painting.corrections.path, out))
