"""Driver of one run: hands tasks to the workers, collects their outcomes, synchronizes the store (no torch)."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fctl_napari.exceptions import FctlError
from fctl_napari.segmentation.jobs.cluster import COUNT_SECONDS, DEATHS, DESERTED_SECONDS, Workers, result_of
from fctl_napari.segmentation.jobs.loaded_networks import Network, check_hardware, prepare
from fctl_napari.segmentation.jobs.worker import Job, Outcome, compute, guarded
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.tiling.grid import Cell
from fctl_napari.segmentation.tiling.live_plan import LivePlan
from fctl_napari.segmentation.tiling.merge import drop_logits, saved_tiles
from fctl_napari.segmentation.tiling.plan import Plan, Task
from fctl_napari.segmentation.tiling.progress import LIVE_TASK_SECONDS, TASK_SECONDS, Pace, RunProgress, State
from fctl_napari.windows import IntWindow

if TYPE_CHECKING:
    from distributed import Client, Future

    Filling = concurrent.futures.Future[None]

POLL_SECONDS = 0.05
"""Longest time until a cancel is noticed, s."""

FLUSH_SECONDS = 1.0
"""Interval at which the store's coarser levels and bitmap are synchronized, and progress is reported, s."""

WATCHED_FLUSH_SECONDS = 0.2
"""The same interval once the user looks on, s. Each time the same chunks of the coarser levels are written again."""

STOP_SECONDS = 0.8
"""Time that a cancelled run waits for the tiles under way before it reports that it has stopped, s."""

SETTLE_SECONDS = 30.0
"""Time for which it then keeps the store's lock for them, s."""

LIVE_PRIORITY = 5
"""Priority of tiles in view. Other tiles have 0, and explanations a higher one."""


DIED = (
    f"the worker process died {DEATHS} times at the same tiles, most likely for lack of memory; use a smaller "
    "--batch or another --device (in Python: batch, device); what is finished is kept."
)


class Stopped(Exception):
    """Exception of a run that was cancelled.

    Parameters
    ----------
    progress : RunProgress
        The final event.
    settle : callable
        Function that waits for tiles that are still under way and records them. The store's lock must be held
        meanwhile.
    """

    def __init__(self, progress: RunProgress, settle: Callable[[], None]) -> None:
        super().__init__()
        self.progress = progress
        self.settle = settle


