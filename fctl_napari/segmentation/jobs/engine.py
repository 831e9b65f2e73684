"""Runs of the network over images, in worker processes: start, follow, cancel, resume (no torch)."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fctl_napari.errors import InputError
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.remote import is_url
from fctl_napari.model.model_card import checkpoint_hash, read_card, resolve_checkpoint
from fctl_napari.segmentation.jobs.cluster import Workers
from fctl_napari.segmentation.jobs.driver import Driver, Stopped
from fctl_napari.segmentation.jobs.explain_client import ask
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation
from fctl_napari.segmentation.jobs.refining import check_refined
from fctl_napari.segmentation.jobs.request import SegmentationRequest, check_merge
from fctl_napari.segmentation.jobs.stateful_job import Make, StagedEvent, StagedRun
from fctl_napari.segmentation.jobs.worker import Job, Network, guarded, prepare
from fctl_napari.segmentation.store.identity import MIXED, same_image
from fctl_napari.segmentation.store.map_names import MAPS
from fctl_napari.segmentation.store.store import ATTRIBUTE, Segmentation
from fctl_napari.segmentation.store.store_lock import lock_store, open_or_create, open_parent
from fctl_napari.segmentation.tiling.grid import Grid, TileGrid, default_overlap
from fctl_napari.segmentation.tiling.merge import saved_tiles
from fctl_napari.segmentation.tiling.plan import AveragePlan, CropPlan, LivePlan, Plan
from fctl_napari.segmentation.tiling.progress import RunProgress
from fctl_napari.segmentation.tiling.released_grid import ReleasedGrid
from fctl_napari.windows import IntWindow, require_region

__all__ = ["Engine", "Run", "RunProgress", "SegmentationRequest"]

logger = logging.getLogger(__name__)


class Run:
    """A run under way; made by :meth:`Engine.start`.

    Attributes
    ----------
    out
        Folder of the segmentation.
    """

    def __init__(
        self,
        request: SegmentationRequest,
        workers: Workers,
        threads: int | None,
        on_progress: Callable[[RunProgress], None] | None,
    ) -> None:
        self.out = Path(request.out).absolute()
        self._request = request
        self._workers = workers
        self._threads = threads
        self._on_progress = on_progress
        self._latest = RunProgress("starting")
        self._store: Segmentation | None = None
        self._source = ""
        self._state: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._views: queue.SimpleQueue[IntWindow | None] = queue.SimpleQueue()
        self._final = threading.Event()
        self._thread = threading.Thread(target=self._drive, name=f"fctl-run {self.out.name}", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop soon (within a second, or one tile if that takes longer); finished tiles are kept. Returns at once."""
        self._stop.set()

    def look(self, view: IntWindow | None) -> None:
        """Compute the tiles that meet a window first, from its middle outward; in a live run only these.

        Returns at once. A live run drops tiles that left the view before they were begun, and does not begin with
        more than ``plan.LIVE_TILES`` of them; the events say how many there are.

        Parameters
        ----------
        view
            (y0, x0, y1, x1), full-resolution px; None: nothing of the image is in view.
        """
        self._views.put(view)

    def wait(self, timeout: float | None = None) -> RunProgress:
        """Wait for the end.

        Parameters
        ----------
        timeout
            s; None: as long as it takes.

        Returns
        -------
        The final event, or the latest one if the time is over. It carries the error of a failed run.
        """
        self._final.wait(timeout)
        return self._latest

    def _report(self, event: RunProgress) -> None:
        self._latest = event
        if self._on_progress is not None:
            try:
                self._on_progress(event)
            except Exception:
                logger.exception("a progress callback failed")

    def _end(self, event: RunProgress) -> None:
        self._report(event)
        self._final.set()

    def _drive(self) -> None:
        """Carry the run out; the thread's whole life."""
        with contextlib.ExitStack() as leaving:
            try:
                driver = self._begin(leaving)
                self._report(driver.progress("starting"))
                driver.run()
                self._check_image()
                leaving.close()  # whoever hears that it is done may start the next run on this store
                self._end(driver.progress("done"))
            except Stopped as stopped:
                self._end(stopped.progress)
                stopped.settle()
                with contextlib.suppress(InputError):  # the next run says it
                    self._check_image()
            except BaseException as error:
                leaving.close()
                latest = self._latest
                self._end(RunProgress("failed", latest.done, latest.total, error=error, device=latest.device))

    def _check_image(self) -> None:
        """Refuse a result whose image was written anew meanwhile: tiles of two pictures lie in it.

        Raises
        ------
        InputError
            It was; the store fits no image any more.
        """
        assert self._store is not None
        stored = self._store.facts["image"]
        if is_url(self._source) or (Path(self._source).is_file() and _state(self._source) == self._state):
            return
        try:
            if same_image(stored, open_image(self._source)):
                return
        except InputError:
            return  # it is gone now; what was read of it before is one picture
        self._store.facts["image"] = {**stored, "fingerprint": MIXED}
        self._store.labels.set_attributes({ATTRIBUTE: self._store.facts})
        raise InputError(
            f"{self._source}: was changed while it was segmented, so tiles of two pictures lie in {self.out}; start it "
            "afresh (--fresh)."
        )

    def _begin(self, leaving: contextlib.ExitStack) -> Driver:
        """Check the request, and open or create the store."""
        request = self._request
        check_merge(request)
        checkpoint = resolve_checkpoint(request.checkpoint).absolute()
        card, identity = read_card(checkpoint), checkpoint_hash(checkpoint)
        source = request.image if is_url(request.image) else str(Path(request.image).absolute())
        self._source, self._state = source, None if is_url(source) else _state(source)
        image = open_image(source, value_range=request.value_range, bands=request.bands)
        image.require_rgb()
        tile_size = card.config.tile_size
        overlap = default_overlap(tile_size) if request.overlap is None else request.overlap
        released = request.merge == "released"
        grid: Grid = (
            ReleasedGrid(image.shape, tile_size, request.augment)
            if released
            else TileGrid(image.shape, tile_size, overlap)
        )
        exact = request.exact_contexts or released
        region = require_region(request.region, image.shape, source)
        refined = check_refined(request.refine, card, image, region)
        settings = {
            "merge": request.merge,
            "precision": request.precision,
            "exact_contexts": exact,
            **({"kept_output": "logits"} if request.keep_logits else {}),
            **({"kept_output": MAPS} if request.maps else {}),
            **({} if refined is None else {"refined": refined}),
            "value_range": None if request.value_range is None else list(request.value_range),
            "bands": None if request.bands is None else list(request.bands),
        }
        inherit = None if request.inherit is None else Path(request.inherit).absolute()
        parent = None if inherit is None else open_parent(inherit, self.out, image, grid, card, settings)
        lock = lock_store(self.out)
        leaving.callback(lock.release)
        store = open_or_create(
            self.out,
            image=image,
            grid=grid,
            card=card,
            checkpoint_hash=identity,
            settings=settings,
            fresh=request.fresh,
        )
        self._store = store
        network = Network(
            str(checkpoint),
            identity,
            request.device,
            request.precision,
            request.batch,
            exact,
            self._threads,
        )
        job = Job(
            os.urandom(6).hex(),
            network,
            source,
            request.value_range,
            request.bands,
            str(self.out),
            request.merge,
            None if request.refine is None else str(Path(request.refine).absolute()),
        )
        if parent is not None:
            store.inherit(parent, self._stop.is_set)
        chosen = None if request.cells is None else set(request.cells)
        wanted = [cell for cell in grid.cells_in(region) if chosen is None or cell in chosen]
        finished = store.done()
        missing = [cell for cell in wanted if not finished[cell]]
        plan: Plan
        total = len(wanted)
        if request.live:
            plan = LivePlan(grid, finished)
        elif request.merge != "crop":
            plan = AveragePlan(grid, missing, saved_tiles(store.scratch))
        else:
            plan = CropPlan(grid, missing)
        done = total - len(missing)
        return Driver(self._workers, store, job, plan, done, total, self._stop, self._views, self._report)


