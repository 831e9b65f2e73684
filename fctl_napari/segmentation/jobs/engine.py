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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.imagery.array_copy import ArrayCopy, copy_at
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.numbered import image_file
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.model_card import (
    builtin_checkpoints,
    checkpoint_hash,
    read_card,
    require_classes,
    resolve_checkpoint,
)
from fctl_napari.segmentation.inference.network_image import check_units, network_image
from fctl_napari.segmentation.inference.tile_cutting import read_windows
from fctl_napari.segmentation.inference.tile_on_image import tile_on_image
from fctl_napari.segmentation.jobs.cluster import Workers
from fctl_napari.segmentation.jobs.driver import Driver, Stopped
from fctl_napari.segmentation.jobs.explain_client import ask
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation
from fctl_napari.segmentation.jobs.loaded_networks import Network, warm
from fctl_napari.segmentation.jobs.parameters import DEVICE, ENGINE
from fctl_napari.segmentation.jobs.refining import check_refined
from fctl_napari.segmentation.jobs.request import SegmentationRequest, check_request
from fctl_napari.segmentation.jobs.stateful_job import Make, StagedEvent, StagedRun
from fctl_napari.segmentation.jobs.worker import Job, guarded
from fctl_napari.segmentation.store import inheritance
from fctl_napari.segmentation.store.identity import MIXED, same_image
from fctl_napari.segmentation.store.map_names import MAPS
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_lock import OpenedStore, lock_store, open_or_create, open_parent, remove_store
from fctl_napari.segmentation.tiling.average_plan import AveragePlan
from fctl_napari.segmentation.tiling.cells_in_view import cells_slices
from fctl_napari.segmentation.tiling.empty_cells import cells_without_data
from fctl_napari.segmentation.tiling.grid import Grid, TileGrid, cells_of
from fctl_napari.segmentation.tiling.live_plan import LivePlan
from fctl_napari.segmentation.tiling.merge import saved_tiles
from fctl_napari.segmentation.tiling.plan import CropPlan, Plan, Task
from fctl_napari.segmentation.tiling.progress import RunProgress
from fctl_napari.segmentation.tiling.released_grid import ReleasedGrid
from fctl_napari.windows import IntWindow, require_region

__all__ = ["Engine", "Run", "RunProgress", "SegmentationRequest"]

logger = logging.getLogger(__name__)


