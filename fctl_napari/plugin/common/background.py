"""Work in a thread, with progress and result reported on the main thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from napari.utils import progress
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from fctl_napari.exceptions import Cancelled
from fctl_napari.plugin.common.bridge import open_bridge, post
from fctl_napari.progress import Progress

REPORT_S = 0.1
"""Minimum interval between two reports of counts, s."""

BAR_MS = 300
"""How long a job runs before its bar is shown, ms: most are over by then, and napari draws for each bar it shows."""

Work = Callable[[Progress], Any]
"""Function ``work(progress)``.

It calls ``progress(done, total)`` now and then, and ``progress(0, 0)`` where nothing is counted. Either raises
``Cancelled`` when the work shall stop.
"""

_running: set[Job] = set()
# keeps each job alive until its thread has ended


class Job(QObject):
    """One piece of work that runs in a thread.

    All signals are emitted on the main thread.

    Parameters
    ----------
    work : callable
        Function ``work(progress)`` that is called in the thread. What it returns is the result.
    label : str or None, optional
        Text of the bar in napari's activity dock. None shows no bar.

    Attributes
    ----------
    progressed : Signal(int, int)
        Counts of the work: what is done, and the total.
    finished : Signal(object)
        The work has returned; carries the result.
    failed : Signal(object)
        The work has raised; carries the exception.
    """

    progressed = Signal(int, int)
    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, work: Work, *, label: str | None = None) -> None:
        super().__init__()
        self._work = work
        self._cancelled = threading.Event()
        self._counts = (0, 0)
        self._reported = (0, 0)
        self._next_report = 0.0
        self._over = False
        self._label = label
        self._bar: progress | None = None
        self._thread = threading.Thread(target=self._run, name="fctl job", daemon=True)

    def start(self) -> None:
        """Start the thread and return at once."""
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._end)
        _running.add(self)
        open_bridge()
        if self._label is not None:
            QTimer.singleShot(BAR_MS, self._show_bar)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop at its next report of progress.

        What is written on disk stays, and a later job may resume from there.
        """
        self._cancelled.set()

    def _end(self) -> None:
        """Stop the work when the application ends."""
        self.cancel()
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        """Do the work, in the thread, and post its result or exception to the main thread."""
        result, error = None, None
        try:
            result = self._work(self._count)
        except BaseException as reason:  # handed to the main thread, which reports it
            error = reason
        post(partial(self._finish, result, error))

    def _count(self, done: int, total: int, /) -> None:
        """Take the counts of the work, in the thread, and post them to the main thread from time to time."""
        if self._cancelled.is_set():
            raise Cancelled("stopped.")
        if not total:
            return
        self._counts = (done, total)
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + REPORT_S
            post(self._report)

    def _show_bar(self) -> None:
        """Show the bar, unless the job is over."""
        if self._over:
            return
        done, total = self._counts
        bar = progress(total=total, desc=self._label)  # napari handles other events meanwhile
        if self in _running:
            self._bar = bar
            bar.update(done)
        else:
            bar.close()

    def _report(self) -> None:
        """Show and emit the latest counts, on the main thread."""
        if self._over or self._counts == self._reported:
            return
        self._reported = done, total = self._counts
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        self.progressed.emit(done, total)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        """Emit the result or the exception, on the main thread."""
        if self._over:
            return
        self._report()
        self._over = True
        if self._bar is not None:
            self._bar.close()
        _running.discard(self)
        if error is None:
            self.finished.emit(result)
        else:
            self.failed.emit(error)
        self.deleteLater()  # Qt would keep what is connected, and with it widgets that were closed


class Jobs(QObject):
    """Jobs of one kind, of which only the latest counts.

    A new job cancels the one before, whose result is ignored.

    Parameters
    ----------
    parent : QObject or None, optional
        Qt's parent.

    Attributes
    ----------
    busy : Signal(bool)
        A job has begun (True) or ended (False).
    """

    busy = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None

    @property
    def running(self) -> bool:
        """True while a job is running."""
        return self._job is not None

    def begin(
        self,
        work: Work,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        *,
        progressed: Callable[[int, int], None] | None = None,
        label: str | None = None,
    ) -> None:
        """Begin a job in place of the one that is running.

        Parameters
        ----------
        work : callable
            Function ``work(progress)`` that is called in a thread.
        done : callable
            Function that is called on the main thread with the result.
        failed : callable
            Function that is called on the main thread with the exception.
        progressed : callable or None, optional
            Function that is called on the main thread with the counts: what is done, and the total.
        label : str or None, optional
            Text of the bar in napari's activity dock. None shows no bar.
        """
        self.drop()
        job = self._job = Job(work, label=label)

        def finish(call: Callable[[Any], None], value: Any) -> None:
            if self._job is job and isalive(self):  # a window that is gone asked for it
                self._job = None
                self.busy.emit(False)
                call(value)

        def count(so_far: int, total: int) -> None:
            if self._job is job and isalive(self) and progressed is not None:
                progressed(so_far, total)

        job.finished.connect(lambda result: finish(done, result))
        job.failed.connect(lambda error: finish(failed, error))
        job.progressed.connect(count)
        self.busy.emit(True)
        job.start()

    def cancel(self) -> None:
        """Ask the job to stop.

        One of its functions ``done`` and ``failed`` is still called.
        """
        if self._job is not None:
            self._job.cancel()

    def drop(self) -> None:
        """Ask the job to stop, and ignore its result."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            self.busy.emit(False)
