"""The list of images of a folder: their states, the next and the previous one, and one job over all."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import QFileDialog

from fctl_napari.api.locations import cache_folder
from fctl_napari.datasets.done_marks import FILE, DoneMarks
from fctl_napari.datasets.image_list import list_images
from fctl_napari.exceptions import Cancelled, FctlError, InputError
from fctl_napari.imagery.naming import digest, writable
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.plugin.common.background import Jobs
from fctl_napari.plugin.common.base_widget import DockedWidget
from fctl_napari.plugin.common.bridge import post
from fctl_napari.plugin.common.drops import dropped_folder
from fctl_napari.plugin.common.keys import bind_keys
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.progress_text import describe
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.images.form import KEYS, ImagesForm
from fctl_napari.plugin.images.image_layers import layers_of, open_layers
from fctl_napari.plugin.images.list_run import ListJob, ListRun
from fctl_napari.plugin.images.states import ImageState, read_state
from fctl_napari.plugin.images.table import ImageRow
from fctl_napari.plugin.layers.header import Header
from fctl_napari.plugin.layers.image_source import image_source
from fctl_napari.plugin.layers.removal import remove_layers
from fctl_napari.progress import Progress
from fctl_napari.segmentation.jobs.engine import RunProgress
from fctl_napari.words import count_of

NAME = "FCtL images"
"""Name of the list in napari's window."""

LOOK_MS = 1000
"""Interval of checks for new strokes and marks of the image that is open, ms. A check takes 0.1 ms."""


