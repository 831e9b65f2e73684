"""Feed of explanations from the worker, one at a time.

While one is under way only the newest request waits.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.plugin.common.session import session

if TYPE_CHECKING:
    from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation

LOOK_MS = 5
"""Interval at which a future is checked, ms: it ends on a thread of the engine's, and may outlive the window."""


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
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)

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
        self._timer.start()

    def forget(self) -> None:
        """Cancel the pending requests.

        No signal is emitted for them.
        """
        self._timer.stop()
        if self._future is not None:
            self._future.cancel()
        self._future = self._next = None

    def _look(self) -> None:
        """Emit the result of the request if it has ended."""
        future = self._future
        if future is None or not future.done():
            return
        self._timer.stop()
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
