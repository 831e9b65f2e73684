"""Live run of a notebook's viewer: the tiles in view are computed first, and the map grows while one looks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fctl_napari.api.running import give_way, make_way, shared_engine
from fctl_napari.exceptions import OutputError
from fctl_napari.notebook.viewed_map import ViewedMap
from fctl_napari.segmentation.jobs.engine import Run, RunProgress, SegmentationRequest
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

STOP_SECONDS = 5.0
"""Longest time to wait for the end of a run that is stopped, s."""


class Live:
    """Live run of a map's network.

    Parameters
    ----------
    viewed : ViewedMap
        The map, which grows.
    grown : callable
        Called without arguments, on a thread of the run, when tiles have been added.
    failed : callable
        Called with the error of a run that failed, or that gave way to another one of the same map.
    """

    def __init__(self, viewed: ViewedMap, grown: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        self._viewed, self._grown, self._failed = viewed, grown, failed
        self._path = viewed.map.path.absolute()
        self._run: Run | None = None
        self._done = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._run is not None

    def start(self, view: IntWindow | None) -> None:
        """Begin to compute what is in view. Another viewer that computes the same map gives way.

        Parameters
        ----------
        view : tuple of 4 int or None
            (y0, x0, y1, x1) px in view.

        Raises
        ------
        FctlError
            The network or the image is not at hand.
        """
        Segmentation.open(self._path)  # a map that is gone is not begun anew
        request = SegmentationRequest(out=str(self._path), live=True, **self._viewed.settings())
        if not self.running:
            make_way(self._path)
        with self._lock:
            if self._run is None:
                self._done = 0
                self._run = shared_engine().start(request, self._report)
                self._run.look(view)
        give_way(self._path, self._give_way)

    def _give_way(self) -> None:
        """Stop for another run of the same map."""
        self.stop()
        self._failed(OutputError(f"{self._path}: another run computes it; make this viewer live again after that."))

    def look(self, view: IntWindow | None) -> None:
        """Compute what is in view now. Tiles that left it before they were begun are dropped.

        Parameters
        ----------
        view : tuple of 4 int or None
            (y0, x0, y1, x1) px in view.
        """
        with self._lock:
            if self._run is not None:
                self._run.look(view)

    def stop(self) -> None:
        """End the run. What is computed is kept."""
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            give_way(self._path, None)
            run.cancel()
            run.wait(STOP_SECONDS)

    def _report(self, event: RunProgress) -> None:
        """Report tiles that were added, and a failure."""
        if event.done != self._done:
            self._done = event.done
            self._grown()
        if event.state == "failed" and event.error is not None:
            self._run = None
            self._failed(event.error)
