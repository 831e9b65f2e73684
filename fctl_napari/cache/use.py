"""Marks of entries of the cache that a process uses, so that no other one deletes them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fctl_napari.cache.entries import cache_path, entry_path

MARKS = ".in-use"
"""Folder of the marks, in the cache folder. The system drops a mark's lock when its process dies."""


class Use:
    """Mark of an entry that is in use, as long as this object lives.

    Parameters
    ----------
    lock : FileLock
        Lock of the mark's file, acquired.
    """

    def __init__(self, lock: FileLock) -> None:
        self._end = weakref.finalize(self, _release, lock)

    def end(self) -> None:
        """End the use now."""
        self._end()


def use(path: Path | str) -> Use | None:
    """Mark an entry of the cache as in use, now and until the mark is gone.

    Parameters
    ----------
    path : Path or str
        Path of the entry, or into it, which need not exist yet. Call this before anything of it is read.

    Returns
    -------
    Use or None
        The mark, to be kept with what reads the entry. None for a path that is no entry, or if nothing can be written
        in the cache folder, from which then nothing can be deleted either.
    """
    entry = entry_path(path)
    if entry is None:
        return None
    with contextlib.suppress(OSError):
        with deciding():
            lock = FileLock(_marks() / f"{_name(entry)}.{uuid.uuid4().hex}", thread_local=False)
            lock.acquire(timeout=0)
        with contextlib.suppress(OSError):
            os.utime(entry)  # it is used now
        return Use(lock)
    return None


@contextmanager
def deciding() -> Iterator[None]:
    """Keep other processes from beginning to use an entry, or from deleting one, while the block runs.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    OSError
        The cache folder is not writable.
    """
    _marks().mkdir(parents=True, exist_ok=True)
    with FileLock(_marks() / "lock"):
        yield


def in_use(entry: Path) -> bool:
    """Return whether a process uses an entry.

    Parameters
    ----------
    entry : Path
        Folder of the entry.

    Returns
    -------
    bool
        True while it does. Marks of processes that died are removed.
    """
    return any(not _is_left_over(mark) for mark in _marks().glob(f"{_name(entry)}.*"))


def _is_left_over(mark: Path) -> bool:
    lock = FileLock(mark, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _release(lock)
    return True


def _release(lock: FileLock) -> None:
    lock.release()
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)


def _name(entry: Path) -> str:
    """Return what the names of an entry's marks begin with: a digest, as the entry's own name may be long."""
    return hashlib.blake2b(entry.relative_to(cache_path()).as_posix().encode(), digest_size=12).hexdigest()


def _marks() -> Path:
    return cache_path() / MARKS
