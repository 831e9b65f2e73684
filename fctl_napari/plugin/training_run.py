"""One fine-tuning run in the window: the worker's news come in on its thread, and are told on ours."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.learning.finetune_run import FinetuneEvent, FinetuneRun, start_finetune

if TYPE_CHECKING:
    from fctl_napari.learning.finetune_config import FinetuneRequest
    from fctl_napari.segmentation.jobs import Engine

TELL_MS = 100
"""How often it is looked for news."""

FINAL = ("done", "cancelled", "failed")


class TrainingRun(QObject):
    """Carries a request out in the worker.

    Signals (on the main thread)
    ----------------------------
    told : object
        Each ``FinetuneEvent``.
    ended : object
        The last one, once more.
    """

    told = Signal(object)
    ended = Signal(object)

    def __init__(self, engine: Engine, request: FinetuneRequest, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.request = request
        self._news: deque[FinetuneEvent] = deque()
        self._timer = QTimer(self)
        self._timer.setInterval(TELL_MS)
        self._timer.timeout.connect(self._tell)
        self._run: FinetuneRun = start_finetune(engine, request, self._news.append)
        self._timer.start()

    def pause(self) -> None:
        """Train no more until :meth:`go_on`."""
        self._run.pause()

    def go_on(self) -> None:
        """Train on."""
        self._run.go_on()

    def cancel(self) -> None:
        """Stop within a second; what was learnt is saved, and the same request goes on. ``ended`` follows."""
        self._run.cancel()

    def abandon(self) -> None:
        """Cancel, and tell nothing any more: the window or the dock is gone."""
        self._timer.stop()
        self._run.cancel()

    def _tell(self) -> None:
        while self._news:
            event = self._news.popleft()
            self.told.emit(event)
            if event.state in FINAL:
                self._timer.stop()
                self.ended.emit(event)
                return
