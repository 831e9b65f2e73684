"""Opening of an image's corrections for the tab Correct, in a thread.

The image is written to disk first if need be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from fctl_napari.api.locations import cache_folder
from fctl_napari.correcting.class_edit import EditedTable, apply_edit
from fctl_napari.correcting.correction_store import half_made
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.model.classes import ClassTable
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.on_disk import OnDisk
from fctl_napari.plugin.layers.segmentation_layers import StoredLevels
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.result_paths import named_path, own_corrections
from fctl_napari.segmentation.store.store import Segmentation


class Opening(QObject):
    """Opening of corrections, of which only the last request counts.

    Parameters
    ----------
    classes : callable
        Function that returns the classes of new corrections: those of a checkpoint, or the location of the segmentation
        that has them.
    parent : QObject
        Qt's parent.

    Attributes
    ----------
    waiting : Signal(str)
        Something is waited for; carries its description.
    opened : Signal(object)
        The request has ended; carries the ``Opened``, or None if there are no corrections and none were to be made.
    failed : Signal(object, bool)
        The request has failed; carries the exception (None if it was reported already), and True if the user had asked
        for the corrections.
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
        self._own: EditedTable | None = None

    @property
    def busy(self) -> bool:
        """True while something is being opened."""
        return self._job is not None or self._file is not None

    @property
    def makes(self) -> bool:
        """True while the image is being written to disk, so that its corrections can be made."""
        return self._file is not None

    def look(self, source: ImageSource) -> None:
        """Open the corrections of an image if there are some.

        Parameters
        ----------
        source : ImageSource
            The image.
        """
        self._apart, self._own = False, None
        self._open(source, create=False)

    def make(self, image: Image, *, apart: bool = False, own: EditedTable | None = None) -> None:
        """Open the corrections of an image, or make them.

        Parameters
        ----------
        image : Image
            The image layer.
        apart : bool, optional
            If True, leave alone the corrections at the usual location, which are of another image, and use another
            location.
        own : EditedTable or None, optional
            Classes that the user made. None takes those that are chosen, or with ``apart`` those of the request that
            was refused.
        """
        self._apart, self._own = apart, self._own if apart and own is None else own
        self._file = OnDisk(image, "painting", self)
        self._file.waiting.connect(self.waiting)
        self._file.ready.connect(self._file_ready)
        self._file.failed.connect(self._no_file)
        self._file.start()

    def cancel(self) -> None:
        """Cancel the request.

        No signal is emitted for it.
        """
        if self._file is not None:
            self._file.cancel()
            self._file = None
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _file_ready(self, source: ImageSource) -> None:
        """Open the corrections of an image that is on disk now."""
        self._file = None
        self._open(source, create=True)

    def _no_file(self, error: BaseException | None) -> None:
        """Report that the image could not be written to disk."""
        self._file = None
        self.failed.emit(error, True)

    def _open(self, source: ImageSource, *, create: bool) -> None:
        """Begin a job that opens corrections, in place of the one that is running."""
        table, store = self._classes()
        apart, own = self._apart, self._own

        def work(progress: Progress) -> Opened | None:
            return open_corrections(source, table, store, progress, create=create, apart=apart, own=own)

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


@dataclass(frozen=True, eq=False)
class Opened:
    """Corrections that are open for writing, and the levels that show them.

    Attributes
    ----------
    corrections : Corrections
        The corrections.
    levels : StoredLevels
        Their levels.
    """

    corrections: Corrections
    levels: StoredLevels


def open_corrections(
    source: ImageSource,
    table: ClassTable | None,
    store: str | None,
    progress: Progress,
    *,
    create: bool,
    apart: bool = False,
    own: EditedTable | None = None,
) -> Opened | None:
    """Open the corrections of an image at their usual location (in a thread: this reads files).

    They keep their classes. Only where nothing was ever painted and the classes are not the user's own, or where they
    are to be made, others are used.

    Parameters
    ----------
    source : ImageSource
        The image.
    table : ClassTable or None
        Classes to paint, unless there is a ``store``.
    store : str or None
        Location of the segmentation whose classes are painted.
    progress : Progress
        Called once at the end. It raises ``Cancelled`` if the corrections are no longer needed.
    create : bool
        If True, make corrections if there are none, and add classes that they lack. If False, the result is None where
        there are none.
    apart : bool, optional
        If True, leave alone the corrections at the usual location, which are of another image, and use a location that
        is named after this image's pixels.
    own : EditedTable or None, optional
        Classes that the user made, which take the place of all others.

    Returns
    -------
    Opened or None
        The corrections and their levels. None if there are none, and none were to be made.

    Raises
    ------
    OtherImageError
        Those at the usual location were painted on another image.
    InputError
        They are to be made, and no classes are known.
    OutputError
        They are open for writing elsewhere, or the location is not writable.
    Cancelled
        ``progress`` raised it.
    """
    image = source.open()
    usual = corrections_path(source.original, cache_folder)
    path = named_path(usual, image) if apart else own_corrections(usual, image)
    if not create and not path.exists():
        return None
    table = chosen_classes(table, store) if own is None else own.table
    if create or half_made(path):
        if table is None:
            raise InputError("the classes are not known; choose a segmentation or a checkpoint.")
        corrections = Corrections.open_or_create(path, image, table)
    else:
        corrections = Corrections.open(path, "r+", image=image)
    try:
        if own is not None:
            apply_edit(corrections, own)
        elif table is not None and corrections.blank and not corrections.own_classes:
            corrections.add_classes(table)
        levels = StoredLevels(corrections.labels)
        progress(0, 0)
    except BaseException:
        corrections.close()
        raise
    return Opened(corrections, levels)


def chosen_classes(table: ClassTable | None, store: str | None) -> ClassTable | None:
    """Return the classes of a segmentation, or else those of a table.

    Parameters
    ----------
    table : ClassTable or None
        Classes that are returned without a ``store``.
    store : str or None
        Location of the segmentation (this reads files).

    Returns
    -------
    ClassTable or None
        The classes. None if they are not known.
    """
    return table if store is None else Segmentation.open(store).class_table