class ImagesWidget(DockedWidget):
    """List of the images of a folder, of which one is open at a time.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that it is docked in.
    header : Header
        Fields for image, checkpoint and device, which the tabs share.

    Attributes
    ----------
    segmented : Signal()
        The job has segmented the image that is open.
    """

    segmented = Signal()

    def __init__(self, napari_viewer: napari.Viewer, header: Header) -> None:
        super().__init__(napari_viewer)
        self._header = header
        self._folder: Path | None = None
        self._marks: DoneMarks | None = None
        self._at: int | None = None  # the row that was open last
        self._wanted: int | None = None  # the row that is opened once strokes are on disk
        self._listing, self._reading = Jobs(self), Jobs(self)
        self._unread: list[int] = []
        self._stamp: tuple[object, ...] = ()
        self._run = ListRun(self)
        self.form = ImagesForm()
        self._fill(self.form)
        self.setAcceptDrops(True)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look_for_changes)
        self._connect()
        self._unbind = bind_keys(napari_viewer, self._actions())

    def _connect(self) -> None:
        """Connect the fields to their actions."""
        form, header, run = self.form, self._header, self._run
        form.open.clicked.connect(self._ask)
        form.next.clicked.connect(lambda: self.step(1))
        form.previous.clicked.connect(lambda: self.step(-1))
        form.done.clicked.connect(self.toggle_done)
        form.all.clicked.connect(self.segment_all)
        form.stop.clicked.connect(self.stop)
        form.view.clicked.connect(lambda index: self.go(index.row()))
        form.view.activated.connect(lambda index: self.go(index.row()))
        header.image.currentIndexChanged.connect(self._image_changed)
        header.checkpoint.currentIndexChanged.connect(self._checkpoint_changed)
        run.progressed.connect(self._show_progress)
        run.image_ended.connect(self._image_ended)
        run.ended.connect(self._run_ended)
        for key, act in self._actions().items():
            sequence = key.replace("PageDown", "PgDown").replace("PageUp", "PgUp").replace("-", "+")
            shortcut = QShortcut(QKeySequence(sequence), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _actions(self) -> dict[str, Callable[[], None]]:
        """Return the actions of the keys."""
        form = self.form
        return {KEYS["next"]: form.next.click, KEYS["previous"]: form.previous.click, KEYS["done"]: form.done.click}

    # ---- the list

    @property
    def rows(self) -> list[ImageRow]:
        """The images."""
        return self.form.table.rows

    @property
    def at(self) -> int | None:
        """Index of the image that is open, or was open last. None if there is none."""
        return self._at

    @property
    def busy(self) -> bool:
        """True while files are read, or an image waits for strokes to be on disk."""
        return self._listing.running or self._reading.running or self._wanted is not None

    @property
    def running(self) -> bool:
        """True while the images are being segmented."""
        return self._run.running

    def listed_images(self) -> tuple[str, ...]:
        """Return the paths of the images."""
        return tuple(row.location for row in self.rows)

    def _ask(self) -> None:
        """Ask for a folder."""
        path = QFileDialog.getExistingDirectory(self, "Open a folder of images", str(self._folder or ""))
        if path:
            self.open_folder(path)

    def open_folder(self, folder: str | Path) -> None:
        """List the images of a folder, and open the first one if no image is open.

        Parameters
        ----------
        folder : str or Path
            The folder.
        """
        with reported(self):
            if self.running:
                raise InputError("the images of this list are being segmented; wait for that, or press Stop.")
            folder = Path(folder).absolute()
            self.form.say(f"Looking for images in {folder.name}…")

            def work(_progress: Progress) -> tuple[Path, list[ImageRow], DoneMarks]:
                images = list_images([str(folder)]).images
                marks = DoneMarks(_marks_path(folder), folder)
                return folder, [ImageRow(one, os.path.relpath(one, folder), one in marks) for one in images], marks

            self._listing.begin(work, lambda found: self._listed(*found), self._not_listed)

    def _not_listed(self, error: BaseException) -> None:
        """Report why the folder cannot be listed. The list before stays."""
        self._count()
        report(error, self)

    def _listed(self, folder: Path, rows: list[ImageRow], marks: DoneMarks) -> None:
        """Show the images of a folder."""
        self._folder, self._marks = folder, marks
        self._at = self._wanted = None
        self._reading.drop()
        self._unread = []
        self.form.table.show_rows(rows)
        self.form.set_open(True)
        self._timer.start()
        self._image_changed()
        self._read(range(len(rows)))
        if self._at is None and self._header.image.layer is None:
            self.step(1)

    # ---- states

    def _read(self, numbers: range | list[int]) -> None:
        """Read the states of images, in a thread."""
        self._unread += [number for number in numbers if number not in self._unread]
        if self._reading.running or not self._unread or self._left:
            return
        numbers, self._unread = self._unread, []
        rows, checkpoint = self.rows, self._header.checkpoint.name

        def work(progress: Progress) -> None:
            chosen = _hash_of(checkpoint)
            for number in numbers:
                progress(0, 0)
                post(partial(self._show_state, rows, number, read_state(rows[number].location, chosen)))

        self._reading.begin(work, lambda _none: self._all_read(), self._not_read)

    def _show_state(self, rows: list[ImageRow], number: int, state: ImageState) -> None:
        """Show the state of an image."""
        if self._left or rows is not self.rows:
            return
        rows[number].state = state
        if number == self._at:
            self._stamp = _stamp(state.watched)
        self.form.table.row_changed(number)

    def _all_read(self) -> None:
        """Count the states, and read those that were asked for meanwhile."""
        self._count()
        self._read([])

    def _not_read(self, error: BaseException) -> None:
        """Report why states cannot be read."""
        report(error, self)

    def _count(self) -> None:
        """Show how many images are in which state."""
        if self.running:
            return
        words = []
        for state in ("segmented", "reviewed", "corrected", "done"):
            count = sum(row.word == state for row in self.rows)
            words += [f"{count:,} {state}"] if count else []
        problems = sum(bool(row.problem) for row in self.rows)
        words += [count_of(problems, "problem")] if problems else []
        images = count_of(len(self.rows), "image") if self.rows else ""
        self.form.show_progress(0, 1, ": ".join(filter(None, (images, ", ".join(words)))))

    def _look_for_changes(self) -> None:
        """Read the state of the open image again if strokes or marks have changed on disk."""
        row = None if self._at is None else self.rows[self._at]
        if row is None or row.state is None or self._reading.running:
            return
        if _stamp(row.state.watched) != self._stamp:
            self.look()

    def look(self) -> None:
        """Read the state of the open image again."""
        if self._at is not None:
            self._read([self._at])

    def _checkpoint_changed(self) -> None:
        """Read all states again: results of the chosen checkpoint count first."""
        self._read(range(len(self.rows)))

    def run_ended(self, _progress: RunProgress) -> None:
        """Read the state of the open image again, as a run of it has ended.

        Parameters
        ----------
        _progress : RunProgress
            The end of the run.
        """
        self.look()

    # ---- the open image

    def _image_changed(self) -> None:
        """Choose the row of the image that is open."""
        image = self._header.image.layer
        source = None if image is None else image_source(image)
        number = None if source is None else self._number_of(source.original)
        if number is None:
            return
        self.look()  # of the image that was open until now
        self._at = number
        self.form.view.selectRow(number)
        self.form.done.setText("Not done" if self.rows[number].done else "Done")
        self.look()

    def _number_of(self, location: str) -> int | None:
        """Find an image, or the file of one of several, in the list."""
        own = os.path.abspath(location.partition("#image=")[0])
        return next((number for number, row in enumerate(self.rows) if os.path.abspath(row.location) == own), None)

    def step(self, by: int) -> None:
        """Go to the next or the previous image, past those that cannot be opened.

        Parameters
        ----------
        by : {1, -1}
            Direction.
        """
        at = self._wanted if self._wanted is not None else self._at
        number = (-1 if by > 0 else len(self.rows)) if at is None else at
        number += by
        while 0 <= number < len(self.rows) and self.rows[number].problem:
            number += by
        if 0 <= number < len(self.rows):
            self.go(number)
        elif self.rows:
            self.form.say("This is the last image." if by > 0 else "This is the first image.")

    def go(self, number: int) -> None:
        """Close the image that is open once its strokes are on disk, and open another one.

        Parameters
        ----------
        number : int
            Index of the other one.
        """
        with reported(self):
            image = self._header.image.layer
            if not self._header.image.isEnabled():
                raise InputError("fine-tuning is not over on this image; wait for it, or decide in the tab Fine-tune.")
            if number == self._at and image is not None and self._is_listed(image):
                return
            self._wanted = number
            if image is None:
                self._open(number)
            else:
                self.form.say("Waiting for strokes to be on disk…")
                session().flush_strokes(self.window(), image, partial(self._open, number))

    def _is_listed(self, image: Image) -> bool:
        """Return whether a layer shows an image of the list."""
        source = image_source(image)
        return source is not None and self._number_of(source.original) is not None

    def _shows(self, layer: Any, number: int) -> bool:
        """Return whether a layer shows this image of the list."""
        source = image_source(layer)
        return source is not None and self._number_of(source.original) == number

    def _open(self, number: int) -> None:
        """Open an image in place of the one that is open."""
        if self._left or self._wanted != number:  # another one is wanted by now
            return
        self._wanted = None
        row, before = self.rows[number], self._header.image.layer
        there = next((layer for layer in self._viewer.layers if self._shows(layer, number)), None)
        closed = [] if before is None or not self._is_listed(before) else layers_of(self._viewer, before)
        row.failure = ""
        with reported(self):
            try:
                image = there or open_layers(self._viewer, row.location)
                if image is None:
                    raise InputError(f"{row.location}: holds labels, and no image; open it with File > Open.")
            except FctlError as error:
                row.failure = str(error)
                self.form.table.row_changed(number)
                self._count()
                raise
            self._viewer.layers.selection.active = image
            self._header.image.setCurrentIndex(self._header.image.findData(image))
            remove_layers(self._viewer, closed)
            self._viewer.layers.selection.active = image
            self._viewer.reset_view()
        self._count()

    def toggle_done(self) -> None:
        """Mark the open image as done, or remove its mark (the button Done)."""
        if self._at is None or self._marks is None:
            return
        with reported(self):
            row = self.rows[self._at]
            self._marks.mark(row.location, done=not row.done)
            row.done = not row.done
            self.form.done.setText("Not done" if row.done else "Done")
            self.form.table.row_changed(self._at)
            self._count()

    # ---- one job over all

    def segment_all(self) -> None:
        """Segment all images with the checkpoint of the header (the button Segment all)."""
        with reported(self):
            if self._folder is None or not self.rows or self.running:
                return
            if session().is_segmenting(self.window()):
                raise InputError("a run is under way; wait for it, or press Cancel in the tab Segment.")
            job = ListJob(
                self.listed_images(),
                self._folder,
                self._header.checkpoint.require_name(),
                self._header.device.currentText(),
            )
            for row in self.rows:
                row.failure = ""
            self._follow_window()
            self._run.start(session().engine(), job)
            self.form.set_busy(True)
            self.form.show_progress(0, len(self.rows), "Starting the worker…")

    def stop(self) -> None:
        """Stop the job (the button Stop)."""
        self.form.say("Stopping…")
        self._run.cancel()

    def _show_progress(self, number: int, progress: RunProgress) -> None:
        """Show the progress of the job."""
        total, share = len(self.rows), progress.done / progress.total if progress.total else 0
        words = f"{number + 1:,} of {total:,}: {self.rows[number].name}: {describe(progress)}"
        self.form.show_progress(round(100 * (number + share)), 100 * total, words)

    def _image_ended(self, number: int, failure: str) -> None:
        """Show what became of an image."""
        self.rows[number].failure = failure
        self.form.table.row_changed(number)
        self._read([number])
        if number == self._at and not failure:
            self.segmented.emit()

    def _run_ended(self, error: BaseException | None) -> None:
        """Show the end of the job."""
        self.form.set_busy(False)
        self._count()
        failed = [row for row in self.rows if row.failure]
        if error is not None and not isinstance(error, Cancelled):
            report(error, self)
        elif failed:
            report(
                FctlError(
                    f"{len(failed):,} of {count_of(len(self.rows), 'image')} failed; hold the mouse over the red rows "
                    "to see why."
                ),
                self,
            )

    # ---- drops, and the end

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept a folder that is dragged here."""
        if dropped_folder(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the folder that is dropped here."""
        folder = dropped_folder(event)
        if folder is not None:
            event.acceptProposedAction()
            self.open_folder(folder)

    def _leave(self, *, layers: bool) -> None:
        """Stop what runs and disconnect from the window: the list or the window is gone."""
        self._timer.stop()
        self._unbind()
        for jobs in (self._listing, self._reading):
            jobs.drop()
        self._run.abandon()
        if layers:
            self._header.image.currentIndexChanged.disconnect(self._image_changed)
            self._header.checkpoint.currentIndexChanged.disconnect(self._checkpoint_changed)


def _marks_path(folder: Path) -> Path:
    """Return the path of the marks of a folder: in it, or in the cache where it is not writable."""
    return folder / FILE if writable(folder) else cache_folder() / f"{digest(folder)}.{FILE}"


def _hash_of(checkpoint: str | None) -> str | None:
    """Return the hash of a checkpoint, or None where there is none."""
    try:
        return None if checkpoint is None else checkpoint_hash(resolve_checkpoint(checkpoint))
    except FctlError:
        return None  # a run says what is wrong with it


def _stamp(paths: tuple[Path, ...]) -> tuple[object, ...]:
    """Return a state of files that differs when they have changed."""
    found: list[object] = []
    for path in paths:
        try:
            status = path.stat()
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)
