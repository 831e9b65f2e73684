"""Figures of the opened comparison: computed in a thread, and the pixels that one of them counts."""

from __future__ import annotations

from typing import Any

import napari
from napari.utils.theme import get_theme
from qtpy.QtCore import QObject

from fctl_napari.evaluation.agreement import Agreement
from fctl_napari.evaluation.domain import domain_of_result
from fctl_napari.evaluation.evaluation import Evaluation
from fctl_napari.evaluation.ground_areas import area_words
from fctl_napari.plugin.common.notify import reported
from fctl_napari.plugin.errors.choices import ErrorChoices
from fctl_napari.plugin.errors.comparison import compute_figures
from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.errors.opening import Opening
from fctl_napari.plugin.errors.shown_work import ShownWork
from fctl_napari.plugin.layers.roi import chosen_region
from fctl_napari.progress import Progress


class ComputedFigures(QObject):
    """Actions of the page of figures.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows the segmentation.
    form : ErrorForm
        Form with the page and the fields of the region and of the overlay.
    choices : ErrorChoices
        The segmentation that is chosen.
    opening : Opening
        The comparison.
    work : ShownWork
        Work in threads.
    parent : QObject
        Qt parent.
    """

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
        form.figures.compute.clicked.connect(self._compute)
        form.figures.pair_chosen.connect(self._show_pair)

    def _compute(self) -> None:
        """Compute the figures in a thread and show them."""
        form = self._form
        with reported(self):
            comparison = self._opening.require()
            where = form.where.currentText()
            region = chosen_region(self._viewer, self._choices.mask, where)
            title = f"{comparison.segmentation.path.name}, {where.lower()}"
            second = comparison.second

            def done(result: tuple[Evaluation | None, Agreement | None, str]) -> None:
                page = form.figures
                page.clear()
                evaluation, agreement, said = result
                if evaluation is not None:
                    covered = area_words(evaluation.scores.pixels, comparison.georeference, evaluation.region)
                    page.show_evaluation(evaluation, title, get_theme(self._viewer.theme).text.as_hex(), covered)
                if agreement is not None and second is not None:
                    page.show_agreement(agreement, second.path.name, comparison.segmentation.path.name)
                form.say(said)

            def work(progress: Progress) -> Any:
                import fctl_napari.figures.evaluation  # noqa: F401 - matplotlib, not on the window's thread

                figures = compute_figures(comparison, region, progress)
                found = domain_of_result(comparison.segmentation, None, region)
                part = "this image" if region is None else "this region"
                said = [] if found.trained is None else [found.trained.words(found.name, part)]
                return *figures, " ".join([*said, *comparison.hints(figures[0])])

            self._work.begin(work, done, "Computing figures…")

    def _show_pair(self, was: int, predicted: int) -> None:
        """Highlight the pixels that a cell of the confusion matrix counts."""
        form, comparison, evaluation = self._form, self._opening.comparison, self._form.figures.evaluation
        if evaluation is None:
            return
        form.shown.setChecked(True)
        form.show_pair((was, predicted))
        form.regions.show_pair((was, predicted))
        count = int(evaluation.confusion[was, predicted])
        names = evaluation.names
        covered = "" if comparison is None else area_words(count, comparison.georeference, evaluation.region)
        words = f"{count:,} px{covered} of {form.figures.title} are {names[was]}, predicted as {names[predicted]}"
        form.say(f"{words}. Small regions show when you zoom in.")
