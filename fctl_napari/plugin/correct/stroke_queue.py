"""Writing of strokes to disk, one after the other, in a thread, with retries."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.regions import CorrectedRegion
from fctl_napari.correcting.strokes import Stroke
from fctl_napari.exceptions import Cancelled, FctlError, OutputError
from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.plugin.layers.segmentation_layers import StoredLevels
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow

RETRY_S = 2.0
"""Delay until a stroke that could not be written is tried again, s."""


@dataclass(frozen=True, eq=False)
class PixelEdit:
    """A finished stroke, in px of the image.

    Attributes
    ----------
    y0, x0 : int
        Location of its first px, (y, x) px of the image.
    block : ndarray of uint8 [y, x]
        k + 1 = class k, 255 = not sure, 0 = erased.
    mask : ndarray of bool [y, x]
        True at px that were changed.
    author : str
        Name of the person who painted it.
    """

    y0: int
    x0: int
    block: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    author: str

    @property
    def window(self) -> IntWindow:
        """Window of the stroke, (y0, x0, y1, x1) px of the image."""
        return self.y0, self.x0, self.y0 + self.block.shape[0], self.x0 + self.block.shape[1]

    def put(self, values: NDArray[np.uint8], window: IntWindow) -> None:
        """Paint the stroke into the values of another window, in place.

        Parameters
        ----------
        values : ndarray of uint8 [y, x]
            Values of the other window, which are changed.
        window : IntWindow
            The other window, (y0, x0, y1, x1) px of the image.
        """
        y0, x0 = max(self.y0, window[0]), max(self.x0, window[1])
        y1, x1 = min(self.window[2], window[2]), min(self.window[3], window[3])
        if y0 >= y1 or x0 >= x1:
            return
        part = slice(y0 - self.y0, y1 - self.y0), slice(x0 - self.x0, x1 - self.x0)
        there = values[y0 - window[0] : y1 - window[0], x0 - window[1] : x1 - window[1]]
        there[self.mask[part]] = self.block[part][self.mask[part]]

    def write(self, corrections: Corrections, kind: str = "paint", together: int | None = None) -> Stroke | None:
        """Write the stroke to corrections.

        Parameters
        ----------
        corrections : Corrections
            Corrections, open for writing.
        kind : str, optional
            Kind of action.
        together : int or None, optional
            Number of the action that the stroke becomes part of. None begins a new action.

        Returns
        -------
        Stroke or None
            The stroke as it is stored. None if all of it is there already.
        """
        # only px that differ from the stored ones count, so a stroke that was half written is not written twice
        block = np.where(self.mask, self.block, corrections.read(self.window))
        return corrections.write(self.y0, self.x0, block, author=self.author, kind=kind, together=together)


@dataclass(frozen=True, eq=False)
class UndoRedo:
    """Task to undo or redo the last stroke, whoever painted it.

    Attributes
    ----------
    op : {"undo", "redo"}
        ``"undo"`` or ``"redo"``.
    """

    op: Literal["undo", "redo"]


@dataclass(frozen=True, eq=False)
class Change:
    """Task to make a larger change.

    Attributes
    ----------
    work : callable
        Function ``work(corrections, progress)`` that makes the change, in the thread, and returns its bounding box
        (None if nothing changed) and a result. It stops when ``progress`` raises ``Cancelled``.
    then : callable
        Function that is called on the main thread with the result.
    """

    work: Callable[[Corrections, Progress], tuple[IntWindow | None, Any]]
    then: Callable[[Any], None]


@dataclass(frozen=True, eq=False)
class ReadWindow:
    """Task to read a window.

    Attributes
    ----------
    window : IntWindow
        The window, (y0, x0, y1, x1) px of the image.
    then : callable
        Function that is called on the main thread with the window and its values, uint8 [y, x].
    """

    window: IntWindow
    then: Callable[[IntWindow, NDArray[np.uint8]], object]


@dataclass(frozen=True, eq=False)
class Barrier:
    """Task that does nothing: when it ends, all tasks before it have ended.

    Attributes
    ----------
    then : callable
        Function that is called on the main thread.
    """

    then: Callable[[], object]


Task = PixelEdit | UndoRedo | Change | ReadWindow | Barrier


@dataclass(frozen=True)
class State:
    """State of the corrections.

    Attributes
    ----------
    can_undo, can_redo : bool
        True if there is something to undo or redo.
    areas : dict of str to int
        Painted px by the name of the class, ``"not sure"`` last.
    """

    can_undo: bool
    can_redo: bool
    areas: dict[str, int]


@dataclass(frozen=True)
class _Done:
    """Report that a task has ended."""

    task: Task
    window: IntWindow | None
    result: Any
    state: State
    error: BaseException | None


class StrokeWriter(QObject):
    """Writer of corrections, in a thread of its own, in the order of the tasks.

    All signals are emitted on the main thread.

    Parameters
    ----------
    corrections : Corrections
        Corrections, open for writing. They are closed by :meth:`finish`.
    levels : StoredLevels
        Levels that are shown of them. The coarsest is kept up to date.
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    stuck : str
        Reason why the first stroke is not on disk, if it is tried again. Else empty.
    changed : Signal(object, bool)
        Values of a window have changed; carries the window (y0, x0, y1, x1 px), and True if a finished stroke was the
        reason.
    state_changed : Signal(object)
        At the beginning and after every task; carries the ``State``.
    listed : Signal(object)
        There is nothing more to do; carries the regions.
    failed : Signal(object)
        Something failed; carries the exception. ``stuck`` is not empty if the stroke is tried again.
    """

    changed = Signal(object, bool)
    state_changed = Signal(object)
    listed = Signal(object)
    failed = Signal(object)

    def __init__(self, corrections: Corrections, levels: StoredLevels, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._corrections = corrections
        self._levels = levels
        self._waiting: deque[Task] = deque()  # tasks whose end has not reached the main thread
        self._tasks: deque[Task] = deque()  # tasks that the thread has not ended
        self._wake = threading.Condition()
        self._closing = False
        self._lost: list[BaseException] = []
        self.stuck: str = ""
        """Reason why the first stroke is not on disk, if it is tried again. Else empty."""
        open_bridge()
        self._thread = threading.Thread(target=self._run, name="fctl strokes", daemon=True)
        self._thread.start()

    # ---- on the main thread

    @property
    def unsaved(self) -> int:
        """Number of strokes and other changes that are not on disk yet, as far as is known."""
        return sum(not isinstance(task, ReadWindow | Barrier) for task in self._waiting)

    @property
    def busy(self) -> bool:
        """True while there is something to do."""
        return bool(self._waiting)

    def give(self, task: Task) -> None:
        """Do a task after all that were given before.

        Parameters
        ----------
        task : Task
            The task.
        """
        self._waiting.append(task)
        with self._wake:
            self._tasks.append(task)
            self._wake.notify()

    def put_waiting(self, values: NDArray[np.uint8], window: IntWindow) -> None:
        """Paint the strokes that are on their way into values that were read before them.

        Parameters
        ----------
        values : ndarray of uint8 [y, x]
            Values of a window, which are changed.
        window : IntWindow
            The window, (y0, x0, y1, x1) px of the image.
        """
        for task in self._waiting:
            if isinstance(task, PixelEdit):
                task.put(values, window)

    def finish(self) -> list[BaseException]:
        """Write all that waits, close the corrections, and end the thread.

        No signal is emitted any more.

        Returns
        -------
        list of BaseException
            Reasons why strokes were lost, for those that could not be written now either. Empty if none were.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._waiting.clear()
        return self._lost

    def _receive(self, message: object) -> None:
        """Handle a message of the thread, on the main thread."""
        if self._closing:
            return  # the message was on its way when the end began
        if isinstance(message, OutputError):
            if self.stuck != str(message):
                self.stuck = str(message)
                self.failed.emit(message)
            return
        if isinstance(message, list):
            self.listed.emit(message)
            return
        if isinstance(message, State):
            self.state_changed.emit(message)
            return
        assert isinstance(message, _Done)
        assert message.task is self._waiting[0]
        self._waiting.popleft()
        if isinstance(message.task, PixelEdit):
            self.stuck = ""
        if message.window is not None:
            self.changed.emit(message.window, isinstance(message.task, PixelEdit))
        if message.error is None and isinstance(message.task, ReadWindow):
            message.task.then(message.task.window, message.result)
        elif message.error is None and isinstance(message.task, Barrier):
            message.task.then()
        elif message.error is None and isinstance(message.task, Change):
            message.task.then(message.result)
        self.state_changed.emit(message.state)
        if message.error is not None:
            self.failed.emit(message.error)

    # ---- in the thread

    def _run(self) -> None:
        """Do the tasks, and list the regions when there are none left."""
        stale = True  # the list of regions is out of date
        try:
            self._send(self._state())
            while True:
                with self._wake:
                    if not self._tasks:
                        if self._closing:
                            return
                        if not stale:
                            self._wake.wait()
                            continue
                    task = self._tasks[0] if self._tasks else None
                if task is None:
                    self._send(self._regions())
                    stale = False
                    continue
                self._do(task)
                stale = stale or not isinstance(task, ReadWindow | Barrier)
                with self._wake:
                    self._tasks.popleft()
        finally:
            try:
                self._corrections.close()
            except OutputError as error:
                self._lost.append(error)

    def _regions(self) -> list[CorrectedRegion]:
        """Return the corrected regions."""
        try:
            return self._corrections.regions()
        except FctlError:
            return []  # reading fails: the next stroke reports why

    def _do(self, task: Task) -> None:
        """Do a task and send its result."""
        window: IntWindow | None = None
        result: Any = None
        error: BaseException | None = None
        try:
            if isinstance(task, ReadWindow):
                result = self._corrections.read(task.window)
            elif isinstance(task, UndoRedo):
                turn = self._corrections.undo if task.op == "undo" else self._corrections.redo
                stroke = turn()
                window = None if stroke is None else stroke.window
            elif isinstance(task, PixelEdit):
                window = self._write(task)
            elif isinstance(task, Change):
                window, result = task.work(self._corrections, self._check)
            if window is not None:
                self._levels.update([window])
        except BaseException as reason:  # reported on the main thread; the next task may succeed
            error = reason
            if self._closing and not isinstance(task, ReadWindow | Barrier):
                self._lost.append(reason)
        self._send(_Done(task, window, result, self._state(), error))

    def _write(self, stroke: PixelEdit) -> IntWindow | None:
        """Write a stroke, again and again until it is on disk."""
        again = False
        while True:
            try:
                kept = stroke.write(self._corrections)
                if kept is None:  # an earlier try may have kept it in the journal
                    return stroke.window if again else None
                return kept.window
            except OutputError as error:
                again = True
                if self._closing:
                    raise
                self._send(error)
                with self._wake:
                    if not self._closing:
                        self._wake.wait_for(lambda: self._closing, RETRY_S)

    def _check(self, _done: int, _total: int, /) -> None:
        """Raise ``Cancelled`` when the corrections are being closed."""
        if self._closing:
            raise Cancelled("stopped.")

    def _state(self) -> State:
        """Return the state of the corrections."""
        corrections = self._corrections
        return State(corrections.can_undo(), corrections.can_redo(), corrections.area_by_class())

    def _send(self, message: object) -> None:
        """Post a message to the main thread."""
        if not self._closing:
            post(partial(self._receive, message))
