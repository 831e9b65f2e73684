"""Removal of entries from the cache folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.cache.entries import CacheEntry, cache_path, entries
from fctl_napari.cache.use import deciding, in_use
from fctl_napari.exceptions import OutputError
from fctl_napari.files import set_aside

DAY_S = 86400.0


@dataclass(frozen=True)
class Removal:
    """Outcome of the removal of an entry.

    Attributes
    ----------
    entry : CacheEntry
        The entry.
    size : int
        Bytes that it took.
    kept : str
        Why it stays, as the end of a sentence. Empty if it is gone.
    """

    entry: CacheEntry
    size: int
    kept: str


def clear_cache(image: str | None = None, older_than: float | None = None) -> list[Removal]:
    """Remove entries from the cache, but none that somebody needs.

    Parameters
    ----------
    image : str or None, optional
        Path or address of an image, or of an entry: only what was made of it is removed. None removes all.
    older_than : float or None, optional
        Only what was not used for so many days is removed.

    Returns
    -------
    list of Removal
        What became of each of the chosen entries.
    """
    chosen = entries() if image is None else _of(image, entries())
    if older_than is not None:
        chosen = [entry for entry in chosen if time.time() - entry.used > older_than * DAY_S]
    for left in cache_path().glob(".*.ome.zarr.????????"):  # by a process that died while it removed something
        shutil.rmtree(left, ignore_errors=True)
    return [Removal(entry, entry.size, remove_entry(entry)) for entry in chosen]


def remove_entry(entry: CacheEntry) -> str:
    """Delete an entry, unless somebody needs it.

    Parameters
    ----------
    entry : CacheEntry
        The entry.

    Returns
    -------
    str
        Why it stays, as the end of a sentence. Empty if it is gone.
    """
    if work := entry.work:
        return work
    try:
        with deciding():  # nobody begins to use it between the look and the removal
            if in_use(entry.path):
                return "it is in use"
            aside = set_aside(entry.path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return str(error.strerror or error)
    except OutputError as error:
        return str(error) if entry.path.exists() else ""
    shutil.rmtree(aside, ignore_errors=True)
    return ""


def _of(image: str, found: Iterable[CacheEntry]) -> list[CacheEntry]:
    """Return the entries that were made of an image, or are it."""
    names = {image} if "://" in image else {str(Path(image).resolve()), str(Path(image).absolute())}
    return [
        entry
        for entry in found
        if str(entry.path) in names or entry.of in names or (entry.of or "").partition("#image=")[0] in names
    ]
