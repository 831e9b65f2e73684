"""The fine-tuning run that is under way, with its progress in the form and the buttons that pause and stop it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
from napari.utils.theme import get_theme
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from fctl_napari.finetuning.run import FinetuneEvent
from fctl_napari.plugin.common.session import session
from fctl_napari.plugin.finetune.form import FinetuneForm
from fctl_napari.plugin.finetune.runner import FINAL, FinetuneRunner, Make
from fctl_napari.plugin.finetune.words import describe
from fctl_napari.words import count_of


class ShownRun(QObject):
    """One run at a time, shown in the form.

    Parameters
    ----------
    viewer : napari.Viewer
        Viewer whose colors the plot has.
    form : FinetuneForm
        The form.
    tab : QWidget
        The tab, which is Qt's parent.

    Attributes
    ----------
    done : Signal(object)
        A run has made a candidate; carries the ``Path`` of its request.
    stopped : Signal(str, object)
        A run has ended without one; carries a sentence, and the exception that ended it or None.
    """

    done = Signal(object)
    stopped = Signal(str, object)

    def __init__(self, viewer: napari.Viewer, form: FinetuneForm, tab: QWidget) -> None:
        super().__init__(tab)
        self._viewer, self._form, self._tab = viewer, form, tab
        self._runner: FinetuneRunner | None = None
        form.pause.clicked.connect(self._pause)
        form.cancel.clicked.connect(self.cancel)

    @property
    def running(self) -> bool:
        """True while a run, or what it waits for, is running."""
        return self._runner is not None

    def start(self, make: Make) -> None:
        """Begin a run on the image that is chosen.

        Parameters
        ----------
        make : Make
            Function that makes its request from the image's source, in a thread.

        Raises
        ------
        InputError
            No image is chosen.
        """
        image, form = self._form.image.require_layer("fine-tune on"), self._form
        form.tabs.setCurrentIndex(0)
        form.gate_report.hide()
        form.plot.clear()
        form.make_offer("")
        form.set_state("preparing")

        def flush_strokes(then: Callable[[], object]) -> None:
            session().flush_strokes(self._tab.window(), image, then)

        runner = self._runner = FinetuneRunner(image, flush_strokes, make, self)
        runner.waiting.connect(lambda text: form.show_progress(0, 0, text))
        runner.begun.connect(lambda: form.set_state("running"))
        runner.progressed.connect(self._show_progress)
        runner.ended.connect(self._ended)
        runner.start()

    def cancel(self) -> None:
        """Stop the run.

        The state of training is saved, and an offer to resume follows.
        """
        if self._runner is not None:
            self._form.set_state("stopping")
            self._form.status.setText("Stopping…")
            self._runner.cancel()

    def leave(self) -> None:
        """Stop the run as the dock or the window is gone. It can be resumed."""
        if self._runner is not None:
            self._runner.abandon()
            self._runner = None

    def _show_progress(self, event: FinetuneEvent) -> None:
        """Show the progress of the run in text and plot."""
        form, progress = self._form, event.progress
        if not form.cancel.isEnabled() and event.state not in FINAL:
            return  # the run is being stopped
        if event.state not in FINAL:
            form.show_progress(*((progress.done, progress.total) if progress is not None else (0, 0)), describe(event))
        if progress is not None:
            form.explain(" ".join(progress.notes))
            form.plot.add(progress, get_theme(self._viewer.theme).text.as_hex())

    def _pause(self) -> None:
        """Pause or resume the run."""
        if self._runner is None:
            return
        if self._form.pause.text() == "Pause":
            self._form.set_state("paused")
            self._runner.pause()
        else:
            self._form.set_state("running")
            self._runner.resume()

    def _ended(self, event: FinetuneEvent) -> None:
        """Emit how the run has ended."""
        runner, self._runner = self._runner, None
        assert runner is not None
        runner.deleteLater()
        self._form.plot.draw()
        if event.state == "done" and runner.request is not None:
            self.done.emit(Path(runner.request.out))
            return
        progress = event.progress
        steps = 0 if progress is None or progress.phase != "training" else progress.done
        words = "Stopped" if event.state == "cancelled" else "Failed"
        self.stopped.emit(f"{words} after {count_of(steps, 'step')}." if steps else f"{words}.", event.error)
