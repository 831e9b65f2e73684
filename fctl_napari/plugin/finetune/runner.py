"""One fine-tuning run in the window: strokes and image are written to disk, then the worker trains and reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.exceptions import Cancelled, FctlError
from fctl_napari.finetuning.request import FinetuneRequest
from fctl_napari.finetuning.run import FinetuneEvent, FinetuneRun, start_finetune
from fctl_napari.finetuning.unfinished import remember
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.progress import Progress

FINAL = ("done", "cancelled", "failed")

Make = Callable[[ImageSource], FinetuneRequest]


class FinetuneRunner(QObject):
    """One fine-tuning run, from :meth:`start` to ``ended``.

    All signals are emitted on the main thread.

    Parameters
    ----------
    image : Image
        Layer of the image that was corrected.
    flush_strokes : callable
        Function ``flush_strokes(then)`` that calls ``then`` when all strokes are on disk.
    make : Make
        Function that makes the request from the image's source, in a thread, once the image has a file.
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    request : FinetuneRequest or None
        The request, once it is known.
    waiting : Signal(str)
        Something is waited for; carries its description.
    begun : Signal()
        The worker has received the request.
    progressed : Signal(object)
        The worker has reported; carries the ``FinetuneEvent``.
    ended : Signal(object)
        The run has ended, even if it never began; carries the last ``FinetuneEvent``.
    """

    waiting = Signal(str)
    begun = Signal()
    progressed = Signal(object)
    ended = Signal(object)

    def __init__(
        self,
        image: Image,
        flush_strokes: Callable[[Callable[[], object]], None],
        make: Make,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._image = image
        self._flush_strokes = flush_strokes
        self._make = make
        self._file: OnDisk | None = None
        self._preparing = Jobs(self)
        self._run: FinetuneRun | None = None
        self._over = self._cancelled = False
        open_bridge()
        self.request: FinetuneRequest | None = None
        """The request, once it is known."""

    def start(self) -> None:
        """Begin the run and return at once."""
        self.waiting.emit("Waiting for strokes to be on disk…")
        self._flush_strokes(self._find_file)

    def _find_file(self) -> None:
        """Write the image to disk if it has no file."""
        if self._over or self._file is not None:
            return
        self._file = OnDisk(self._image, "fine-tuning", self, whole=True)
        self._file.waiting.connect(self.waiting)
        self._file.failed.connect(lambda error: self._end(FinetuneEvent("failed", error=error)))
        self._file.ready.connect(self._file_ready)
        self._file.start()

    def _file_ready(self, source: ImageSource) -> None:
        """Make the request, in a thread."""

        def work(progress: Progress) -> FinetuneRequest:
            import matplotlib.figure  # noqa: F401 - of the plot; slow, so not on the window's thread

            request = self._make(source)
            progress(0, 0)
            remember(request)
            return request

        def failed(error: BaseException) -> None:
            cancelled = isinstance(error, Cancelled)
            self._end(FinetuneEvent("cancelled") if cancelled else FinetuneEvent("failed", error=error))

        self._preparing.begin(work, self._begin, failed)

    def _begin(self, request: FinetuneRequest) -> None:
        """Give the request to the worker, unless the run was cancelled while the request was written."""
        self.request = request
        if self._cancelled:
            self._end(FinetuneEvent("cancelled"))
            return
        self.waiting.emit("Starting the worker…")
        try:
            self._run = start_finetune(session().engine(), request, lambda event: post(partial(self._take, event)))
        except FctlError as error:
            self._end(FinetuneEvent("failed", error=error))
            return
        self.begun.emit()

    def pause(self) -> None:
        """Pause training until :meth:`resume`."""
        if self._run is not None:
            self._run.pause()

    def resume(self) -> None:
        """Resume training."""
        if self._run is not None:
            self._run.resume()

    def cancel(self) -> None:
        """Stop within a second.

        The state of training is saved, and the same request resumes from it. ``ended`` follows.
        """
        self._cancelled = True
        if self._run is not None:
            self._run.cancel()
        elif self._preparing.running:  # it may be writing the request, for which those look who hear of the end
            self._preparing.cancel()
        else:
            self._stop_waiting()
            self._end(FinetuneEvent("cancelled"))

    def abandon(self) -> None:
        """Cancel the run because the window or the dock is gone.

        No signal is emitted any more.
        """
        self._over = True
        self._stop_waiting()
        if self._run is not None:
            self._run.cancel()

    def _stop_waiting(self) -> None:
        """Stop what the run waits for."""
        if self._file is not None:
            self._file.cancel()
        self._preparing.drop()

    def _take(self, event: FinetuneEvent) -> None:
        """Emit an event of the worker."""
        if self._over:
            return
        self.progressed.emit(event)
        if event.state in FINAL:
            self._end(event)

    def _end(self, event: FinetuneEvent) -> None:
        """Emit ``ended``, once."""
        if not self._over:
            self._over = True
            self.ended.emit(event)
