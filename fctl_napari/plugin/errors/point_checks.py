"""Random points of the map in the tab Errors: drawn, checked one after the other while the map is hidden, estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import napari
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, Signal

from fctl_napari.correcting.final_map import find_final_map
from fctl_napari.correcting.map_points import MapPoints, draw_on_map
from fctl_napari.evaluation.points.checked_points import CheckedPoints, points_path, sample_notes, set_classes
from fctl_napari.evaluation.points.point_estimate import PointEstimate
from fctl_napari.exceptions import InputError, PointsError
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.plugin.common.background import Jobs, Work
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.errors.points_page import PointsPage
from fctl_napari.plugin.layers.before_after import before_after
from fctl_napari.plugin.layers.hidden_masks import HiddenMasks, all_but_images
from fctl_napari.plugin.layers.navigation import RegionMarker, fly_to
from fctl_napari.plugin.layers.segmentation_layers import STORE_KEY
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.words import count_of

MARKER_NAME = "FCtL point"
SURROUNDINGS = 32
"""Number of px on each side of a point that fill a third of the canvas after flying to the first one."""


Begin = Callable[[Work, Callable[[Any], None], str, Jobs], None]
"""Function ``begin(work, done, words, jobs)`` that does work in a thread, and shows its progress and what is done."""


class PointChecks(QObject):
    """Actions of the page of points.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer that shows map and points.
    page : PointsPage
        The page.
    mask : callable
        Function that returns the layer of the chosen segmentation, or None.
    begin : callable
        See ``Begin``; all strokes are on disk before the work begins.
    say : callable
        Function that shows the outcome of the last action.

    Attributes
    ----------
    jobs : Jobs
        Jobs of the page: drawing, looking at the map, estimating. They end where another segmentation is chosen.
    checking_changed : Signal(bool)
        Points are being checked from now on (True), which comes before the map is hidden, or not any more (False).
    """

    checking_changed = Signal(bool)

    def __init__(
        self,
        viewer: napari.Viewer,
        page: PointsPage,
        mask: Callable[[], Labels | None],
        begin: Begin,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(page)
        self._viewer, self._page = viewer, page
        self._chosen_mask, self._begin, self._say = mask, begin, say
        self.jobs, self._reading = Jobs(self), Jobs(self)
        self._marker = RegionMarker(viewer, MARKER_NAME)
        self._hidden = HiddenMasks(viewer, all_but_images)
        self._mask: Labels | None = None  # the one whose points are shown
        self._points: CheckedPoints | None = None
        self._opened: MapPoints | None = None  # while points are checked
        self._at = 0
        self._selected: set[Layer] = set()  # layers, before points were checked
        self._keyed: Layer | None = None  # the marker whose keys are bound
        page.draw.clicked.connect(self._ask)
        page.drop.clicked.connect(lambda: self._draw(fresh=True))
        page.check.clicked.connect(self.check)
        page.estimate.clicked.connect(self._estimate)
        page.stop.clicked.connect(self.stop)
        page.answered.connect(self.answer)
        page.stepped.connect(self.step)

    @property
    def running(self) -> bool:
        """True while points are read or drawn, or something follows from them."""
        return self._reading.running or self.jobs.running

    @property
    def checking(self) -> bool:
        """True while points are checked."""
        return self._opened is not None

    @property
    def marker(self) -> Layer | None:
        """Layer that marks the point, or None."""
        return self._marker.layer

    def look(self) -> None:
        """Read, in a thread, what is drawn and checked on the chosen segmentation."""
        mask = self._chosen_mask()
        if mask is not self._mask:
            self.jobs.drop()
            self.stop()
            self._page.clear()
        self._mask = mask
        if self.checking:
            return
        if mask is None:
            self._reading.drop()
            self._show(None)
            return
        store = str(mask.metadata[STORE_KEY])

        def work(_progress: Progress) -> CheckedPoints | None:
            path = points_path(store)
            return CheckedPoints.read(path) if path.exists() else None

        def failed(error: BaseException) -> None:
            self._show(None)
            report(error, self)

        self._reading.begin(work, self._show, failed)

    def _show(self, points: CheckedPoints | None) -> None:
        """Show what is drawn and checked."""
        self._points = points
        self._page.show_state(self._mask is not None, points)

    # ---- drawing

    def _ask(self) -> None:
        """Draw points, or ask first where checked ones would be lost."""
        checked = 0 if self._points is None else self._points.checked
        if checked:
            self._page.show_warning(checked)
        else:
            self._draw(fresh=False)

    def _draw(self, *, fresh: bool) -> None:
        """Draw points on the final map in a thread. Other points than those that are there."""
        page, store = self._page, self._store()
        total = page.total.value()
        least = page.least.value() if page.least.value() > page.least.minimum() else None

        def work(progress: Progress) -> MapPoints:
            segmentation = Segmentation.open(store)
            path = points_path(store)
            seed = CheckedPoints.read(path).seed + 1 if path.exists() else 0
            source = find_final_map(segmentation) or segmentation
            return draw_on_map(source, total=total, least=least, seed=seed, fresh=fresh, progress=progress)

        def done(drawn: MapPoints) -> None:
            page.clear()
            self._show(drawn.points)
            number = count_of(len(drawn.points.points), "point")
            self._say("; ".join([f"{number} drawn", *sample_notes(drawn.points, total, least)]) + ".")

        self._begin(work, done, "Drawing points…", self.jobs)

    def _store(self) -> str:
        """Return the path of the segmentation whose points are shown."""
        assert self._mask is not None  # else the buttons are disabled
        return str(self._mask.metadata[STORE_KEY])

    # ---- checking

    def check(self) -> None:
        """Begin to check points, once it is sure that the map is still theirs."""
        if self._mask is None or self.checking:
            return
        store = self._store()

        def work(progress: Progress) -> MapPoints:
            with _advice():
                opened = MapPoints.open(store)
                opened.require_map(progress)
                return opened

        self._begin(work, self._start, "Looking whether the map is still that of the points…", self.jobs)

    def _start(self, opened: MapPoints) -> None:
        """Hide the map, and go to the first point that is not checked."""
        before_after(self._viewer).stop()  # it would show the map again when it ends
        self._say("")
        self._selected = set(self._viewer.layers.selection)
        self._opened, self._points = opened, opened.points
        self._at = -1
        self.checking_changed.emit(True)
        self._hidden.set_hidden(True)
        self._viewer.layers.events.inserted.connect(self._inserted)
        self._page.show_checking(True)
        self.step(1)

    def _inserted(self, event: Any) -> None:
        """Hide a map that comes while points are checked."""
        if event.value is not self._marker.layer:
            self._hidden.hide_too(event.value)

    def stop(self) -> None:
        """End the checking, and show the map again. What is answered is on disk."""
        if self._opened is None:
            return
        self._opened = self._keyed = None
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._marker.hide()
        self._viewer.layers.selection = {layer for layer in self._selected if layer in self._viewer.layers}
        self._selected = set()
        self._hidden.set_hidden(False)
        self._page.show_checking(False)
        self._show(self._points)
        self.checking_changed.emit(False)

    def step(self, by: int) -> None:
        """Go to the next point that is not checked, after the last from the first on, or to the point before.

        Parameters
        ----------
        by : int
            1 for the next, -1 for the one before.
        """
        if self._points is None or not self.checking:
            return
        if by < 0:
            self._go(max(0, self._at - 1))
            return
        number = len(self._points.points)
        order = [(self._at + k) % number for k in range(1, number + 1)]
        self._go(next((k for k in order if self._points.points[k].true is None), max(0, self._at)))

    def answer(self, label: int) -> None:
        """Write the class of the point, and go to the next one.

        Parameters
        ----------
        label : int
            k + 1 for class k, 255 for a point whose class is left open.
        """
        opened, points = self._opened, self._points
        if opened is None or points is None:
            return
        point = points.points[self._at]
        true = None if label == NOT_SURE else opened.source.class_table.names[label - 1]
        with reported(self), _advice():
            self._points = set_classes(opened.path, points, {point.id: true}, session().painter)
            self._page.clear()  # the figures were those of fewer points
            self.step(1)

    def _go(self, at: int) -> None:
        """Fly to a point, mark it, and show it on the page. The zoom stays as the user chose it."""
        opened, points, mask = self._opened, self._points, self._mask
        if opened is None or points is None or mask is None or mask not in self._viewer.layers:
            return
        first, self._at = self._at < 0, at
        y, x = points.points[at].y, points.points[at].x
        camera = self._viewer.scene.camera
        zoom = camera.zoom
        fly_to(self._viewer, mask, (y - SURROUNDINGS, x - SURROUNDINGS, y + SURROUNDINGS + 1, x + SURROUNDINGS + 1))
        if not first:
            camera.zoom = zoom
        self._marker.show(mask, (y, x, y + 1, x + 1))
        self._take_keys()
        self._page.show_point(points, at, opened.source.class_table)

    def _take_keys(self) -> None:
        """Make the marker the active layer, whose keys come before those of napari.

        An active mask would say in the status bar which class it has under the cursor.
        """
        marker = self._marker.layer
        assert marker is not None
        if marker is not self._keyed:
            self._keyed = marker
            bind_keys(marker, self._page.digits(), self._viewer)
        self._viewer.layers.selection.active = marker

    # ---- what follows

    def _estimate(self) -> None:
        """Estimate areas and accuracies in a thread."""
        store = self._store()

        def work(progress: Progress) -> tuple[MapPoints, tuple[PointEstimate, float | None]]:
            with _advice():
                opened = MapPoints.open(store)
                return opened, opened.estimate(progress)

        def done(result: tuple[MapPoints, tuple[PointEstimate, float | None]]) -> None:
            opened, found = result
            self._show(opened.points)
            self._page.show_estimate(*found)
            self._say("")

        self._begin(work, done, "Estimating areas…", self.jobs)

    def leave(self, *, layers: bool) -> None:
        """End all when the dock or the window is gone.

        Parameters
        ----------
        layers : bool
            If True, the viewer stays open, and the marker is removed from it.
        """
        self._reading.drop()
        self.jobs.drop()
        if layers:
            self.stop()


@contextmanager
def _advice() -> Iterator[None]:
    """Advise a button of the page instead of a command."""
    try:
        yield
    except PointsError as error:
        raise InputError(f"{error.what}; press Draw points.") from None
