"""Work of the tab Errors in threads, with its progress in the form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from fctl_napari.exceptions import Cancelled, InputError
from fctl_napari.plugin.common.background import Jobs, Work
from fctl_napari.plugin.common.notify import report, reported
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.errors.form import ErrorForm
from fctl_napari.plugin.layers.choosers import ImageCombo


class ShownWork(QObject):
    """Computations whose progress the form shows, and which its button cancels.

    Parameters
    ----------
    form : ErrorForm
        The form.
    image : ImageCombo
        Field of the image whose strokes come to disk before work on the final map.
    parent : QWidget
        The tab.

    Attributes
    ----------
    jobs : Jobs
        Jobs of work on the comparison.
    """

    def __init__(self, form: ErrorForm, image: ImageCombo, parent: QWidget) -> None:
        super().__init__(parent)
        self._form, self._image, self._tab = form, image, parent
        self._settling = False  # work waits until all strokes are on disk
        self._followed: list[Jobs] = []
        self.jobs = Jobs(self)
        self.follow(self.jobs)

    @property
    def running(self) -> bool:
        """True while work on the comparison is under way, or other work waits for strokes."""
        return self._settling or self.jobs.running

    def follow(self, jobs: Jobs) -> None:
        """Let the form show that jobs are under way, and cancel them.

        Parameters
        ----------
        jobs : Jobs
            The jobs.
        """
        self._followed.append(jobs)
        self._form.cancel.clicked.connect(jobs.cancel)
        jobs.busy.connect(self._busy)

    def begin(self, work: Work, done: Callable[[Any], None], words: str, jobs: Jobs | None = None) -> None:
        """Begin work in a thread and show its progress.

        Parameters
        ----------
        work : callable
            Function ``work(progress)`` that is called in a thread.
        done : callable
            Function that is called with the result.
        words : str
            What is being done, for people.
        jobs : Jobs or None, optional
            Jobs whose latest it becomes. None takes those of work on the comparison.
        """

        def failed(error: BaseException) -> None:
            self._form.say("Stopped." if isinstance(error, Cancelled) else "")
            report(error, self)

        self._form.show_progress(0, 0)
        self._form.say(words)
        (jobs or self.jobs).begin(work, done, failed, progressed=self._form.show_progress)

    def begin_settled(self, work: Work, done: Callable[[Any], None], words: str, jobs: Jobs) -> None:
        """Begin work on the final map in a thread, once all strokes are on disk.

        Parameters
        ----------
        work : callable
            Function ``work(progress)`` that is called in a thread.
        done : callable
            Function that is called with the result.
        words : str
            What is being done, for people.
        jobs : Jobs
            Jobs whose latest it becomes.
        """

        def settled() -> None:
            self._settling = False
            self.begin(work, done, words, jobs)

        image, window = self._image.layer, self._tab.window()
        with reported(self):
            if session().is_segmenting(window):  # live mode, too, computes more as one looks around
                raise InputError("the map is being computed; wait for it, or press Cancel in the tab Segment.")
            self._settling = True
            if image is None:
                settled()
            else:
                session().flush_strokes(window, image, settled)

    def _busy(self) -> None:
        """Show whether work is under way."""
        busy = any(jobs.running for jobs in self._followed)
        self._form.cancel.setEnabled(busy)
        if not busy:
            self._form.show_progress(0, 1)
