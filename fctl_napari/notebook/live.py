"""Live run of a notebook's viewer: the tiles in view are computed first, and the map grows while one looks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fctl_napari.api.maps import Map
from fctl_napari.api.running import shared_engine
from fctl_napari.segmentation.jobs.engine import Run, RunProgress, SegmentationRequest
from fctl_napari.segmentation.jobs.refining import image_of
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow


class Live:
    """Live run of a map's network.

    Parameters
    ----------
    source : Map
        The map, which grows.
    grown : callable
        Called without arguments, on a thread of the run, when tiles have been added.
    failed : callable
        Called with the error of a run that failed.
    """

    def __init__(self, source: Map, grown: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        self._map, self._grown, self._failed = source, grown, failed
        self._run: Run | None = None
        self._done = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._run is not None

    def start(self, view: IntWindow | None) -> None:
        """Begin to compute what is in view.

        Parameters
        ----------
        view : tuple of 4 int or None
            (y0, x0, y1, x1) px in view.

        Raises
        ------
        FctlError
            The network or the image is not at hand.
        """
        store = self._map.prediction.source
        assert isinstance(store, Segmentation)
        image, value_range, bands = image_of(store)
        request = SegmentationRequest(
            image=image,
            out=str(self._map.path.absolute()),
            checkpoint=str(self._map.network().path.absolute()),
            overlap=store.facts["grid"].get("overlap"),
            exact_contexts=bool(store.settings.get("exact_contexts")),
            value_range=value_range,
            bands=bands,
            live=True,
        )
        with self._lock:
            if self._run is None:
                self._done = 0
                self._run = shared_engine().start(request, self._report)
                self._run.look(view)

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
            run.cancel()
            run.wait(5)

    def _report(self, event: RunProgress) -> None:
        """Report tiles that were added, and a failure."""
        if event.done != self._done:
            self._done = event.done
            self._grown()
        if event.state == "failed" and event.error is not None:
            self._run = None
            self._failed(event.error)
