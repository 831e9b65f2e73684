"""Opens the corrections of an image for the Correct widget, in a thread; the image is put on disk first if need be."""

from __future__ import annotations

from collections.abc import Callable

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.correct.choices import Opened, open_corrections
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.progress import Progress


class Opening(QObject):
    """Opens one after the other; only the last that was asked for is heard of.

    Parameters
    ----------
    classes
        Tells the classes of new corrections: of a checkpoint, or where the segmentation is kept that has them.

    Signals
    -------
    waiting : str
        What it waits for.
    opened : object
        The ``Opened``; None: there are none, and none were to be made.
    failed : object, bool
        The exception (None: it was told of already), and whether the user had asked for them.
    """

    waiting = Signal(str)
    opened = Signal(object)
    failed = Signal(object, bool)

    def __init__(self, classes: Callable[[], tuple[ClassTable | None, str | None]], parent: QObject) -> None:
        super().__init__(parent)
        self._classes = classes
        self._file: OnDisk | None = None
        self._job: Job | None = None
        self._apart = False

    @property
    def busy(self) -> bool:
        """Whether something is being opened."""
        return self._job is not None or self._file is not None

    @property
    def makes(self) -> bool:
        """Whether the image is being put on disk, so that its corrections can be made."""
        return self._file is not None

    def look(self, source: ImageSource) -> None:
        """Open the corrections of an image if there are some."""
        self._apart = False
        self._open(source, create=False)

    def make(self, image: Image, *, apart: bool = False) -> None:
        """Open the corrections of an image, or make them; ``apart`` from those of another image at its usual place."""
        self._apart = apart
        self._file = OnDisk(image, "painting", self)
        self._file.waiting.connect(self.waiting)
        self._file.ready.connect(self._file_ready)
        self._file.failed.connect(self._no_file)
        self._file.start()

    def cancel(self) -> None:
        """Open nothing any more; nothing is told."""
        if self._file is not None:
            self._file.cancel()
            self._file = None
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _file_ready(self, source: ImageSource) -> None:
        self._file = None
        self._open(source, create=True)

    def _no_file(self, error: BaseException | None) -> None:
        self._file = None
        self.failed.emit(error, True)

    def _open(self, source: ImageSource, *, create: bool) -> None:
        table, store = self._classes()
        apart = self._apart

        def work(progress: Progress) -> Opened | None:
            return open_corrections(source, table, store, progress, create=create, apart=apart)

        if self._job is not None:
            self._job.cancel()
        job = self._job = Job(work, label="corrections")

        def opened(result: Opened | None) -> None:
            if self._job is job:
                self._job = None
                self.opened.emit(result)
            elif result is not None:
                result.corrections.close()

        def failed(error: BaseException) -> None:
            if self._job is job:
                self._job = None
                self.failed.emit(error, create)

        job.finished.connect(opened)
        job.failed.connect(failed)
        job.start()