class Run:
    """A run under way, made by ``Engine.start``.

    Parameters
    ----------
    request : SegmentationRequest
        The request.
    workers : Workers
        Processes that compute.
    threads : int or None
        Number of torch threads of a worker. None uses all cores.
    on_progress : callable or None
        Called with each event, on a thread of the run.

    Attributes
    ----------
    out : Path
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
        self._opened: OpenedStore | None = None
        self._driver: Driver | None = None
        self._begun = False  # the first tile may be under way
        self._source = ""
        self._copy: ArrayCopy | None = None
        self._state: tuple[int, int] | None = None
        self._stop = threading.Event()
        self._views: queue.SimpleQueue[IntWindow | None] = queue.SimpleQueue()
        self._final = threading.Event()
        self._thread = threading.Thread(target=self._drive, name=f"fctl-run {self.out.name}", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop the run soon (within a second, or one tile if that takes longer).

        Finished tiles are kept. The method returns at once.
        """
        self._stop.set()

    def look(self, view: IntWindow | None) -> None:
        """Compute the tiles that meet a window first, from its center outward.

        A live run computes only these. It drops tiles that left the view before they were begun, and computes none
        where more than ``plan.LIVE_TILES`` are missing. The events report their numbers. The method returns at once.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """
        self._views.put(view)

    def wait(self, timeout: float | None = None) -> RunProgress:
        """Wait for the end of the run.

        Parameters
        ----------
        timeout : float or None, optional
            Longest time to wait, s. None waits as long as it takes.

        Returns
        -------
        RunProgress
            The final event, or the latest one if the time is over. It carries the error of a failed run.
        """
        self._final.wait(timeout)
        return self._latest

    def _report(self, event: RunProgress) -> None:
        if event.state == "running" and self._opened is not None and not self._begun:
            self._begun = True
            self._opened.keep()
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
        """Carry out the run, for the whole life of its thread."""
        with contextlib.ExitStack() as leaving:
            try:
                driver = self._driver = self._begin(leaving)
                self._report(driver.progress("starting"))
                driver.run()
                if self._copy is not None and self._copy.read:
                    with contextlib.suppress(FctlError):  # the result is there, and the array too
                        self._copy.finish()
                self._check_image()
                leaving.close()  # once "done" is reported, the next run on this store may start
                self._end(driver.progress("done"))
            except Stopped as stopped:
                self._make_way(failed=False)
                self._end(stopped.progress)
                stopped.settle()
                with contextlib.suppress(InputError):  # the next run reports it
                    self._check_image()
            except BaseException as error:
                self._make_way(failed=True)
                leaving.close()
                latest = self._latest
                self._end(RunProgress("failed", latest.done, latest.total, error=error, device=latest.device))

    def _make_way(self, *, failed: bool) -> None:
        """Leave what was there before, if the run ended before its first tile: it failed, or had begun afresh."""
        opened = self._opened
        if opened is None:
            return
        with contextlib.suppress(FctlError):  # the reason why the run ended is the one to report
            if not self._begun and (failed or opened.replaced is not None):
                opened.take_back()
                self._opened = None
            elif failed and opened.made and self._driver is not None and self._driver.came_to_nothing:
                remove_store(opened.store.path)
                self._opened = None

    def _check_image(self) -> None:
        """Refuse a result whose image was rewritten meanwhile, because it holds tiles of two pictures.

        Raises
        ------
        InputError
            The image was rewritten; the store fits no image any more.
        """
        if self._opened is None:
            return
        store = self._opened.store
        stored = store.facts["image"]
        if is_url(self._source) or (image_file(Path(self._source)).is_file() and _state(self._source) == self._state):
            return
        try:
            if same_image(stored, open_image(self._source)):
                return
        except InputError:
            return  # the image is gone now; everything read before is of one picture
        store.facts["image"] = {**stored, "fingerprint": MIXED}
        store.labels.set_attributes({ATTRIBUTE: store.facts})
        raise InputError(
            f"{self._source}: was changed while it was segmented, so tiles of two pictures lie in {self.out}; start it "
            "afresh with --fresh (in Python: fresh=True)."
        )

    def _begin(self, leaving: contextlib.ExitStack) -> Driver:
        """Check the request, and open or create the store."""
        request = self._request
        check_request(request)
        checkpoint = resolve_checkpoint(request.checkpoint).absolute()
        card, identity = read_card(checkpoint), checkpoint_hash(checkpoint)
        require_classes(request.checkpoint, card)
        source = request.image if is_url(request.image) else str(Path(request.image).absolute())
        self._source, self._state = source, None if is_url(source) else _state(source)
        image = open_image(source, value_range=request.value_range, bands=request.bands)
        image = network_image(image, card.config)
        self._copy = copy_at(source)
        check_units(image, card.config)
        tile_size, overlap = tile_on_image(card.config, image)
        overlap = overlap if request.overlap is None else request.overlap
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
            "bands": _bands(request, image),
            **({"network_bands": list(image.read_channels)} if card.config.bands else {}),
            **({} if image.validity is None else {"validity": image.validity.source}),
        }
        inherit = None if request.inherit is None else Path(request.inherit).absolute()
        parent = None if inherit is None else open_parent(inherit, self.out, image, grid, card, settings)
        lock = lock_store(self.out)
        leaving.callback(lock.release)
        self._opened = open_or_create(
            self.out,
            image=image,
            grid=grid,
            card=card,
            checkpoint_hash=identity,
            settings=settings,
            fresh=request.fresh,
            renew=request.renew,
        )
        store = self._opened.store
        if checkpoint not in builtin_checkpoints().values():
            store.remember_checkpoint(checkpoint)
        network = Network(
            str(checkpoint),
            identity,
            request.device,
            request.precision,
            request.batch,
            exact,
            self._threads,
            request.engine,
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
            inheritance.inherit(store, parent, self._stop.is_set)
        wanted = np.zeros((grid.rows, grid.cols), bool)
        wanted[cells_slices(grid, region)] = True
        if request.cells is not None:
            chosen = set(request.cells)
            for cell in cells_of(wanted):
                wanted[cell] = cell in chosen
        finished = store.done()
        missing = wanted & ~finished
        plan: Plan
        if request.live:
            plan = LivePlan(grid, finished)
        elif request.merge != "crop":
            plan = AveragePlan(grid, missing, saved_tiles(store.scratch))
        else:
            plan = CropPlan(grid, missing)
        total, done = int(np.count_nonzero(wanted)), int(np.count_nonzero(wanted & finished))
        empty = cells_without_data(image, grid, cells_of(missing)) if self._copy is None else set()
        looks = self._stop, self._views, self._report, empty
        fill = None if self._copy is None else partial(_fill, self._copy, image, grid, card.config, exact, self._stop)
        return Driver(self._workers, store, job, plan, done, total, *looks, fill)


def _fill(
    copied: ArrayCopy,
    image: Pyramid,
    grid: Grid,
    config: FCtLConfig,
    exact: bool,
    stop: threading.Event,
    task: Task,
) -> None:
    """Write what a task reads of an array into its copy, unless the run was cancelled."""
    parts = [part for tile in task.tiles for part in read_windows(image, grid.window(tile.cell), config, exact=exact)]
    for level, window in [*parts, *((0, grid.core(cell)) for cell in task.merges)]:
        if stop.is_set():
            return
        copied.fill(window, level)


def _bands(request: SegmentationRequest, image: Pyramid) -> list[int | str] | None:
    """Return what was said of the bands, or else those that are red, green and blue by what the file names them."""
    named = image.bands if any(image.band_names) else None
    bands = request.bands or named
    return None if bands is None else list(bands)


def _state(path: str) -> tuple[int, int] | None:
    """Return time and size of a file, which differ once it is rewritten, or None where there is none."""
    try:
        facts = image_file(Path(path)).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


class Engine:
    """Engine that runs networks in worker processes, so that the calling process stays free.

    The worker is a program of its own, which does not run the calling script. No ``if __name__ == "__main__":`` is
    needed, and a notebook or ``python -c`` will do.

    Parameters
    ----------
    scheduler : str or None, optional
        Address of a dask scheduler whose workers see the same files. None means one worker process on this machine,
        started when first needed and ended by ``close`` or with this process.
    threads : int or None, optional
        Number of torch threads of a worker on the CPU. None uses all cores. A window needs one core for itself.
    """

    def __init__(self, scheduler: str | None = None, *, threads: int | None = None) -> None:
        self._workers = Workers(scheduler)
        self._threads = threads
        self._runs: weakref.WeakSet[Run | StagedRun] = weakref.WeakSet()
        _open_engines.add(self)

    def start(self, request: SegmentationRequest, on_progress: Callable[[RunProgress], None] | None = None) -> Run:
        """Start a run, and return at once.

        Parameters
        ----------
        request : SegmentationRequest
            The request.
        on_progress : callable or None, optional
            Called with each event, on a thread of the run.

        Returns
        -------
        Run
            The run. Errors come with its final event.
        """
        run = Run(request, self._workers, self._threads, on_progress)
        self._runs.add(run)
        return run

    def start_staged(
        self, make: Make, argument: Any, on_event: Callable[[StagedEvent], None] | None = None
    ) -> StagedRun:
        """Start a job of short stages, and return at once.

        The state of the job stays in one worker.

        Parameters
        ----------
        make : Make
            Function that begins or resumes the job, see ``StagedRun``.
        argument : object
            Argument of the function; it is sent to the worker.
        on_event : callable or None, optional
            Called with each event, on the run's thread.

        Returns
        -------
        StagedRun
            The run. Errors come with its final event.
        """
        run = StagedRun(make, argument, self._workers, self._threads, on_event)
        self._runs.add(run)
        return run

    def explain(self, request: ExplainRequest) -> concurrent.futures.Future[TileExplanation]:
        """Request the explanation of a pixel from the worker, ahead of the tiles that wait there.

        The method returns at once.

        Parameters
        ----------
        request : ExplainRequest
            The request.

        Returns
        -------
        concurrent.futures.Future of TileExplanation
            Future of the explanation. Its ``result()`` raises the error: InputError (the pixel lies outside the image,
            the image is damaged), ConfigError (the network has no such parts), CheckpointError. It can be cancelled
            until the result is there.
        """
        return ask(self._workers, request, self._threads)

    def warm(self, checkpoint: str, device: str = DEVICE.default, engine: str = ENGINE.default) -> None:
        """Start the worker process and load a network in the background, so that the next run begins at once.

        Parameters
        ----------
        checkpoint : str
            Built-in name or file of the checkpoint.
        device : str, optional
            Device, as for ``Predictor``.
        engine : str, optional
            Engine that runs it, as for ``resolve_engine``. Explanations are computed by torch.

        Raises
        ------
        CheckpointError
            There is no such checkpoint.
        """
        path = resolve_checkpoint(checkpoint).absolute()

        def load() -> None:
            from distributed import fire_and_forget

            # The run that needs the network reports any error.
            with contextlib.suppress(Exception):
                network = Network(str(path), checkpoint_hash(path), device, threads=self._threads, engine=engine)
                fire_and_forget(self._workers.client().submit(guarded, warm, network, pure=False))

        threading.Thread(target=load, name="fctl-warm", daemon=True).start()

    def close(self) -> None:
        """Cancel all runs and end the worker process.

        It may be called twice.
        """
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
