"""Long jobs in short stages, whose state stays in one worker: other tasks run in between (no torch at import).

Each stage is a dask task of about ``STAGE_SECONDS``. The job itself lies in the worker as the result of a task, which
dask keeps there for as long as the run holds on to it: it goes when the run ends, and when its process dies.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import psutil

from fctl_napari.exceptions import Cancelled, FctlError, OutputError
from fctl_napari.segmentation.jobs.cluster import (
    COUNT_SECONDS,
    DEATHS,
    DESERTED_SECONDS,
    Workers,
    give_heap_back,
    result_of,
)
from fctl_napari.segmentation.jobs.loaded_networks import one_at_a_time, use_threads
from fctl_napari.segmentation.jobs.worker import guarded

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

STAGE_SECONDS = 0.5
"""Duration of a stage, s; it is longer if one yield comes later than that after the one before."""

LARGE_BYTES = 200e6
"""Growth of the process during a job after which memory is given back: that takes 0.2 s, which short jobs feel."""

POLL_SECONDS = 0.05
"""Longest time until a cancel is noticed where nothing has begun, s."""

FETCH_SECONDS = 60.0
"""Longest time that the outcome of a stage may take to arrive, s."""

CLOSE_PRIORITY = 10
"""Priority of the task that ends a job; stages have 0, like tiles."""

DIED = (
    f"the worker process died {DEATHS} times in this run, most likely for lack of memory; use another device (what "
    "was saved is kept)."
)

Stages = Generator[Sequence[Any], None, Any]
"""Job that yields new messages wherever it may wait, and returns its result. Closed at a yield, it saves its state."""

Make = Callable[[Any], Stages]
"""Function that begins a job, or resumes it from its saved state; it lies in a module that the worker can import."""


@dataclass(frozen=True)
class StagedEvent:
    """An event of a run.

    Attributes
    ----------
    state : {"starting", "running", "paused", "done", "cancelled", "failed"}
        State of the run; the last three values are final.
    messages : object
        Messages that the job yielded, one event for each yield.
    result : object
        Result of the job, with ``"done"``.
    error : BaseException or None
        Reason of a failure. An ``FctlError`` is for the user, anything else is a bug.
    """

    state: Literal["starting", "running", "paused", "done", "cancelled", "failed"]
    messages: Any = None
    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Stage:
    """Outcome of a stage.

    Attributes
    ----------
    worker : str
        Address of the worker that keeps the job.
    begun : bool
        True if the job had to be begun there.
    messages : tuple of object
        Everything that was yielded.
    ended : bool
        True if the job is at its end.
    result : object
        Result that it then returned.
    """

    worker: str
    begun: bool
    messages: tuple[Any, ...]
    ended: bool = False
    result: Any = None


class Kept:
    """A job between its stages, in the worker that keeps it.

    Sent elsewhere, it begins anew from its saved state.

    Parameters
    ----------
    make : Make
        Function that begins or resumes the job.
    argument : object
        Argument of the function.
    threads : int or None
        Number of torch threads. None uses all cores.
    """

    def __init__(self, make: Make, argument: Any, threads: int | None) -> None:
        self._recipe = make, argument, threads
        self._stages: Stages | None = None
        self._bytes = 0

    def __reduce__(self) -> tuple[type[Kept], tuple[Make, Any, int | None]]:
        return Kept, self._recipe

    def advance(self, seconds: float) -> Stage:
        """Resume the job for a while.

        Parameters
        ----------
        seconds : float
            Duration, s, or up to the next yield if that is later.

        Returns
        -------
        Stage
            Outcome of the stage.
        """
        from distributed import get_worker

        make, argument, threads = self._recipe
        address = get_worker().address
        messages: list[Any] = []
        end = time.monotonic() + seconds
        with one_at_a_time:
            use_threads(threads)
            begun = self._stages is None
            if begun:
                self._bytes = psutil.Process().memory_info().rss
            try:
                stages = self._stages = self._stages or make(argument)
                while True:
                    messages.extend(next(stages))
                    if time.monotonic() >= end:
                        return Stage(address, begun, tuple(messages))
            except StopIteration as stop:
                self._let_go()
                return Stage(address, begun, tuple(messages), True, stop.value)
            except BaseException as error:
                traceback.clear_frames(error.__traceback__)  # dask keeps the error for a while
                self._let_go()
                raise

    def close(self) -> None:
        """Make the job save its state, and drop it."""
        with one_at_a_time:
            stages = self._stages
            try:
                if stages is not None:
                    stages.close()
            finally:
                self._let_go()

    def _let_go(self) -> None:
        """Drop the job, and give its memory back to the system if it may be much."""
        self._stages = None
        if psutil.Process().memory_info().rss - self._bytes < LARGE_BYTES:
            return
        gc.collect()
        give_heap_back()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


class StagedRun:
    """A job of short stages under way, made by ``Engine.start_staged``.

    A worker that dies costs the work since the last saved state: another one begins the job again from there.

    Parameters
    ----------
    make : Make
        Function that begins or resumes the job.
    argument : object
        Argument of the function; it is sent to the worker.
    workers : Workers
        Processes that compute; one of them keeps the whole job.
    threads : int or None
        Number of torch threads of the worker. None uses all cores.
    on_event : callable or None, optional
        Called with each event, on the run's thread.
    """

    def __init__(
        self,
        make: Make,
        argument: Any,
        workers: Workers,
        threads: int | None,
        on_event: Callable[[StagedEvent], None] | None = None,
    ) -> None:
        self._recipe = make, argument, threads
        self._workers = workers
        self._on_event = on_event
        self._latest = StagedEvent("starting")
        self._changed = threading.Condition()
        self._paused = False
        self._cancelled = False
        self._final = threading.Event()
        threading.Thread(target=self._drive, name="fctl-staged", daemon=True).start()

    def pause(self) -> None:
        """Pause after the stage under way.

        The method returns at once.
        """
        self._command(paused=True)

    def resume(self) -> None:
        """Resume after a pause.

        The method returns at once.
        """
        self._command(paused=False)

    def cancel(self) -> None:
        """Stop after the stage under way, with the job's state saved.

        The method returns at once.
        """
        self._command(cancelled=True)

    def wait(self, timeout: float | None = None) -> StagedEvent:
        """Wait for the end of the run.

        Parameters
        ----------
        timeout : float or None, optional
            Longest time to wait, s. None waits as long as it takes.

        Returns
        -------
        StagedEvent
            The final event, or the latest one if the time is over.
        """
        self._final.wait(timeout)
        return self._latest

    def _command(self, *, paused: bool | None = None, cancelled: bool = False) -> None:
        with self._changed:
            self._paused = self._paused if paused is None else paused
            self._cancelled = self._cancelled or cancelled
            self._changed.notify_all()

    def _report(self, event: StagedEvent) -> None:
        self._latest = event
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                logger.exception("a callback of a run failed")

    def _drive(self) -> None:
        """Carry out the run, for the whole life of its thread."""
        self._report(self._latest)
        try:
            event = StagedEvent("done", result=self._run())
        except Cancelled:
            event = StagedEvent("cancelled")
        except BaseException as error:
            # Among errors after a cancel only a state that cannot be saved matters.
            stopped = self._cancelled and not isinstance(error, OutputError)
            event = StagedEvent("cancelled") if stopped else StagedEvent("failed", error=error)
        self._report(event)
        self._final.set()

    def _run(self) -> Any:
        client = self._connect()
        kept = client.submit(Kept, *self._recipe, pure=False)
        home: str | None = None
        begun = 0
        try:
            while True:
                self._stand_by()
                stage = self._at_home(client, home, kept, Kept.advance, STAGE_SECONDS)
                if stage is None:
                    home = None
                    continue
                home = stage.worker
                begun += stage.begun
                if begun > DEATHS:
                    raise FctlError(DIED)
                for messages in stage.messages:
                    self._report(StagedEvent("running", messages))
                if stage.ended:
                    return stage.result
        except Cancelled:
            if home is not None:
                self._at_home(client, home, kept, Kept.close, priority=CLOSE_PRIORITY)
            raise
        finally:
            with contextlib.suppress(Exception):  # the client may be closed
                kept.release()

    def _connect(self) -> Client:
        connecting = self._workers.connect()
        while not connecting.done():
            if self._cancelled:
                raise Cancelled
            concurrent.futures.wait([connecting], POLL_SECONDS)
        return connecting.result()

    def _stand_by(self) -> None:
        """Wait while paused.

        Raises
        ------
        Cancelled
            The run was cancelled.
        """
        if self._paused and not self._cancelled:
            self._report(StagedEvent("paused"))
            with self._changed:
                self._changed.wait_for(lambda: self._cancelled or not self._paused)
            if not self._cancelled:
                self._report(StagedEvent("running"))
        if self._cancelled:
            raise Cancelled

    def _at_home(
        self,
        client: Client,
        home: str | None,
        kept: Future[Kept],
        do: Callable[..., Any],
        *arguments: Any,
        priority: int = 0,
    ) -> Any:
        """Call a function on the job in the worker at an address, or in any, and return None if that worker is gone."""
        workers = None if home is None else [home]
        task = client.submit(guarded, do, kept, *arguments, workers=workers, pure=False, priority=priority)
        seen = time.monotonic()
        ready = threading.Event()
        task.add_done_callback(lambda _: ready.set())
        try:
            while not ready.wait(COUNT_SECONDS):
                found = self._workers.addresses()
                if home is not None and home not in found:
                    return None
                if found:
                    seen = time.monotonic()
                elif self._cancelled:
                    raise Cancelled
                elif time.monotonic() - seen > DESERTED_SECONDS:
                    raise FctlError("all workers are gone and none came back; run again to resume.")
            try:
                return result_of(task, DIED, FETCH_SECONDS)
            except TimeoutError:  # the worker died with the outcome
                return None
        finally:
            with contextlib.suppress(Exception):
                task.cancel()