def _state(path: str) -> tuple[int, int] | None:
    """What differs when a file was written anew: time and size; None where there is none."""
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


class Engine:
    """Runs networks in worker processes, so that the process that asks stays free.

    The worker is a program of its own, which does not run the script that asks: no ``if __name__ == "__main__":`` is
    needed, and a notebook or ``python -c`` will do.

    Parameters
    ----------
    scheduler
        Address of a dask scheduler whose workers see the same files; None: one worker process on this machine,
        started when first needed and ended by :meth:`close` or with this process.
    threads
        torch threads of a worker on the CPU; None: all cores. A window wants one core for itself.
    """

    def __init__(self, scheduler: str | None = None, *, threads: int | None = None) -> None:
        self._workers = Workers(scheduler)
        self._threads = threads
        self._runs: weakref.WeakSet[Run | StagedRun] = weakref.WeakSet()
        _open_engines.add(self)

    def start(self, request: SegmentationRequest, on_progress: Callable[[RunProgress], None] | None = None) -> Run:
        """Start a run; returns at once.

        Parameters
        ----------
        request
            What to do.
        on_progress
            Called with each event, on a thread of the run.
        """
        run = Run(request, self._workers, self._threads, on_progress)
        self._runs.add(run)
        return run

    def start_staged(
        self, make: Make, argument: Any, on_event: Callable[[StagedEvent], None] | None = None
    ) -> StagedRun:
        """Start a job of short stages, whose state stays in one worker; returns at once.

        Parameters
        ----------
        make, argument, on_event
            See ``StagedRun``.
        """
        run = StagedRun(make, argument, self._workers, self._threads, on_event)
        self._runs.add(run)
        return run

    def explain(self, request: ExplainRequest) -> concurrent.futures.Future[TileExplanation]:
        """Have a pixel explained by the worker, in front of the tiles that wait there; returns at once.

        Parameters
        ----------
        request
            What is asked.

        Returns
        -------
        concurrent.futures.Future
            Its ``result()`` raises what went wrong: InputError (the pixel lies outside the image, the image is
            damaged), ConfigError (the network has no such parts), CheckpointError. It can be cancelled until the answer
            is there.
        """
        return ask(self._workers, request, self._threads)

    def warm(self, checkpoint: str, device: str = "auto") -> None:
        """Start the worker process and load a network in the background, so that the next run begins at once.

        Parameters
        ----------
        checkpoint
            A built-in name or a file.
        device
            As for ``Predictor``.

        Raises
        ------
        CheckpointError
            There is no such checkpoint.
        """
        path = resolve_checkpoint(checkpoint).absolute()
        network = Network(str(path), checkpoint_hash(path), device, threads=self._threads)

        def load() -> None:
            from distributed import fire_and_forget

            # Whatever is wrong will be said by the run that needs it.
            with contextlib.suppress(Exception):
                fire_and_forget(self._workers.client().submit(guarded, prepare, network, pure=False))

        threading.Thread(target=load, name="fctl-warm", daemon=True).start()

    def close(self) -> None:
        """Cancel what runs and end the worker process. May be called twice."""
        for run in list(self._runs):
            run.cancel()
        for run in list(self._runs):
            run.wait(timeout=1)
        self._workers.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_open_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_engines() -> None:
    for engine in list(_open_engines):
        engine.close()
