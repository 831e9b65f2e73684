"""Regions that the tab Correct lists: those corrected so far, those to correct next, and conflicts of an import."""

from __future__ import annotations

from collections.abc import Callable

import napari
from qtpy.QtCore import QObject

from fctl_napari.correcting.regions import CorrectedRegion
from fctl_napari.evaluation.acquisition import Suggestion
from fctl_napari.plugin.correct.corrected_image import CorrectedImage
from fctl_napari.plugin.correct.form import CorrectForm
from fctl_napari.plugin.correct.where_next import WhereNext
from fctl_napari.plugin.layers.navigation import RegionMarker, fly_to
from fctl_napari.windows import IntWindow
from fctl_napari.words import count_of

MARKER_NAME = "FCtL corrected region"


class ListedRegions(QObject):
    """Flights to the regions of the lists, and the list of corrected ones.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows the image.
    form : CorrectForm
        Form with the lists.
    corrected : CorrectedImage
        The image and its corrections.
    where_next : WhereNext
        Maker of the list of regions to correct next.
    edit_at : callable
        Function that moves the edit window around a point, (y, x) px of the image.
    parent : QObject
        Qt's parent.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        form: CorrectForm,
        corrected: CorrectedImage,
        where_next: WhereNext,
        edit_at: Callable[[tuple[float, float]], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._form, self._corrected = viewer, form, corrected
        self._next, self._edit_at = where_next, edit_at
        self._marker = RegionMarker(viewer, MARKER_NAME)
        form.regions.chosen.connect(lambda region: self._fly(region.window))
        form.next.stepped.connect(self._step)
        form.next.chosen.connect(self._go_to)
        form.exchange.chosen.connect(self._fly)

    def show_corrected(self, regions: list[CorrectedRegion]) -> None:
        """List what is corrected so far.

        Parameters
        ----------
        regions : list of CorrectedRegion
            The corrected regions.
        """
        if self._corrected.painting is None:
            return
        corrections = self._corrected.painting.corrections
        self._form.regions.show_regions(regions, corrections.class_table, corrections.georeference)
        pixels = sum(region.pixels for region in regions)
        share = pixels / (corrections.shape[0] * corrections.shape[1])
        covered = f"{pixels:,} px{self._corrected.on_ground(pixels)} ({share:.2%} of the image's px)"
        self._form.summary.setText(f"{count_of(len(regions), 'corrected region')}, {covered}" if regions else "")

    def clear(self, *, layers: bool) -> None:
        """List nothing as corrected.

        Parameters
        ----------
        layers : bool
            If True, remove the outline of the region that was flown to.
        """
        if layers:
            self._marker.hide()
        self._form.regions.show_regions([], None)
        self._form.summary.clear()

    def _fly(self, window: IntWindow) -> None:
        """Fly to a window of the image and outline it."""
        image = self._corrected.image
        if image is not None and image in self._viewer.layers:
            fly_to(self._viewer, image, window)
            self._marker.show(image, window)

    def _step(self, by: int) -> None:
        """Show the list of regions to correct next, and step through it."""
        self._form.tabs.setCurrentWidget(self._form.next)
        self._next.step(by)

    def _go_to(self, suggestion: Suggestion) -> None:
        """Fly to a region, and move the edit window there if it is open and does not reach there."""
        window, painting = suggestion.region.window, self._corrected.painting
        self._fly(window)
        if painting is not None and painting.edit_layer is not None and not painting.holds(window):
            self._edit_at(((window[0] + window[2]) / 2, (window[1] + window[3]) / 2))
