"""Replacement of a store on disk by a rewritten one: a crash leaves the old one or the new one, complete."""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from pathlib import Path

from fctl_napari.exceptions import OutputError
from fctl_napari.files import output_error, sync
from fctl_napari.segmentation.store.store_lock import lock_store

SWAP_S = 0.5
"""Time to wait for another process that is just swapping, s."""


def being_made(path: Path) -> Path:
    """Return the path at which the new store is made. What lies there is incomplete.

    Parameters
    ----------
    path : Path
        Folder of the store.

    Returns
    -------
    Path
        Hidden folder beside it.
    """
    return path.with_name(f".{path.name}.rewritten.partial")


def former_path(path: Path, word: str) -> Path:
    """Return the path at which the old store will be kept.

    Parameters
    ----------
    path : Path
        Folder of the store.
    word : str
        Word for the change, such as ``"before-classes"``.

    Returns
    -------
    Path
        Folder beside it that is not there yet: its name with the word and a number.
    """
    names = (path.with_name(f"{path.name}.{word}-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def swap_in(path: Path, former: Path) -> None:
    """Put the store that was made at :func:`being_made` in the place of the old one.

    The caller holds the lock. Where a crash comes between the renames, :func:`finish_swap` completes them.

    Parameters
    ----------
    path : Path
        Folder of the store.
    former : Path
        Where the old one is kept, see :func:`former_path`.

    Raises
    ------
    OutputError
        The disk failed, or the location is not writable. The old store is where it was.
    """
    made, ready = being_made(path), _ready(path)
    sync([made, *made.rglob("*")])
    try:
        made.rename(ready)  # from here on it is complete
        sync([ready])
        path.rename(former)
        try:
            sync([former])
            ready.rename(path)
        except BaseException:
            former.rename(path)
            raise
        sync([path])
    except OSError as error:
        raise output_error(path, error) from error


def finish_swap(path: Path, *, locked: bool = False) -> None:
    """Complete the swap of a store that a crash left half done, between the two renames. Else do nothing.

    Parameters
    ----------
    path : Path
        Folder of the store.
    locked : bool, optional
        If True, the caller holds the lock. Otherwise it is taken.
    """
    ready = _ready(path)
    if path.exists() or not ready.exists():
        return
    if not locked:
        with suppress(OutputError):  # another process is swapping just now, or the folder is read-only
            lock = lock_store(path, timeout=SWAP_S)
            try:
                finish_swap(path, locked=True)
            finally:
                lock.release()
        return
    with suppress(OSError):  # then the store is missing, which the caller reports
        ready.rename(path)
        sync([path])


def clear_swap(path: Path) -> None:
    """Remove what a crash left before the old store was set aside. The caller holds the lock of a store that exists.

    Parameters
    ----------
    path : Path
        Folder of the store.
    """
    for left in (being_made(path), _ready(path)):
        shutil.rmtree(left, ignore_errors=True)


def _ready(path: Path) -> Path:
    """Return the path of the new store when it is complete, until it takes its place."""
    return path.with_name(f".{path.name}.rewritten")
