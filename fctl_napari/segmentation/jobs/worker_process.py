"""Worker process: a program of its own, started again when it dies (no torch).

It is no child of Python's ``multiprocessing``, which would run the user's script in it a second time: a script without
``if __name__ == "__main__":`` would open a second window there, and one that can't run twice would leave no worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import threading

import dask
from distributed import Worker
from distributed.deploy.spec import ProcessInterface

HEAP = {"MALLOC_MMAP_THRESHOLD_": 2**25, "MALLOC_TRIM_THRESHOLD_": 2**27, "MALLOC_ARENA_MAX": 1}
"""Settings of glibc in a worker: tensors lie in one heap that is used again from tile to tile.

Left to itself (or with dask's trim threshold of 64 kB) the memory of each tensor goes back to the system, and every
tile begins with tens of thousands of page faults; a heap per thread would hold on to more, for arrays long freed.
"""

SELDOM = {"distributed.admin.tick.interval": "500ms", "distributed.admin.system-monitor.interval": "5s"}
"""Settings of dask: its measurements of itself take 3 % of a core while nothing is computed, and nobody reads them."""

UNABLE = 1
"""Python's exit status after an uncaught error: the program cannot run here, so it isn't started again."""

GONE_SECONDS = 2.0
"""Time to wait for a process that was killed, s."""

QUIET = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""Code that ignores Ctrl-C: the parent handles it, and then ends the worker in order."""


class WorkerProcess(ProcessInterface):
    """Handle of a worker process, for a dask ``SpecCluster``.

    Parameters
    ----------
    scheduler : str
        Address of the scheduler.
    name : int
        Name of the worker.

    Attributes
    ----------
    failed : str
        Reason for which it cannot be started; empty while it can.
    """

    def __init__(self, scheduler: str, name: int) -> None:
        super().__init__(scheduler, name)  # type: ignore[no-untyped-call]
        self.failed = ""
        self._call = (scheduler, name)
        self._path = _module_folders()
        self._lock = threading.Lock()
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while the process runs, else None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def start(self) -> None:
        """Start the process, which joins the scheduler by itself."""
        process = self._launch()
        threading.Thread(target=self._watch, args=(process,), name="fctl-worker-watch", daemon=True).start()
        await super().start()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """End the process at once."""
        self.end()
        await super().close()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """End the process at once, for good.

        A process that computes would otherwise run on for as long as its task takes.
        """
        with self._lock:
            self._ended = True
            process = self._process
        if process is not None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GONE_SECONDS)

    def _watch(self, process: subprocess.Popen[bytes] | None) -> None:
        """Start the process again whenever it has died, for the whole life of the watching thread."""
        while process is not None:
            with process:
                status = process.wait()
            if status == UNABLE:
                self.failed = "it ended with an error, which stands on the standard error output"
                return
            process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes] | None:
        """Start the process with the modules that this one would find, unless it was ended or cannot be started.

        It works in the folder of Python, which stays: the user may delete the one that this process was started in.
        """
        program = f"import sys; sys.path[:] = {self._path!r}; {QUIET}; from {__name__} import main; main{self._call!r}"
        heap = {name: str(value) for name, value in HEAP.items()}
        with self._lock:
            if self._ended:
                return None
            try:  # its standard input stays open for as long as this process lives
                self._process = subprocess.Popen(
                    [sys.executable, "-c", program], stdin=subprocess.PIPE, env={**heap, **os.environ}, cwd=sys.prefix
                )
            except OSError as error:
                self.failed = str(error)
                return None
            return self._process


def _module_folders() -> list[str]:
    """List the folders in which this process finds modules, the relative ones only if the working folder exists."""
    try:
        return [os.path.abspath(folder) for folder in sys.path]
    except FileNotFoundError:
        return [folder for folder in sys.path if os.path.isabs(folder)]


def main(scheduler: str, name: int) -> None:
    """Run a worker until the parent is gone.

    Parameters
    ----------
    scheduler : str
        Address of the scheduler.
    name : int
        Name of the worker.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    dask.config.set({"distributed.worker.profile.enabled": False, **SELDOM})  # its history takes 100 kB a second
    asyncio.run(_work(scheduler, name))


async def _work(scheduler: str, name: int) -> None:
    # dask's limit of memory would end the worker while a network is loaded.
    async with Worker(scheduler, name=name, nthreads=1, host="127.0.0.1", memory_limit=0, dashboard=False) as worker:
        await worker.finished()


def _end_with_parent() -> None:
    """End the process once the parent's end of the pipe is closed, however the parent ended."""
    while os.read(0, 1024):
        pass
    os._exit(0)
