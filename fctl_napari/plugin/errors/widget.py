"""Tab Errors: what its parts do together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import napari
from napari.layers import Labels

from fctl_napari.evaluation.error_regions import Region
from fctl_napari.evaluation.selected_region import SelectedRegion
from fctl_napari.exceptions import Cancelled
from fctl_napari.imagery.labels.class_mapping import ClassMapping
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.chosen_ground_truth import ChosenGroundTruth
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.notify import report
from fctl_napari.plugin.errors.choices import ErrorChoices
from fctl_napari.plugin.errors.comparison import ERRORS, Comparison
from fctl_napari.plugin.errors.computed_figures import ComputedFigures
from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.errors.list import KEYS
from fctl_napari.plugin.errors.mapping_dialog import MappingDialog
from fctl_napari.plugin.errors.opening import Opening
from fctl_napari.plugin.errors.point_checks import PointChecks
from fctl_napari.plugin.errors.region_review import RegionReview
from fctl_napari.plugin.errors.shown_errors import ShownErrors
from fctl_napari.plugin.errors.shown_work import ShownWork
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.roi import DRAWN, start_drawing
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY

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
        form = self.form = ErrorForm()
        self._choices = ErrorChoices(napari_viewer, form, header.image)
        self._opening = Opening(napari_viewer, form, self._choices, self)
        self._work = ShownWork(form, header.image, self)
        self._checks = PointChecks(
            napari_viewer, form.points, lambda: self._choices.mask, self._work.begin_settled, form.say
        )
        self._work.follow(self._checks.jobs)
        self._shown = ShownErrors(napari_viewer, form, self._opening, self._checks, self)
        common = napari_viewer, form, self._choices, self._opening, self._work, self
        self._review = RegionReview(*common)
        self._figures = ComputedFigures(*common)
        self._fill(form)
        self._connect()
        self._unbind = bind_keys(napari_viewer, {KEYS[name]: partial(self.press, name) for name in KEYS})
        self._explain()
        self._choices.fill()

    def _connect(self) -> None:
        """Connect the fields and what stands behind them."""
        form = self.form
        self._choices.changed.connect(self._checks.look)
        self._opening.begun.connect(self._opening_begun)
        self._opening.opened.connect(self._show_comparison)
        self._opening.failed.connect(self._not_opened)
        self._review.searched.connect(self._explain)
        form.edit_mapping.clicked.connect(self._edit_mapping)
        form.draw.clicked.connect(self._draw)
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
        self._shown.set_entered(name in ("Errors", "Correct"))

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
        return self._opening.comparison

    @property
    def region(self) -> Region | None:
        """Error, uncertain region or difference that is chosen in the list, or None."""
        return self.form.regions.current

    def selected_error(self) -> SelectedRegion | None:
        """Return the region that is chosen in the list, or None."""
        region, comparison = self.region, self.comparison
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
        mask, chosen, comparison = self._choices.mask, self._choices.ground_truth, self.comparison
        if mask is None or mask.metadata[STORE_KEY] != store or chosen is None or comparison is None:
            return None
        if comparison.ground_truth is None:
            return None
        path = None if chosen.location is None else Path(chosen.location)
        return ChosenGroundTruth(comparison.ground_truth, chosen.name if path is None else path.name, path)

    @property
    def overlay(self) -> Labels | None:
        """Layer of errors, or None."""
        return self._shown.layer

    @property
    def running(self) -> bool:
        """True if something is being opened, computed or searched."""
        return self._opening.running or self._work.running or self._checks.running

    def add_ground_truth(self, path: str | Path) -> None:
        """Offer a file or label group of ground truth, and choose it.

        Parameters
        ----------
        path : str or Path
            Path of the file or group.
        """
        self._choices.add_ground_truth(path)

    # ---- what is compared

    def _opening_begun(self) -> None:
        """Stop the work on the former comparison, and show what is missing if no segmentation is chosen."""
        self._follow_window()
        self._work.jobs.drop()
        self._shown.watch(self._choices.mask)
        if self._choices.mask is None:
            self._clear()
            self._explain()

    def _not_opened(self, error: BaseException) -> None:
        """Report that the comparison cannot be opened."""
        self._shown.hide()
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
        self._shown.show()

    def _clear(self) -> None:
        """Remove figures and regions, which belong to another comparison."""
        self._review.clear()
        self.form.figures.clear()

    def _explain(self) -> None:
        """Show what is missing, and how the ground truth is read."""
        form, comparison = self.form, self.comparison
        if self._choices.mask is None:
            form.explain("Segment the image first, or open a segmentation.", "Segment it (Segment)", "Segment")
        elif comparison is not None and comparison.ground_truth is None:
            words = "Choose a ground truth to see errors. Without one, Next error lists doubts."
            form.explain(words, *(NEXT if self._review.listed else ()))
        elif comparison is not None and comparison.unmapped:
            few = ", ".join(map(str, comparison.unmapped[:5]))
            form.explain(f"The ground truth holds values without a class ({few}): give them a class under Classes…")
        else:
            form.explain("" if comparison is None else comparison.note, *(NEXT if self._review.listed else ()))
        ground_truth = None if comparison is None else comparison.ground_truth
        form.edit_mapping.setEnabled(ground_truth is not None)
        form.figures.compute.setEnabled(comparison is not None and comparison.overlay is not None)
        form.regions.find.setEnabled(comparison is not None)
        scored = 0 if ground_truth is None else sum(index != NO_CLASS for index in ground_truth.mapping.values.values())
        ignored = 0 if ground_truth is None else len(ground_truth.mapping.values) - scored
        form.mapping.setText("" if ground_truth is None else f"{scored} scored, {ignored} ignored")

    def _edit_mapping(self) -> None:
        """Open the dialog for the classes of the ground truth."""
        comparison = self.comparison
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
        self._opening.set_mapping(mapping)

    def _draw(self) -> None:
        """Let the user draw the region."""
        start_drawing(self._viewer, self._choices.mask)
        self.form.where.setCurrentText(DRAWN)

    # ---- the end

    def _leave(self, *, layers: bool) -> None:
        """Stop all work and stop following the viewer when the dock or the window is gone."""
        self._opening.leave()
        self._work.jobs.drop()
        self._unbind()
        self._checks.leave(layers=layers)  # the errors are back after it
        self._shown.leave(layers=layers)
        if layers:
            self._review.hide_outline()
        self._choices.leave()
