"""Feed of explanations from the worker, one at a time.

While one is under way only the newest request waits.
"""

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
    """Feed that takes requests and emits explanations on the main thread.

    Parameters
    ----------
    parent : QObject or None, optional
        Qt parent.

    Attributes
    ----------
    explained : Signal(object)
        An explanation is there: a ``TileExplanation``.
    failed : Signal(object)
        An explanation failed: the exception.
    idle : Signal()
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
        """True if an explanation is under way."""
        return self._future is not None

    def ask(self, request: ExplainRequest) -> None:
        """Request an explanation.

        It replaces one that waits.

        Parameters
        ----------
        request : ExplainRequest
            The request.
        """
        if self._future is not None:
            self._next = request
            return
        self._future = session().engine().explain(request)
        self._future.add_done_callback(lambda future: post(partial(self._take, future)))

    def forget(self) -> None:
        """Cancel the pending requests. No signal is emitted for them."""
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
        except (Exception, CancelledError) as error:  # reported on the main thread, a bug with its traceback
            self.failed.emit(error)
        else:
            self.explained.emit(result)
        if not self.busy:
            self.idle.emit()
