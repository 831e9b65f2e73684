"""Tab Errors: the actions of its fields."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Labels
from napari.utils.theme import get_theme

from fctl_napari.evaluation.agreement import Agreement
from fctl_napari.evaluation.domain import domain_of_result
from fctl_napari.evaluation.error_regions import Region, Regions
from fctl_napari.evaluation.evaluation import Evaluation
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.evaluation.review_marks import Mark, Marks
from fctl_napari.evaluation.selected_region import SelectedRegion
from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.plugin.common.background import Jobs, Work
from fctl_napari.plugin.common.base_widget import DockedWidget, resting
from fctl_napari.plugin.common.chosen_ground_truth import ChosenGroundTruth
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.errors.choices import ErrorChoices
from fctl_napari.plugin.errors.comparison import (
    ERRORS,
    Comparison,
    Wanted,
    compute_figures,
    find_regions,
    open_comparison,
)
from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.errors.layer import ErrorLayer
from fctl_napari.plugin.errors.list import KEYS
from fctl_napari.plugin.errors.mapping_dialog import MappingDialog
from fctl_napari.plugin.errors.point_checks import PointChecks
from fctl_napari.plugin.layers.ground_truth import GroundTruthChoice, labels_of_image, labels_over
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.hidden_masks import HiddenMasks
from fctl_napari.plugin.layers.navigation import RegionMarker, fly_to
from fctl_napari.plugin.layers.resampled_labels import lies_over
from fctl_napari.plugin.layers.roi import DRAWN, chosen_region, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY, levels_of
from fctl_napari.plugin.layers.transforms import moves
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, Window
from fctl_napari.words import count_of

MARKER_NAME = "FCtL error"
NEXT = "Next: correct them (Correct)", "Correct"


class ErrorWidget(DockedWidget):
    """Widget that shows where a segmentation is wrong: over the image, in figures, and region by region.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Viewer that it is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.

    Attributes
    ----------
    form : ErrorForm
        The fields.
    """

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        self._opening, self._working = Jobs(self), Jobs(self)
        self._errors = ErrorLayer(napari_viewer, self)
        self._entered = False  # the overlay belongs to the tab that is shown
        self._masks = HiddenMasks(napari_viewer)
        self._marker = RegionMarker(napari_viewer, MARKER_NAME)
        self._comparison: Comparison | None = None
        self._marks: Marks | None = None
        self._reviewed = False  # regions are listed
        self._settling = False  # work waits until all strokes are on disk
        self._mapping: ClassMapping | None = None  # the user's own
        self._ground_truth_key: tuple[object, ...] = ()
        self._opened_key: tuple[object, ...] = ()
        self._placing: list[Any] = []  # emitters of layers that are compared
        self._rest = resting(self, self._open)
        self._files_settled = resting(self, self._look_at_files)
        self._placement_key: (
            tuple[Any, ...] | None
        ) = ()  # placement of the ground truth on the segmentation; None: not px for px
        self.form = ErrorForm()
        self._image = header.image
        self._choices = ErrorChoices(napari_viewer, self.form, header.image)
        self._checks = PointChecks(
            napari_viewer, self.form.points, lambda: self._choices.mask, self._begin_settled, self.form.say
        )
        self._fill(self.form)
        self._connect()
        self._unbind = bind_keys(napari_viewer, {KEYS[name]: partial(self.press, name) for name in KEYS})
        self._explain()
        self._choices.fill()

    def _connect(self) -> None:
        """Connect the fields and helpers."""
        form = self.form
        self._choices.changed.connect(self._chosen)
        form.edit_mapping.clicked.connect(self._edit_mapping)
        form.shown.toggled.connect(self._show)
        form.showing_changed.connect(self._showing_changed)
        form.draw.clicked.connect(self._draw)
        form.figures.compute.clicked.connect(self._compute)
        form.figures.pair_chosen.connect(self._show_pair)
        form.only.clicked.connect(lambda: form.regions.show_pair(None))
        form.regions.find.clicked.connect(self._find)
        form.regions.chosen.connect(self._fly)
        form.regions.marked.connect(self._mark)
        for jobs in (self._working, self._checks.jobs):
            form.cancel.clicked.connect(jobs.cancel)
            jobs.busy.connect(self._busy)
        self._errors.replaced.connect(self._reopen)
        self._checks.checking_changed.connect(lambda _on: self._show())
        form.tabs.currentChanged.connect(self._page_shown)

    # ---- the tab

    def tab_shown(self, name: str) -> None:
        """Show the overlay here and where errors are corrected, and nowhere else.

        Parameters
        ----------
        name : str
            Name of the tab that is shown.
        """
        if name == "Errors":
            self._checks.look()
        else:
            self._checks.stop()
        before, self._entered = self._entered, name in ("Errors", "Correct")
        if self._entered != before:
            self._show()

    def _page_shown(self) -> None:
        """Look at the points where their page is shown, and stop asking where another one is."""
        if self.form.tabs.currentWidget() is self.form.points:
            self._checks.look()
        else:
            self._checks.stop()

    def press(self, name: str) -> None:
        """Press a button of the list of regions, or of the points while they are checked, if there is such a button.

        Parameters
        ----------
        name : str
            Name of the button in ``KEYS``.
        """
        page = self.form.points if self._checks.checking else self.form.regions
        button = page.key_buttons().get(name)
        if button is not None:
            button.click()

    # ---- what there is to choose from

    @property
    def checks(self) -> PointChecks:
        """The actions of the page of points."""
        return self._checks

    @property
    def comparison(self) -> Comparison | None:
        """Opened comparison, or None while there is none or it is being opened."""
        return self._comparison

    @property
    def region(self) -> Region | None:
        """Error, uncertain region or difference that is chosen in the list, or None."""
        return self.form.regions.current

    def selected_error(self) -> SelectedRegion | None:
        """Return the region that is chosen in the list, or None."""
        region, comparison = self.region, self._comparison
        if region is None or comparison is None:
            return None
        ground_truth = comparison.ground_truth if self.form.regions.kind == ERRORS else None
        return SelectedRegion(region, comparison.segmentation, ground_truth)

    def ground_truth_of(self, store: str) -> ChosenGroundTruth | None:
        """Return the ground truth that a segmentation is compared with here.

        Parameters
        ----------
        store : str
            Path of the segmentation.

        Returns
        -------
        ChosenGroundTruth or None
            The ground truth, opened. None if none is chosen for it.
        """
        mask, chosen, comparison = self._choices.mask, self._choices.ground_truth, self._comparison
        if mask is None or mask.metadata[STORE_KEY] != store or chosen is None or comparison is None:
            return None
        if comparison.ground_truth is None:
            return None
        path = None if chosen.location is None else Path(chosen.location)
        return ChosenGroundTruth(comparison.ground_truth, chosen.name if path is None else path.name, path)

    @property
    def overlay(self) -> Labels | None:
        """Layer of errors, or None."""
        return self._errors.layer

    @property
    def running(self) -> bool:
        """True if something is being opened, computed or searched."""
        waiting = self._settling or self._rest.isActive() or self._files_settled.isActive()
        return self._opening.running or self._working.running or self._checks.running or waiting

    def add_ground_truth(self, path: str | Path) -> None:
        """Offer a file or label group of ground truth, and choose it.

        Parameters
        ----------
        path : str or Path
            Path of the file or group.
        """
        self._choices.add_ground_truth(path)

    # ---- what is compared

    def _chosen(self) -> None:
        """Open what is chosen when the layers have come to rest."""
        if self._choices.ground_truth_key != self._ground_truth_key:
            self._ground_truth_key, self._mapping = self._choices.ground_truth_key, None
        self._checks.look()
        self._rest.start()

    def _reopen(self) -> None:
        """Open the comparison again when the layers have come to rest."""
        self._rest.start()

    def _watch_files(self, layers: list[Labels]) -> None:
        """Compare anew when one of these layers is placed anew."""
        for emitter in self._placing:
            emitter.disconnect(self._start_pixels)
        self._placing = [emitter for layer in layers for emitter in moves(layer)]
        for emitter in self._placing:
            emitter.connect(self._start_pixels)

    def _start_pixels(self, _event: Any = None) -> None:
        """Check the placement of layers when they have come to rest."""
        self._files_settled.start()

    def _placed(self) -> Any:
        """Return the labels of a ground truth that a layer shows in the px of the segmentation.

        Raises
        ------
        InputError
            They, or the second segmentation, cannot be compared px for px with the segmentation.
        """
        mask, ground_truth, second = self._choices.mask, self._choices.ground_truth, self._choices.second
        self._placement_key = None
        if mask is not None and second is not None and not lies_over(self._viewer, second, mask):
            raise InputError(
                f"{second.name}: lies elsewhere than {mask.name}, or has other px; put one over the other."
            )
        if mask is None or ground_truth is None or ground_truth.layer is None:
            placed = None
        else:
            placed = labels_over(self._viewer, ground_truth.layer, mask)
        self._placement_key = placed.key if isinstance(placed, PlacedLabels) else ()
        return placed

    def _look_at_files(self) -> None:
        """Compare anew if layers have another placement now, relative to each other."""
        before = self._placement_key
        with suppress(InputError):  # it is reported when it is opened
            self._placed()
        if self._placement_key is None or self._placement_key != before:
            self._opened_key = ()  # the opened ground truth has the former placement
            self._open()

    def _open(self) -> None:
        """Open the chosen comparison in a thread."""
        self._follow_window()
        form, showing = self.form, self.form.showing
        mask, second = self._choices.mask, self._choices.second
        self._working.drop()
        opened_key, self._opened_key = self._opened_key, self._choices.ground_truth_key
        before = self._comparison if opened_key == self._opened_key else None  # comparison with the same ground truth
        self._comparison = None
        self._errors.watch(mask)
        if self.overlay is None:
            self._masks.set_hidden(False)
        if mask is None:
            self._watch_files([])
            self._opening.drop()
            self._clear()
            self._explain()
            return
        ground_truth = self._choices.ground_truth
        compared = (mask, None if ground_truth is None else ground_truth.layer, second)
        self._watch_files([layer for layer in compared if layer is not None])
        try:
            placed = self._placed()
        except InputError as error:
            self._opening.drop()
            self._not_opened(error)
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
            self._show_comparison(self._comparison)
            self._choices.offer_own(wanted.path, own)

        form.explain("Opening…")
        self._opening.begin(work, opened, self._not_opened, label=f"truth of {mask.name}")

    def _not_opened(self, error: BaseException) -> None:
        """Report that the comparison cannot be opened."""
        self._hide_errors()
        self._clear()
        self._explain()
        self.form.explain("" if isinstance(error, Cancelled) else str(error))
        report(error, self)

    def _show_comparison(self, comparison: Comparison) -> None:
        """Offer and show what a comparison has."""
        form = self.form
        ground_truth, second = comparison.ground_truth is not None, comparison.second is not None
        form.show_classes([name for name, _ in comparison.classes])
        form.offer_modes(ground_truth=ground_truth, second=second)
        form.regions.offer(ground_truth=ground_truth, second=second, measures=comparison.measures)
        self._clear()
        self._explain()
        self._show()

    def _clear(self) -> None:
        """Remove figures and regions, which belong to another comparison."""
        self._marks = None
        self._reviewed = False
        self.form.regions.clear()
        self.form.figures.clear()
        self._marker.hide()

    def _explain(self) -> None:
        """Show what is missing, and how the ground truth is read."""
        form, comparison = self.form, self._comparison
        if self._choices.mask is None:
            form.explain("Segment the image first, or open a segmentation.", "Segment it (Segment)", "Segment")
        elif comparison is not None and comparison.ground_truth is None:
            words = "Choose a ground truth to see errors. Without one, Next error lists doubts."
            form.explain(words, *(NEXT if self._reviewed else ()))
        elif comparison is not None and comparison.unmapped:
            few = ", ".join(map(str, comparison.unmapped[:5]))
            form.explain(f"The ground truth holds values without a class ({few}): give them a class under Classes…")
        else:
            form.explain("" if comparison is None else comparison.note, *(NEXT if self._reviewed else ()))
        ground_truth = None if comparison is None else comparison.ground_truth
        form.edit_mapping.setEnabled(ground_truth is not None)
        form.figures.compute.setEnabled(comparison is not None and comparison.overlay is not None)
        form.regions.find.setEnabled(comparison is not None)
        scored = 0 if ground_truth is None else sum(index != NO_CLASS for index in ground_truth.mapping.values.values())
        ignored = 0 if ground_truth is None else len(ground_truth.mapping.values) - scored
        form.mapping.setText("" if ground_truth is None else f"{scored} scored, {ignored} ignored")

    def _edit_mapping(self) -> None:
        """Open the dialog for the classes of the ground truth."""
        comparison = self._comparison
        if comparison is None or comparison.ground_truth is None or comparison.source is None:
            return
        colors = [color for _, color in comparison.classes]
        mapping = comparison.ground_truth.mapping
        dialog = MappingDialog(comparison.source, comparison.held, mapping, comparison.proposed(), colors, self)
        dialog.accepted.connect(lambda: self.set_mapping(dialog.mapping))
        dialog.open()

    def set_mapping(self, mapping: ClassMapping) -> None:
        """Read the ground truth's values by a mapping.

        Parameters
        ----------
        mapping : ClassMapping
            The mapping.
        """
        self._mapping = mapping
        self._reopen()

    # ---- the overlay

    def _show(self, _checked: bool = True) -> None:
        """Show or hide the overlay."""
        comparison, showing = self._comparison, self.form.showing
        wanted = self._entered and self.form.shown.isChecked() and not self._checks.checking
        if comparison is None or comparison.overlay is None or not wanted:
            self._hide_errors()
            self.form.show_legend(())
            return
        legend = showing.legend(comparison.classes)
        self._errors.show(comparison, showing, legend)
        self._masks.set_hidden(True)
        self.form.show_legend(legend)

    def _hide_errors(self) -> None:
        """Remove the overlay, and show the mask again."""
        self._errors.hide()
        self._masks.set_hidden(False)

    def _showing_changed(self) -> None:
        """Show other contents of the overlay."""
        if self._comparison is not None and self.overlay is not None:
            legend = self.form.showing.legend(self._comparison.classes)
            self._errors.change(self.form.showing, legend)
            self.form.show_legend(legend)

    def _show_pair(self, was: int, predicted: int) -> None:
        """Highlight the pixels that a cell of the confusion matrix counts."""
        evaluation = self.form.figures.evaluation
        if evaluation is None:
            return
        self.form.shown.setChecked(True)
        self.form.show_pair((was, predicted))
        self.form.regions.show_pair((was, predicted))
        count = int(evaluation.confusion[was, predicted])
        names = evaluation.names
        covered = (
            "" if self._comparison is None else area_words(count, self._comparison.georeference, evaluation.region)
        )
        words = f"{count:,} px{covered} of {self.form.figures.title} are {names[was]}, predicted as {names[predicted]}"
        self.form.say(f"{words}. Small regions show when you zoom in.")

    # ---- figures and regions

    def _region(self) -> tuple[IntWindow | None, str]:
        """Return the chosen region and its name for people."""
        where = self.form.where.currentText()
        return chosen_region(self._viewer, self._choices.mask, where), where.lower()

    def _draw(self) -> None:
        """Let the user draw the region."""
        start_drawing(self._viewer, self._choices.mask)
        self.form.where.setCurrentText(DRAWN)

    def _require(self) -> Comparison:
        """Return the opened comparison."""
        if self._comparison is None:
            raise InputError("there is nothing to examine yet; choose a segmentation and its ground truth.")
        return self._comparison

    def _compute(self) -> None:
        """Compute the figures in a thread and show them."""
        with reported(self):
            comparison = self._require()
            region, where = self._region()
            title = f"{comparison.segmentation.path.name}, {where}"
            second = comparison.second

            def done(result: tuple[Evaluation | None, Agreement | None, str]) -> None:
                page = self.form.figures
                page.clear()
                evaluation, agreement, said = result
                if evaluation is not None:
                    covered = area_words(evaluation.scores.pixels, comparison.georeference, evaluation.region)
                    page.show_evaluation(evaluation, title, get_theme(self._viewer.theme).text.as_hex(), covered)
                if agreement is not None and second is not None:
                    page.show_agreement(agreement, second.path.name, comparison.segmentation.path.name)
                self.form.say(said)

            def work(progress: Progress) -> Any:
                import fctl_napari.figures.evaluation  # noqa: F401 - matplotlib, not on the window's thread

                figures = compute_figures(comparison, region, progress)
                found = domain_of_result(comparison.segmentation, None, region)
                part = "this image" if region is None else "this region"
                said = [] if found.trained is None else [found.trained.words(found.name, part)]
                return *figures, " ".join([*said, *comparison.hints(figures[0])])

            self._begin(work, done, "Computing figures…")

    def _find(self) -> None:
        """Find regions in a thread and list them."""
        page = self.form.regions
        with reported(self):
            comparison = self._require()
            region, _ = self._region()
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
                self._reviewed = bool(found)
                self._explain()
                self.form.say("" if found else f"No {kind.lower()} of that size here.")

            self._begin(work, done, f"Looking for {kind.lower()}…")

    def _begin_settled(self, work: Work, done: Callable[[Any], None], words: str) -> None:
        """Begin work on the final map in a thread, once all strokes are on disk."""

        def settled() -> None:
            self._settling = False
            self._begin(work, done, words, self._checks.jobs)

        image = self._image.layer
        with reported(self):
            if session().is_segmenting(self.window()):  # live mode, too, computes more as one looks around
                raise InputError("the map is being computed; wait for it, or press Cancel in the tab Segment.")
            self._settling = True
            if image is None:
                settled()
            else:
                session().flush_strokes(self.window(), image, settled)

    def _begin(
        self,
        work: Work,
        done: Callable[[Any], None],
        words: str,
        jobs: Jobs | None = None,
    ) -> None:
        """Begin work in a thread and show its progress."""

        def failed(error: BaseException) -> None:
            self.form.say("Stopped." if isinstance(error, Cancelled) else "")
            report(error, self)

        self.form.show_progress(0, 0)
        self.form.say(words)
        (jobs or self._working).begin(work, done, failed, progressed=self.form.show_progress)

    def _busy(self) -> None:
        """Show whether work is under way."""
        busy = self._working.running or self._checks.jobs.running
        self.form.cancel.setEnabled(busy)
        if not busy:
            self.form.show_progress(0, 1)

    # ---- region by region

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
            self.form.regions.show_mark(region, mark)

    # ---- the end

    def _leave(self, *, layers: bool) -> None:
        """Stop all work and stop following the viewer when the dock or the window is gone."""
        if layers:
            self._hide_errors()  # nothing would update it any more
            self._marker.hide()
        self._rest.stop()
        self._files_settled.stop()
        self._watch_files([])
        self._opening.drop()
        self._working.drop()
        self._unbind()
        self._checks.leave(layers=layers)
        self._errors.leave()
        self._choices.leave()
