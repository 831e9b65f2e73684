"""Processes that compute: our own on this machine, or a dask cluster at an address (no torch)."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from fctl_napari.exceptions import FctlError, InputError

if TYPE_CHECKING:
    from distributed import Client, Future, SpecCluster

CONNECT_SECONDS = 3
"""Time to wait for a scheduler at an address, and for the first of its workers, s."""

DEATHS = 3
"""Number of deaths of its worker after which a task is given up."""

COUNT_SECONDS = 2.0
"""Interval at which the workers are counted while one is waited for, s."""

DESERTED_SECONDS = 120.0
"""Time without any worker after which the wait is given up, s."""


class Workers:
    """Connection to worker processes, made when it is first needed.

    Parameters
    ----------
    scheduler : str or None
        Address of a dask scheduler. None starts worker processes on this machine, reachable from it alone.
    number : int, optional
        Number of processes to start; their names are 0, 1, ...
    """

    def __init__(self, scheduler: str | None, number: int = 1) -> None:
        self.scheduler = scheduler
        self.number = number
        self._lock = threading.Lock()
        self._cluster: SpecCluster | None = None
        self._client: Client | None = None
        self._closed = False

    def client(self) -> Client:
        """Return the dask client, connecting first if need be (about a second for a process of our own).

        Returns
        -------
        Client
            The client.

        Raises
        ------
        InputError
            No scheduler answers at the address, it has no workers, or the connection was closed.
        FctlError
            No worker process could be started here.
        """
        with self._lock:
            if self._closed:
                raise InputError("the engine was closed; make another one.")
            if self._client is None:
                self._client = self._start() if self.scheduler is None else self._connect(self.scheduler)
            return self._client

    def connect(self) -> concurrent.futures.Future[Client]:
        """Begin to connect, in a thread.

        Returns
        -------
        concurrent.futures.Future[Client]
            Future of the result of ``client`` or of its error.
        """
        future: concurrent.futures.Future[Client] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(self.client())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="fctl-connect", daemon=True).start()
        return future

    def addresses(self) -> list[str]:
        """List the addresses of the worker processes that are there now.

        If all of our own are gone for good, they are replaced.

        Returns
        -------
        list of str
            Addresses.
        """
        client, cluster = self._client, self._cluster
        if client is None:
            return []
        found = list(client.scheduler_info(n_workers=-1)["workers"])
        if not found and cluster is not None:
            cluster.scale(self.number)  # no effect while a worker is being restarted
        return found

    def count(self) -> int:
        """Count the worker processes that are there now."""
        return len(self.addresses())

    def _start(self) -> Client:
        import dask
        from distributed import Client, Scheduler, SpecCluster

        from fctl_napari.segmentation.jobs.worker_process import SELDOM, WorkerProcess

        # A busy machine may need more than dask's 15 s to restart a worker that died.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
        worker = {"cls": WorkerProcess}
        scheduler = {
            "cls": Scheduler,
            "options": {
                "host": "127.0.0.1",
                "protocol": "tcp://",
                "allowed_failures": DEATHS - 1,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",  # its plain HTTP server uses this address all the same
            },
        }
        workers = dict.fromkeys(range(self.number), worker)
        with dask.config.set(SELDOM):
            cluster = SpecCluster(workers=workers, worker=worker, scheduler=scheduler, silence_logs=logging.ERROR)
        client = Client(cluster, set_as_default=False)
        begun = time.monotonic()
        while True:
            try:
                client.wait_for_workers(self.number, timeout=1)
                break
            except TimeoutError:
                reasons = [process.failed for process in cluster.workers.values() if process.failed]
                if not reasons and time.monotonic() - begun > DESERTED_SECONDS:
                    reasons = [f"it did not join within {DESERTED_SECONDS:.0f} s"]
                if reasons:
                    _end(client, cluster)
                    raise FctlError(f"{sys.executable}: no worker process could be started: {reasons[0]}.") from None
        self._cluster = cluster
        return client

    @staticmethod
    def _connect(address: str) -> Client:
        from distributed import Client

        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{address}: no dask scheduler answers there; check the address, or leave it out."
            ) from error
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            client.close(timeout=1)
            raise InputError(f"{address}: this dask scheduler has no workers; start some first.") from None
        return client

    def close(self) -> None:
        """Drop the connection, and end our own worker processes at once.

        It may be called twice.
        """
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
            cluster, self._cluster = self._cluster, None
        _end(client, cluster)


def result_of(future: Future[Any], died: str, timeout: float | None = None) -> Any:
    """Wait for the result of a task that was submitted through ``worker.guarded``.

    Parameters
    ----------
    future : Future[Any]
        Future of dask.
    died : str
        Error message for a worker process that died at the task again and again.
    timeout : float or None, optional
        Longest time to wait, s. None waits as long as it takes.

    Returns
    -------
    object
        Result of the task.

    Raises
    ------
    FctlError
        The worker raised it, the worker died, or the connection is lost.
    TimeoutError
        The time is over.
    """
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        result = future.result(timeout)
    except KilledWorker as error:
        raise FctlError(died) from error
    except (CancelledError, CommClosedError, concurrent.futures.CancelledError) as error:
        raise FctlError("the connection to the workers was lost; run again to resume.") from error
    if isinstance(result, FctlError):
        raise result
    return result


def give_heap_back() -> None:
    """Give free memory of this process back to the system.

    With the settings of ``HEAP`` glibc keeps free memory that lies scattered.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _end(client: Client | None, cluster: SpecCluster | None) -> None:
    """Drop a connection, and end our own worker processes at once."""
    with contextlib.suppress(Exception):
        if client is not None:
            client.close(timeout=1)
    with contextlib.suppress(Exception):
        if cluster is not None:
            for process in cluster.workers.values():
                process.end()
            cluster.close(timeout=2)
