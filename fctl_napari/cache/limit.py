"""Limit of the cache folder's size, and the room that is made for a new entry."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fctl_napari.cache.clearing import remove_entry
from fctl_napari.cache.entries import cache_path, entries, entry_path, existing, folder_size, free_bytes
from fctl_napari.exceptions import ConfigError, InputError, OutputError
from fctl_napari.files import output_error, write_json
from fctl_napari.words import size_of

VARIABLE = "FCTL_CACHE_LIMIT"
"""Environment variable that states the limit, in place of the one that is kept."""

MOST_BYTES, SHARE = 50 * 10**9, 0.2
"""The usual limit, bytes: a dozen pyramids of gigapixels; and a share of the disk, which a small one can spare."""

SPARE_BYTES = 10**9
"""Bytes of the disk that stay free."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT])B?", re.IGNORECASE)
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class _Setting(BaseModel):
    """The file of the limit that the user chose."""

    limit_bytes: int = Field(ge=0)


def limit_path() -> Path:
    """Return the path of the user's file of the limit: ``{"limit_bytes": 20000000000}``.

    Returns
    -------
    Path
        The file, which need not be there.
    """
    from platformdirs import user_config_path

    return user_config_path("fctl-napari") / "cache.json"


def cache_limit() -> tuple[int, Literal["environment", "chosen", "default"]]:
    """Return how many bytes the cache may hold, and who says so.

    Returns
    -------
    limit : int
        Bytes.
    source : {"environment", "chosen", "default"}
        The environment variable, the user's choice, or the usual limit.

    Raises
    ------
    ConfigError
        The variable states no size.
    InputError
        The user's file is damaged.
    """
    if stated := os.environ.get(VARIABLE):
        return parse_size(stated, VARIABLE), "environment"
    path = limit_path()
    try:
        return _Setting.model_validate_json(path.read_bytes()).limit_bytes, "chosen"
    except FileNotFoundError:
        disk = shutil.disk_usage(existing(cache_path())).total
        return min(MOST_BYTES, int(SHARE * disk)), "default"
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: holds no limit of the cache; state it again with `fctl cache limit SIZE`."
        ) from error


def remember_limit(limit: int | None) -> None:
    """Keep the limit that the user chose.

    Parameters
    ----------
    limit : int or None
        Bytes. None forgets it, so that the usual one counts.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    path = limit_path()
    if limit is not None:
        write_json(path, {"limit_bytes": limit})
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


def parse_size(text: str, where: str) -> int:
    """Return the bytes of a size in words.

    Parameters
    ----------
    text : str
        A number with a unit: ``20 GB``, ``500MB``.
    where : str
        What states it, for the error.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    ConfigError
        It is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{where} {text}: is no size; give a number with MB, GB or TB, like 20GB.")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def make_room(out: Path, nbytes: int) -> list[Path]:
    """Make room for a new pyramid: delete entries that were used longest ago, if it is to lie in the cache.

    Parameters
    ----------
    out : Path
        Folder of the pyramid. What is there of it already counts.
    nbytes : int
        Bytes that it takes, about.

    Returns
    -------
    list of Path
        Entries that were deleted.

    Raises
    ------
    OutputError
        The disk, or the limit of the cache, cannot hold it.
    """
    nbytes = max(0, nbytes - folder_size(out))
    freed: list[Path] = []
    if entry_path(out) is not None:
        freed = _keep_limit(out, nbytes)
    if free_bytes(out) < nbytes + min(SPARE_BYTES, nbytes):
        raise OutputError(
            f"{out}: takes about {size_of(nbytes)}, and its disk has {size_of(free_bytes(out))} free; free some space "
            "there, or convert the image to another disk with fctl convert."
        )
    return freed


def _keep_limit(out: Path, nbytes: int) -> list[Path]:
    """Delete entries, those used longest ago first, until a new one fits into the limit and onto the disk."""
    limit, _ = cache_limit()
    others = [entry for entry in entries() if entry.path != out]
    sizes = {entry.path: entry.size for entry in others}
    held = sum(sizes.values()) + folder_size(out)
    if nbytes + folder_size(out) > limit:
        raise OutputError(
            f"{out}: takes about {size_of(nbytes)}, and the cache may hold {size_of(limit)}; allow it more with `fctl "
            "cache limit SIZE`."
        )
    freed = []
    for entry in others:
        if held + nbytes <= limit and free_bytes(out) >= nbytes + min(SPARE_BYTES, nbytes):
            break
        if not remove_entry(entry):
            held -= sizes[entry.path]
            freed.append(entry.path)
    if held + nbytes > limit:
        raise OutputError(
            f"{out}: takes about {size_of(nbytes)}, and the cache may hold {size_of(limit)}, of which {size_of(held)} "
            "are in use; close images, or allow it more with `fctl cache limit SIZE`."
        )
    return freed
