"""Requests to a worker to explain a pixel, ahead of the tiles that wait there (no torch)."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import FctlError
from fctl_napari.imagery.array_copy import copy_at
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.open import open_image
from fctl_napari.model.model_card import checkpoint_hash, read_card, resolve_checkpoint
from fctl_napari.segmentation.inference.network_image import network_image
from fctl_napari.segmentation.inference.tile_cutting import read_windows
from fctl_napari.segmentation.inference.tile_on_image import tile_on_image
from fctl_napari.segmentation.jobs.cluster import COUNT_SECONDS, DEATHS, DESERTED_SECONDS, Workers, result_of
from fctl_napari.segmentation.jobs.explanation import ExplainRequest, TileExplanation, owning_tile
from fctl_napari.segmentation.jobs.loaded_networks import Network
from fctl_napari.segmentation.jobs.worker import explain, guarded

PRIORITY = 10
"""Priority of an explanation. dask runs tasks of a higher priority first, and tiles have a lower one."""

DIED = f"the worker process died {DEATHS} times at this tile, most likely for lack of memory; use another device."


def network_of(request: ExplainRequest, threads: int | None = None) -> Network:
    """Return the network of a request, with the way in which it is run.

    Parameters
    ----------
    request : ExplainRequest
        The request.
    threads : int or None, optional
        Number of torch threads. None uses all cores.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    CheckpointError
        There is no such checkpoint.
    """
    path = resolve_checkpoint(request.checkpoint).absolute()
    return Network(
        str(path),
        checkpoint_hash(path),
        request.device,
        request.precision,
        exact_contexts=request.exact_contexts,
        threads=threads,
    )


def ask(workers: Workers, request: ExplainRequest, threads: int | None) -> concurrent.futures.Future[TileExplanation]:
    """Request the explanation of a pixel, and return at once.

    Parameters
    ----------
    workers : Workers
        Processes that compute.
    request : ExplainRequest
        The request.
    threads : int or None
        Number of torch threads of the worker. None uses all cores.

    Returns
    -------
    concurrent.futures.Future of TileExplanation
        Future of the explanation. It can be cancelled until the result is there; a worker that has begun then finishes
        in vain.
    """
    future: concurrent.futures.Future[TileExplanation] = concurrent.futures.Future()
    threading.Thread(target=_ask, args=(workers, request, threads, future), name="fctl-explain", daemon=True).start()
    return future


def _ask(
    workers: Workers,
    request: ExplainRequest,
    threads: int | None,
    future: concurrent.futures.Future[TileExplanation],
) -> None:
    """Carry out the request, for the whole life of its thread."""
    try:
        answer = _answer(workers, request, threads, future)
    except BaseException as error:
        with contextlib.suppress(concurrent.futures.InvalidStateError):  # cancelled in the meantime
            future.set_exception(error)
    else:
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            future.set_result(answer)


def _answer(
    workers: Workers,
    request: ExplainRequest,
    threads: int | None,
    future: concurrent.futures.Future[TileExplanation],
) -> TileExplanation:
    network = network_of(request, threads)
    if not is_url(request.image):
        request = replace(request, image=str(Path(request.image).absolute()))
    _fill(request)
    client = workers.client()
    if future.cancelled():
        raise concurrent.futures.CancelledError
    task: Any = client.submit(guarded, explain, network, request, pure=False, priority=PRIORITY)
    future.add_done_callback(lambda asked: task.cancel() if asked.cancelled() else None)
    # Not result(timeout): if dask is interrupted while it fetches, the result is lost.
    ready = threading.Event()
    task.add_done_callback(lambda _: ready.set())
    seen = time.monotonic()
    while not ready.wait(COUNT_SECONDS):
        if workers.count():
            seen = time.monotonic()
        elif time.monotonic() - seen > DESERTED_SECONDS:
            raise FctlError("all workers are gone and none came back; request the explanation again.")
    answer = result_of(task, DIED)
    assert isinstance(answer, TileExplanation)
    return answer


def _fill(request: ExplainRequest) -> None:
    """Write the tile of a request and its contexts into the copy of an array, if its image is one."""
    copied = copy_at(request.image)
    if copied is None:
        return
    config = read_card(resolve_checkpoint(request.checkpoint)).config
    image = network_image(open_image(request.image, value_range=request.value_range, bands=request.bands), config)
    grid, cell = owning_tile(request, tile_on_image(config, image), image.shape)
    for level, window in read_windows(image, grid.window(cell), config, exact=request.exact_contexts):
        copied.fill(window, level)
