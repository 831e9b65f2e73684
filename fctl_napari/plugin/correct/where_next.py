"""Updates of the list of regions to correct next, with every stroke and every other segmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtCore import QObject

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.evaluation.acquisition import MOST, Suggestion, find_next, renewed, whole_cells
from fctl_napari.evaluation.review_marks import Marks
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.correct.next_list import NextPage
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow
from fctl_napari.words import count_of


@dataclass(frozen=True, eq=False)
class _Listed:
    """The suggestions that are listed, with their segmentation and its review marks."""

    segmentation: Segmentation
    marks: Marks
    suggestions: list[Suggestion]


class WhereNext(QObject):
    """Maker of the list of regions to correct next.

    The list is made, in a thread, when it is first looked at, and kept up to date from then on.

    Parameters
    ----------
    page : NextPage
        Page that shows the list.
    store : callable
        Function that returns the location of the segmentation that is corrected.
    parent : QObject or None, optional
        Qt's parent.
    """

    def __init__(self, page: NextPage, store: Callable[[], str | None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._page = page
        self._store = store
        self._path: str | None = None  # segmentation that is listed, or being listed
        self._corrections: Corrections | None = None
        self._listed: _Listed | None = None
        self._changed: list[IntWindow] = []
        self._step = 0  # step that was requested while there was no list
        self._jobs = Jobs(self)
        page.seen.connect(self.look)
        page.wanted.connect(self.find)
        page.skipped.connect(self._skip)

    @property
    def busy(self) -> bool:
        """True while the list is being made or updated."""
        return self._jobs.running

    def correct(self, corrections: Corrections | None) -> None:
        """Leave out what is corrected already.

        Parameters
        ----------
        corrections : Corrections or None
            The corrections (read only). None if there are none.
        """
        self._corrections = corrections
        if self._path is not None:
            self._path = None
            self.look()

    def look(self) -> None:
        """Make the list if the page is visible and shows that of another segmentation."""
        if self._store() == self._path and self._path is not None:
            return
        self.leave()
        if self._page.isVisible():
            self.find()

    def find(self) -> None:
        """Make the list."""
        path = self._store()
        self.leave()
        if path is None:
            self._page.clear("There is no segmentation of this image; segment it, or open one.")
            return
        self._path = path
        self._page.clear("Looking for regions…")
        self._make(path)

    def _make(self, path: str) -> None:
        """Make the list in a thread."""
        corrections = self._corrections

        def work(progress: Progress) -> _Listed:
            segmentation = Segmentation.open(path)
            marks = Marks.of_segmentation(segmentation)
            found = find_next(segmentation, corrections, progress=progress)
            return _Listed(segmentation, marks, found)

        self._jobs.begin(work, self._found, self._failed, progressed=self._count)

    def follow(self) -> None:
        """Make the list anew if it is in use, as its segmentation was computed anew."""
        if self._path is None and not self._page.isVisible():
            return
        self._jobs.drop()
        self._changed.clear()
        self._path = self._store()
        if self._path is None or self._listed is None:
            self.find()
        else:
            self._make(self._path)  # what is listed and chosen stays until then

    def step(self, by: int) -> None:
        """Choose the next or the previous suggestion, and make the list first if there is none yet.

        Parameters
        ----------
        by : int
            1 for the next, -1 for the previous one.
        """
        self.look()
        if self._listed is not None:
            self._page.step(by)
            return
        if not self.busy:
            self.find()
        if self.busy:
            self._step = by

    def stroke(self, window: IntWindow) -> None:
        """Update the list where the corrections have changed.

        Parameters
        ----------
        window : IntWindow
            Window that has changed, (y0, x0, y1, x1) px.
        """
        if self._path is None:
            return
        self._changed.append(window)
        if not self.busy:
            self._renew()

    def leave(self) -> None:
        """Clear the list and stop what runs."""
        self._jobs.drop()
        self._changed.clear()
        self._path = self._listed = None
        self._step = 0
        self._page.clear("")

    # ----

    def _count(self, done: int, total: int) -> None:
        """Show the progress of making the list."""
        self._page.summary.setText(f"Looking for regions… {done / total:.0%}")

    def _found(self, listed: _Listed) -> None:
        """Show a list that was made, and then take the step and the strokes that waited for it."""
        self._listed = listed
        self._show()
        step, self._step = self._step, 0
        if step:
            self._page.step(step)
        if self._changed:
            self._renew()

    def _renew(self) -> None:
        """Update the list in the windows that have changed."""
        listed, corrections = self._listed, self._corrections
        windows, self._changed = self._changed, []
        if listed is None:
            return

        def work(progress: Progress) -> _Listed:
            found = listed.suggestions
            for window in windows:
                cells = whole_cells(window, listed.segmentation.shape)
                fresh = find_next(listed.segmentation, corrections, cells, progress=progress)
                found = renewed(found, fresh, cells)[:MOST]
            return _Listed(listed.segmentation, listed.marks, found)

        self._jobs.begin(work, self._found, self._failed)

    def _failed(self, error: BaseException) -> None:
        """Show and report why there is no list."""
        self.leave()
        self._page.clear(str(error))
        report(error, self)

    def _skip(self, suggestion: Suggestion) -> None:
        """Skip a suggestion from now on, or no more."""
        if self._listed is not None:
            with reported(self):
                marks = self._listed.marks
                marks.set(suggestion.region, None if marks.of(suggestion.region) else "done")
                self._show()

    def _show(self) -> None:
        """Show the list with its summary."""
        listed = self._listed
        assert listed is not None
        skipped = {one for one in listed.suggestions if listed.marks.of(one.region) is not None}
        georeference = listed.segmentation.georeference
        self._page.show_suggestions(listed.suggestions, skipped, listed.segmentation.class_table, georeference)
        left = len(listed.suggestions) - len(skipped)
        first = "the first " if len(listed.suggestions) == MOST else ""
        text = f"{first}{count_of(left, 'region')} to correct" + (f", {len(skipped):,} skipped" if skipped else "")
        self._page.summary.setText(text[0].upper() + text[1:])
