"""One fine-tuning run in the window: strokes and image go to disk, then the worker learns, and its news are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.errors import FctlError
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.run import FinetuneEvent, FinetuneRun, start_finetune
from fctl_napari.finetuning.unfinished import remember
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.correct.widget import CorrectWidget
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.progress import Progress

FINAL = ("done", "cancelled", "failed")

Make = Callable[[ImageSource], FinetuneRequest]


class FinetuneRunner(QObject):
    """Carries out what is to be learnt; it is told of from :meth:`start` to ``ended``.

    Parameters
    ----------
    image
        The layer that was corrected.
    painters
        Widgets whose strokes have to be on disk first.
    make
        Makes the request, in a thread, once the image has a file.

    Signals (on the main thread)
    ----------------------------
    waiting : str
        What it waits for.
    begun
        The worker has it now.
    progressed : object
        Each ``FinetuneEvent`` of the worker.
    ended : object
        The last one; also of a run that never began.
    """

    waiting = Signal(str)
    begun = Signal()
    progressed = Signal(object)
    ended = Signal(object)

    def __init__(
        self, image: Image, painters: Sequence[CorrectWidget], make: Make, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._image = image
        self._painters = list(painters)
        self._make = make
        self._file: OnDisk | None = None
        self._asking = Jobs(self)
        self._run: FinetuneRun | None = None
        self._over = False
        open_bridge()
        self.request: FinetuneRequest | None = None
        """What is asked, once it is known."""

    def start(self) -> None:
        """Begin; returns at once."""
        self.waiting.emit("Waiting for strokes to be on disk…")
        left = [*self._painters]

        def settled() -> None:
            if left:
                left.pop()
            if not left and not self._over and self._file is None:
                self._find_file()

        for painter in self._painters:
            painter.settle(settled)
        if not self._painters:
            settled()

    def _find_file(self) -> None:
        self._file = OnDisk(self._image, "fine-tuning", self)
        self._file.waiting.connect(self.waiting)
        self._file.failed.connect(lambda error: self._end(FinetuneEvent("failed", error=error)))
        self._file.ready.connect(self._file_ready)
        self._file.start()

    def _file_ready(self, source: ImageSource) -> None:
        def work(_progress: Progress) -> FinetuneRequest:
            import matplotlib.figure  # noqa: F401 - of the plot; slow, so not on the window's thread

            request = self._make(source)
            remember(request)
            return request

        self._asking.begin(work, self._begin, lambda error: self._end(FinetuneEvent("failed", error=error)))

    def _begin(self, request: FinetuneRequest) -> None:
        self.request = request
        self.waiting.emit("Starting the worker…")
        try:
            self._run = start_finetune(session().engine(), request, lambda event: post(partial(self._take, event)))
        except FctlError as error:
            self._end(FinetuneEvent("failed", error=error))
            return
        self.begun.emit()

    def pause(self) -> None:
        """Learn no more until :meth:`resume`."""
        if self._run is not None:
            self._run.pause()

    def resume(self) -> None:
        """Learn on."""
        if self._run is not None:
            self._run.resume()

    def cancel(self) -> None:
        """Stop within a second; what was learnt is saved, and the same request goes on. ``ended`` follows."""
        if self._run is not None:
            self._run.cancel()
        else:
            self._stop_waiting()
            self._end(FinetuneEvent("cancelled"))

    def abandon(self) -> None:
        """Cancel, and tell nothing any more: the window or the dock is gone."""
        self._over = True
        self._stop_waiting()
        if self._run is not None:
            self._run.cancel()

    def _stop_waiting(self) -> None:
        if self._file is not None:
            self._file.cancel()
        self._asking.drop()

    def _take(self, event: FinetuneEvent) -> None:
        if self._over:
            return
        self.progressed.emit(event)
        if event.state in FINAL:
            self._end(event)

    def _end(self, event: FinetuneEvent) -> None:
        if not self._over:
            self._over = True
            self.ended.emit(event)
