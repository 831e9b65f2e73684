"""Entries of the user's cache folder: what was derived from other files, and can be made again."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

NETWORKS = "openvino"
"""Folder of networks that were converted for OpenVINO, in the cache folder."""

_PYRAMID = re.compile(r".*-[0-9a-f]{12}(\.labels)?\.ome\.zarr")
"""Name of a pyramid: named after what it is made of, unlike results and corrections, whose names have further ends."""

_SAMPLE = re.compile(r"sample-.+")
_SCENE = "earth.ome.zarr"
_OWN_LABELS = "truth"
"""Labels that come with the sample scene; people may export others into a pyramid."""


@dataclass(frozen=True)
class CacheEntry:
    """An entry of the cache folder.

    Attributes
    ----------
    path : Path
        Its folder.
    kind : {"pyramid", "array", "labels", "sample", "network"}
        What it is: a pyramid of a file or of an array in memory, levels of a ground truth, the sample scene, or a
        network that was converted.
    of : str or None
        File or address that it was made of, as far as it says.
    used : float
        When it was used last, seconds since 1970.
    """

    path: Path
    kind: str
    of: str | None
    used: float

    @property
    def size(self) -> int:
        """Bytes on disk (this reads all of its folders)."""
        return folder_size(self.path)

    @property
    def work(self) -> str:
        """Reason why it cannot be made again, as the end of a sentence. Empty if it can."""
        labels = self.path / "labels"
        if labels.is_dir() and any(one.is_dir() and one.name != _OWN_LABELS for one in labels.iterdir()):
            return "labels were written into it"
        begin = self.path.name.removesuffix(".ome.zarr") + "."
        lost = self.kind == "array" or (
            self.kind == "pyramid" and self.of is not None and "://" not in self.of and not os.path.exists(self.of)
        )
        if lost and any(one != self.path and one.name.startswith(begin) for one in self.path.parent.iterdir()):
            return "results of it are there, and no file holds its image"
        return ""


def cache_path() -> Path:
    """Return the path of the user's cache folder, which need not exist.

    Returns
    -------
    Path
        The folder.
    """
    return user_cache_path("fctl-napari")


def entry_path(path: Path | str) -> Path | None:
    """Return the entry of the cache that a path leads to or into.

    Parameters
    ----------
    path : Path or str
        Path or address.

    Returns
    -------
    Path or None
        Folder of the entry, which need not exist. None outside the cache, and for what people made there.
    """
    if "://" in str(path):
        return None
    folder = cache_path()
    try:
        parts = Path(path).absolute().relative_to(folder).parts
    except ValueError:
        return None
    if len(parts) > 1 and (parts[0] == NETWORKS or (_SAMPLE.fullmatch(parts[0]) and parts[1] == _SCENE)):
        return folder / parts[0] / parts[1]
    return folder / parts[0] if parts and _PYRAMID.fullmatch(parts[0]) else None


def entries() -> list[CacheEntry]:
    """List the entries of the cache.

    Returns
    -------
    list of CacheEntry
        Entries, those used longest ago first.
    """
    found = [entry for path in _candidates() if (entry := _entry(path)) is not None]
    return sorted(found, key=lambda entry: entry.used)


def folder_size(folder: Path) -> int:
    """Return the bytes of the files in a folder.

    Parameters
    ----------
    folder : Path
        The folder. Files that vanish meanwhile do not count.

    Returns
    -------
    int
        Bytes. 0 if it is missing.
    """
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk of a folder.

    Parameters
    ----------
    folder : Path
        The folder, which need not exist.

    Returns
    -------
    int
        Bytes that can be written there.
    """
    return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Path
        A folder that exists.
    """
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _candidates() -> Iterator[Path]:
    """Yield the folders whose places are those of entries."""
    folder = cache_path()
    for pattern in ("*.ome.zarr", f"sample-*/{_SCENE}", f"{NETWORKS}/*"):
        yield from (
            path
            for path in folder.glob(pattern)
            if entry_path(path) == path and path.is_dir() and not path.is_symlink()
        )


def _entry(path: Path) -> CacheEntry | None:
    """Return the entry in a folder, or None for what people made there under such a name."""
    used = path.stat().st_mtime
    if path.parent.name == NETWORKS:
        return None if path.name.startswith(".") else CacheEntry(path, "network", None, used)
    attributes = _attributes(path)
    if "kind" in attributes:
        return None  # a segmentation or corrections
    source = attributes.get("source")
    of = source.get("path") if isinstance(source, dict) else None
    if path.name == _SCENE:
        return CacheEntry(path, "sample", of, used)
    if path.name.endswith(".labels.ome.zarr"):
        return CacheEntry(path, "labels", None, used)
    return CacheEntry(path, "pyramid" if of else "array", of, used)


def _attributes(path: Path) -> dict[str, Any]:
    """Read the attributes that we store in an OME-Zarr. They are empty in one that is unfinished or not ours."""
    try:
        document = json.loads((path / "zarr.json").read_bytes())
        attributes = document["attributes"]["fctl"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return attributes if isinstance(attributes, dict) else {}
