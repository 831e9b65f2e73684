"""Files beside the chosen image: looked at in a thread, and their corrections followed."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer, Signal

from fctl_napari.correcting.correction_store import corrections_state
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.finetune.choices import Beside, look_beside
from fctl_napari.plugin.layers.choosers import ImageCombo
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import known_source
from fctl_napari.progress import Progress

LOOK_MS = 1000
"""Interval of checks for new strokes, ms. A check takes 0.1 ms."""


class BesideImage(QObject):
    """The files beside the image that is chosen.

    Parameters
    ----------
    image : ImageCombo
        Field of the image.
    training : callable
        Function that returns True while a run is under way, during which strokes are not reported.
    parent : QObject
        Qt's parent.

    Attributes
    ----------
    seen : Signal(object)
        The files are known; carries the ``Beside``, or None if the image has no file or there is none.
    failed : Signal(object)
        The files cannot be read; carries the exception.
    corrections_changed : Signal()
        Corrections have changed on disk, here or elsewhere, since the files were looked at.
    """

    seen = Signal(object)
    failed = Signal(object)
    corrections_changed = Signal()

    def __init__(self, image: ImageCombo, training: Callable[[], bool], parent: QObject) -> None:
        super().__init__(parent)
        self._image, self._training = image, training
        self._jobs = Jobs(self)
        self._files: Beside | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look_for_strokes)
        self._timer.start()

    @property
    def files(self) -> Beside | None:
        """The files. None while they are not known."""
        return self._files

    @property
    def source(self) -> ImageSource | None:
        """Source of the image that is chosen."""
        image = self._image.layer
        return None if image is None else known_source(image)

    @property
    def running(self) -> bool:
        """True while the files are looked at."""
        return self._jobs.running

    def look(self, checkpoint: str | None) -> None:
        """Find the files beside the image, and read the parent.

        Parameters
        ----------
        checkpoint : str or None
            The parent: a built-in name or a file. None if there is none.
        """
        self._files = None
        source = self.source
        if source is None:
            self._jobs.drop()
            self._show(None)
            return

        def work(_progress: Progress) -> Beside:
            return look_beside(source, checkpoint)

        self._jobs.begin(work, self._show, self.failed.emit)

    def leave(self) -> None:
        """Look at nothing any more."""
        self._timer.stop()
        self._jobs.drop()

    def _show(self, files: Beside | None) -> None:
        """Keep and emit the files."""
        self._files = files
        self.seen.emit(files)

    def _look_for_strokes(self) -> None:
        """Emit ``corrections_changed`` if corrections have changed."""
        files, idle = self._files, not (self._training() or self.running)
        if files is not None and idle and corrections_state(files.corrections) != files.corrections_state:
            self.corrections_changed.emit()