class Driver:
    """Loop of one run.

    Parameters
    ----------
    workers : Workers
        Processes that compute.
    store : Segmentation
        Segmentation that is written; the caller holds its lock.
    job : Job
        Facts that the tasks have in common.
    plan : Plan
        Plan of the work that is left.
    done : int
        Number of cells that were done before.
    total : int
        Number of all cells.
    stop : threading.Event
        Event that is set to cancel the run.
    views : queue.SimpleQueue[IntWindow | None]
        Views of the user, one whenever the view changes.
    report : callable
        Called with each event of the run.
    empty : set of Cell, optional
        Cells of these that hold no data, as far as that is known.
    fill : callable or None, optional
        Called in a thread with each task before a worker gets it. It makes what the task reads of the image.
    """

    def __init__(
        self,
        workers: Workers,
        store: Segmentation,
        job: Job,
        plan: Plan,
        done: int,
        total: int,
        stop: threading.Event,
        views: queue.SimpleQueue[IntWindow | None],
        report: Callable[[RunProgress], None],
        empty: Collection[Cell] = (),
        fill: Callable[[Task], None] | None = None,
    ) -> None:
        self._workers = workers
        self._store = store
        self._job = job
        self._plan = plan
        self._done = done
        self._total = total
        self._stop = stop
        self._views = views
        self._report = report
        self._empty = len(empty)
        self._empty_left = set(empty)
        self._fill = fill
        self._filler = ThreadPoolExecutor(1, "fctl-fill-tasks")
        self._device: str | None = None
        self._memory: int | None = None
        self._live = isinstance(plan, LivePlan)
        self._pace = Pace(LIVE_TASK_SECONDS if self._live else TASK_SECONDS)
        self._under_way: dict[Future[Any] | Filling, Task] = {}
        self._completed: queue.SimpleQueue[Future[Any] | Filling] = queue.SimpleQueue()
        self._written: list[Cell] = []
        self._flush_seconds = FLUSH_SECONDS
        self._flushed = float("-inf")
        self._counted = float("-inf")
        self._seen = 0.0
        self._slots = 2

    def progress(self, state: State, **fields: Any) -> RunProgress:
        """Make an event of the run as it stands now.

        Parameters
        ----------
        state : State
            State of the run.
        **fields : object
            Other fields of ``RunProgress``.

        Returns
        -------
        RunProgress
            The event.
        """
        rate = self._pace.rate()
        tiles_left = max(0, self._plan.tiles_left - len(self._empty_left))
        left = None if rate is None or state != "running" else tiles_left / rate
        return RunProgress(
            state,
            self._done,
            self._total,
            rate,
            left,
            device=self._device,
            memory_bytes=self._memory,
            view=self._plan.in_view(),
            empty=self._empty,
            **fields,
        )

    @property
    def came_to_nothing(self) -> bool:
        """True if nothing of the segmentation is made, and no worker is at it any more."""
        store = self._store
        some = store.done().any() or store.inherited().any() or saved_tiles(store.scratch)
        return not some and not self._under_way

    def run(self) -> None:
        """Carry out the whole plan.

        A live plan stays open until the run is cancelled.

        Raises
        ------
        Stopped
            The run was cancelled.
        FctlError
            The image, the checkpoint, the device, the disk or the cluster failed; finished cells are kept.
        """
        network = self._job.network
        if self._done == self._total and not self._live:
            if network.device not in ("auto", "cpu") or network.engine not in ("auto", "torch"):
                self._ask(self._connect(), check_hardware)  # only a worker knows whether they are there
            return
        client = self._connect()
        self._device = str(self._ask(client, prepare))
        self._check_stop()
        self._pace.begin()
        self._report(self.progress("running"))
        try:
            while not self._check_stop():
                self._look()
                if not self._hand_out(client):
                    if not self._live:
                        break
                    self._pace.pause()
                self._collect(client, POLL_SECONDS)
                if time.monotonic() - self._flushed > self._flush_seconds or not self._under_way:
                    self._flush()
        except Stopped:
            raise
        except BaseException:
            self._take_in(STOP_SECONDS)
            raise
        finally:
            self._filler.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._store.scratch, ignore_errors=True)

    def _look(self) -> None:
        """Pass the latest view to the plan, and report the progress in it."""
        latest: list[IntWindow | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                latest = [self._views.get_nowait()]
        if latest:
            self._flush_seconds = WATCHED_FLUSH_SECONDS
            self._plan.look(latest[0])
            self._report(self.progress("running"))

    def _connect(self) -> Client:
        connecting = self._workers.connect()
        while not connecting.done():
            self._check_stop()
            concurrent.futures.wait([connecting], POLL_SECONDS)
        self._seen = time.monotonic()
        return connecting.result()

    def _ask(self, client: Client, function: Callable[[Network], Any]) -> Any:
        """Have a worker call a function with the network of the run, and return its result."""
        future = client.submit(guarded, function, self._job.network, pure=False)
        future.add_done_callback(self._completed.put)
        while True:
            with contextlib.suppress(queue.Empty):
                self._completed.get(timeout=POLL_SECONDS)
                return result_of(future, DIED)
            try:
                self._check_stop()
                self._watch_workers()
            except BaseException:
                future.cancel()
                raise

    def _hand_out(self, client: Client) -> bool:
        """Keep every worker busy with one task and one in reserve, and return False when all is done."""
        self._watch_workers()
        while len(self._under_way) < self._slots:
            task = self._plan.next(self._pace.tiles_per_task())
            if task is None:
                break
            if self._fill is None:
                self._submit(client, task)
            else:
                self._wait_for(self._filler.submit(self._fill, task), task)
        return bool(self._under_way)

    def _submit(self, client: Client, task: Task) -> None:
        """Hand a task to the workers."""
        self._wait_for(
            client.submit(guarded, compute, self._job, task, pure=False, priority=LIVE_PRIORITY if self._live else 0),
            task,
        )
        self._pace.begin()

    def _wait_for(self, future: Future[Any] | Filling, task: Task) -> None:
        self._under_way[future] = task
        future.add_done_callback(self._completed.put)

    def _watch_workers(self) -> None:
        """Count the workers from time to time.

        Raises
        ------
        FctlError
            There have been none for a long time.
        """
        now = time.monotonic()
        if now - self._counted < COUNT_SECONDS:
            return
        self._counted = now
        workers = self._workers.count()
        self._slots = 2 * max(1, workers)
        if workers:
            self._seen = now
        elif now - self._seen > DESERTED_SECONDS:
            raise FctlError("all workers are gone and none came back; run again to resume.")

    def _collect(self, client: Client | None, timeout: float) -> None:
        """Record the completed tasks, waiting for the first of them. Hand on what was filled, unless the run ends."""
        with contextlib.suppress(queue.Empty):
            future = self._completed.get(timeout=timeout)
            while True:
                task = self._under_way.pop(future, None)
                if isinstance(future, concurrent.futures.Future):
                    future.result()
                    if client is not None and task is not None:
                        self._submit(client, task)
                elif task is not None:
                    outcome = result_of(future, DIED)
                    assert isinstance(outcome, Outcome)
                    self._pace.add(outcome.run, outcome.seconds)
                    self._memory = outcome.memory_bytes
                    finished = self._plan.finish(outcome.task)
                    self._empty_left.difference_update(finished)
                    self._written += finished
                future = self._completed.get_nowait()

    def _flush(self) -> None:
        """Synchronize the store with the cells that the workers wrote, and report them."""
        if not self._written:
            return
        self._flushed = time.monotonic()
        cells, self._written = self._written, []
        windows = self._store.finish(cells)
        self._done += len(cells)
        drop_logits(self._store.scratch, self._plan.released(cells))
        self._report(self.progress("running", windows=windows))

    def _check_stop(self) -> bool:
        """Return False, or raise ``Stopped`` if the run was cancelled."""
        if self._stop.is_set():
            self._take_in(STOP_SECONDS)
            raise Stopped(self.progress("cancelled"), lambda: self._take_in(SETTLE_SECONDS))
        return False

    def _take_in(self, seconds: float) -> None:
        """Make the workers stop at the next tile, and keep the cells that they have finished by then."""
        if not self._under_way:
            self._flush_quietly()
            return
        end = time.monotonic() + seconds
        with contextlib.suppress(Exception):
            self._job.stop_file.parent.mkdir(exist_ok=True)
            self._job.stop_file.touch()
        try:
            while self._under_way and time.monotonic() < end:
                with contextlib.suppress(Exception):
                    self._collect(None, POLL_SECONDS)
        finally:
            self._flush_quietly()
            if not self._under_way:
                with contextlib.suppress(OSError):
                    self._job.stop_file.unlink(missing_ok=True)

    def _flush_quietly(self) -> None:
        """Flush while the run ends for another reason, which is the one to report."""
        with contextlib.suppress(FctlError):
            self._flush()
