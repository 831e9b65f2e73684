"""Ablation that runs beside a notebook's cells, and that can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.ablation.run import run_ablation
from fctl_napari.exceptions import Cancelled, FctlError


class AblationJob:
    """Thread in which an ablation is trained and measured by worker processes.

    Parameters
    ----------
    changed : callable
        Called without arguments, on the job's thread, when its state has changed.

    Attributes
    ----------
    running : bool
        True from ``start`` until the ablation has ended.
    done : int
        Number of finished steps.
    total : int
        Number of all steps.
    note : str
        Sentence on what is done, or on how it ended.
    error : FctlError or None
        The reason why it failed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.running = False
        self.done, self.total = 0, 1
        self.note = ""
        self.error: FctlError | None = None

    def start(self, request: AblationRequest) -> None:
        """Train what the request's table does not have yet, unless something runs already.

        Parameters
        ----------
        request : AblationRequest
            The request.
        """
        if self.running:
            return
        self._stopped.clear()
        self.running, self.error, self.done, self.total = True, None, 0, 1
        self.note = "Worker processes are started."
        self._thread = threading.Thread(target=self._work, args=(request,), name="fctl-ablation", daemon=True)
        self._thread.start()
        self._changed()

    def stop(self) -> None:
        """Stop. Finished rows stay, and those that were begun are resumed by the next start."""
        self._stopped.set()
        if self.running:
            self.note = "It is being stopped."
            self._changed()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the ablation has ended.

        Parameters
        ----------
        seconds : float or None, optional
            Longest time, s. None waits as long as it takes.
        """
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self, request: AblationRequest) -> None:
        try:
            run_ablation(request, self._report)
            self.note = "All chosen rows are trained."
        except Cancelled:
            self.note = "Stopped. Finished rows are kept, and those that were begun are resumed."
        except FctlError as error:
            self.note, self.error = "", error
        finally:
            self.running = False
            self._changed()

    def _report(self, done: int, total: int, note: str) -> None:
        """Take the counts of the run, and end it if it was stopped."""
        if self._stopped.is_set():
            raise Cancelled
        self.done, self.total, self.note = done, max(1, total), note
        self._changed()
