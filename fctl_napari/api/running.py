"""Runs in a worker process that lasts from call to call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fctl_napari.api.image import Image
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.exceptions import Cancelled
from fctl_napari.files import new_folder, remove_folder
from fctl_napari.imagery.array_copy import ArrayCopy, array_token, copy_of_array, is_lazy
from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.convert import convert
from fctl_napari.segmentation.jobs.engine import Engine, RunProgress, SegmentationRequest

LOOK_SECONDS = 0.1
"""Interval at which the progress of a run is looked at, s."""

_engines: dict[str | None, Engine] = {}
_live: dict[Path, Callable[[], None]] = {}
_copies: dict[Path, ArrayCopy] = {}
_lock = threading.Lock()


def shared_engine(scheduler: str | None = None) -> Engine:
    """Return the engine of this process, whose worker starts at the first run and ends with the process.

    Parameters
    ----------
    scheduler : str or None, optional
        Address of a dask scheduler whose workers see the same files. None computes on this machine.

    Returns
    -------
    Engine
        The engine.
    """
    with _lock:
        if scheduler not in _engines:
            _engines[scheduler] = Engine(scheduler)
        return _engines[scheduler]


def give_way(out: Path, stop: Callable[[], None] | None) -> None:
    """Say how a run of this process that stays open ends when another one writes the same map.

    Parameters
    ----------
    out : Path
        Folder of the map.
    stop : callable or None
        Function that ends the run. None if there is no such run any more.
    """
    with _lock:
        _live.pop(out.absolute(), None)
        if stop is not None:
            _live[out.absolute()] = stop


def make_way(out: Path) -> None:
    """End the run of this process that stays open and writes a map, if there is one.

    Parameters
    ----------
    out : Path
        Folder of the map.
    """
    with _lock:
        stop = _live.pop(out.absolute(), None)
    if stop is not None:
        stop()


def run(request: SegmentationRequest, description: str, progress: Shown, scheduler: str | None = None) -> RunProgress:
    """Carry out a request.

    An interrupt (Ctrl-C, or the notebook's stop button) stops it and keeps what is done.

    Parameters
    ----------
    request : SegmentationRequest
        The request.
    description : str
        Text of the bar.
    progress : bool or callable
        Whether a bar is shown, or what takes the counts.
    scheduler : str or None, optional
        As for ``shared_engine``.

    Returns
    -------
    RunProgress
        The last event.

    Raises
    ------
    FctlError
        The run failed, or was stopped.
    """
    make_way(Path(request.out))
    under_way = shared_engine(scheduler).start(request)
    try:
        with progress_bar(description, progress) as report:
            while True:
                event = under_way.wait(LOOK_SECONDS)
                report(event.done, event.total or 0, event.note)
                if event.state in ("done", "failed", "cancelled"):
                    break
    except BaseException:
        under_way.cancel()
        under_way.wait()
        raise
    if event.error is not None:
        raise event.error
    if event.state == "cancelled":
        raise Cancelled(f"{request.out}: was stopped; the same call resumes.")
    return event


@contextmanager
def stored(image: Image, out: Path) -> Iterator[str]:
    """Hold an image where the worker can open it, for the run in the block.

    An array in memory is written beside the result first, unless that has been done. A copy of a lazy one is begun
    there, which is filled where it is read, as long as this process lives. Where the block fails before there is a
    result, a copy that was not there before is removed again.

    Parameters
    ----------
    image : Image
        The image.
    out : Path
        Path of the result.

    Yields
    ------
    str
        Path or address.

    Raises
    ------
    OutputError
        The array cannot be written, or another one lies there.
    """
    if image.path is not None:
        yield image.path
        return
    path = out.with_name(f"{out.name.removesuffix('.ome.zarr')}.image.ome.zarr")
    there = path.exists()
    with new_folder(out.parent):
        try:
            array = image.pyramid.levels[0].array
            if is_lazy(array):
                _copies[path] = copy_of_array(with_chunk_cache(image.pyramid), path, array_token(array))
            else:
                convert(image.pyramid, path)
            yield str(path)
        except Cancelled:
            raise
        except Exception:
            if not there and not out.exists():
                _copies.pop(path, None)
                if path.exists():
                    remove_folder(path)
            raise
