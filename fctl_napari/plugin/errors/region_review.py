"""Review of errors, uncertain regions or differences: found in a thread, flown to one after the other, and marked."""

from __future__ import annotations

import napari
from qtpy.QtCore import QObject, Signal

from fctl_napari.evaluation.error_regions import Region, Regions
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.evaluation.review_marks import Mark, Marks
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.errors.choices import ErrorChoices
from fctl_napari.plugin.errors.comparison import find_regions
from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.errors.opening import Opening
from fctl_napari.plugin.errors.shown_work import ShownWork
from fctl_napari.plugin.layers.navigation import RegionMarker, fly_to
from fctl_napari.plugin.layers.roi import chosen_region
from fctl_napari.progress import Progress
from fctl_napari.windows import Window
from fctl_napari.words import count_of

MARKER_NAME = "FCtL error"


class RegionReview(QObject):
    """Actions of the page of regions.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows the segmentation.
    form : ErrorForm
        Form with the page and the field of the region that is searched.
    choices : ErrorChoices
        The segmentation that is chosen.
    opening : Opening
        The comparison.
    work : ShownWork
        Work in threads.
    parent : QObject
        Qt parent.

    Attributes
    ----------
    searched : Signal()
        A search is done, and what it found is listed.
    """

    searched = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        form: ErrorForm,
        choices: ErrorChoices,
        opening: Opening,
        work: ShownWork,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._form, self._choices = viewer, form, choices
        self._opening, self._work = opening, work
        self._marker = RegionMarker(viewer, MARKER_NAME)
        self._marks: Marks | None = None
        self._listed = False
        form.only.clicked.connect(lambda: form.regions.show_pair(None))
        form.regions.find.clicked.connect(self._find)
        form.regions.chosen.connect(self._fly)
        form.regions.marked.connect(self._mark)

    @property
    def listed(self) -> bool:
        """True if regions are listed."""
        return self._listed

    def clear(self) -> None:
        """Remove all regions from the list."""
        self._marks = None
        self._listed = False
        self._form.regions.clear()
        self._marker.hide()

    def hide_outline(self) -> None:
        """Remove the outline of the chosen region."""
        self._marker.hide()

    def _find(self) -> None:
        """Find regions in a thread and list them."""
        page = self._form.regions
        with reported(self):
            comparison = self._opening.require()
            region = chosen_region(self._viewer, self._choices.mask, self._form.where.currentText())
            kind, smallest = page.kind, page.smallest.value()
            uncertainty = page.uncertainty

            def work(progress: Progress) -> tuple[Regions, Marks, dict[Region, Mark | None]]:
                marks = Marks.of_segmentation(comparison.segmentation, comparison.marks_path(kind))
                found = find_regions(comparison, kind, region, smallest, uncertainty, progress)
                return found, marks, {each: marks.of(each) for each in found}

            def done(result: tuple[Regions, Marks, dict[Region, Mark | None]]) -> None:
                found, self._marks, known = result
                within = region or Window.of_image(comparison.segmentation.shape)
                covered = area_words(found.pixels, comparison.georeference, within)
                summary = f"{count_of(found.found, 'region')}, {found.pixels:,} px{covered}"
                if len(found) < found.found:
                    summary += f" (the largest {len(found):,} are listed)"
                if found.small:
                    summary += f"; {found.small:,} are smaller"
                page.show_regions(list(found), known, comparison.classes, kind, summary, comparison.georeference)
                self._listed = bool(found)
                self.searched.emit()
                self._form.say("" if found else f"No {kind.lower()} of that size here.")

            self._work.begin(work, done, f"Looking for {kind.lower()}…")

    def _fly(self, region: Region) -> None:
        """Fly to a region and outline it."""
        mask = self._choices.mask
        if mask is not None and mask in self._viewer.layers:
            fly_to(self._viewer, mask, region.window)
            self._marker.show(mask, region.window)

    def _mark(self, region: Region, mark: Mark | None) -> None:
        """Keep the mark of a region."""
        assert self._marks is not None  # the list came with them
        with reported(self):
            self._marks.set(region, mark)
            self._form.regions.show_mark(region, mark)
