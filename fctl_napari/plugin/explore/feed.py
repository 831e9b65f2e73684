"""Asks the worker for explanations, one at a time; while one is under way only the newest wish waits."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.plugin.common.session import session

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation


class ExplainFeed(QObject):
    """Takes requests and hands out explanations on the main thread.

    Signals
    -------
    explained : object
        A ``TileExplanation``.
    failed : object
        The exception of one that could not be had.
    idle
        Nothing is under way any more.
    """

    explained = Signal(object)
    failed = Signal(object)
    idle = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._future: Future[TileExplanation] | None = None
        self._next: ExplainRequest | None = None
        open_bridge()

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self._future is not None

    def ask(self, request: ExplainRequest) -> None:
        """Ask for an explanation; it takes the place of one that waits."""
        if self._future is not None:
            self._next = request
            return
        self._future = session().engine().explain(request)
        self._future.add_done_callback(lambda future: post(partial(self._take, future)))

    def forget(self) -> None:
        """Want nothing any more: no signal follows."""
        future, self._future, self._next = self._future, None, None
        if future is not None:
            future.cancel()

    def _take(self, future: Future[TileExplanation]) -> None:
        if future is not self._future:
            return  # nobody wants it any more
        self._future = None
        following, self._next = self._next, None
        if following is not None:
            self.ask(following)  # the worker need not wait while the layers are drawn
        try:
            result = future.result()
        except (Exception, CancelledError) as error:  # told on the main thread, a bug with its traceback
            self.failed.emit(error)
        else:
            self.explained.emit(result)
        if not self.busy:
            self.idle.emit()
