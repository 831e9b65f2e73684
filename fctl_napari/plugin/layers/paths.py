"""Where pyramids and results are kept: beside the image, or in a cache folder if that place is not writable."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path, user_data_path

from fctl_napari.files import output_error
from fctl_napari.finetuning.candidates import traces
from fctl_napari.imagery.naming import beside, writable
from fctl_napari.imagery.naming import digest as digest
from fctl_napari.imagery.naming import stem as stem
from fctl_napari.imagery.remote import is_url
from fctl_napari.segmentation.store.result_paths import MAPS_SUFFIX, STORE_SUFFIX

PYRAMID_SUFFIX = ".pyramid.ome.zarr"


def cache_folder() -> Path:
    """Return the user's cache folder of this plugin, made if need be.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    folder = user_cache_path("fctl-napari")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def checkpoint_folder() -> Path:
    """Return the user's folder of checkpoints, for images beside which nothing can be written, made if need be.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    folder = user_data_path("fctl-napari") / "checkpoints"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def checkpoint_place(image: str | Path) -> Path:
    """Return the folder of checkpoints that learn from an image: the image's, or the user's where that is no place.

    That is one that is not writable, or the cache: what is kept there may go any day.
    """
    folder = None if is_url(image) else Path(image).absolute().parent
    if folder is None or not writable(folder) or folder.is_relative_to(cache_folder()):
        return checkpoint_folder()
    return folder


def new_checkpoint(image: str | Path, parent: str | Path) -> Path:
    """Return a free place for a checkpoint that learns from an image: ``earth-1`` from ``earth``, then ``earth-2``.

    Free of a checkpoint, of one that waits or is unfinished, and of a result that would pass for its own.
    """
    folder = checkpoint_place(image)
    name = re.sub(r"-\d+$", "", Path(parent).name.removesuffix(".safetensors"))
    for number in itertools.count(1):
        out = folder / f"{name}-{number}.safetensors"
        if not any(place.exists() for place in (out, *traces(out), result_path(image, out))):
            return out
    raise AssertionError


def pyramid_path(image: str | Path) -> Path:
    """Return where the pyramid of an image file is kept; of an address, in the cache.

    In the cache its name depends on the file's place, time and size, so that a changed file gets a new one.
    """
    if is_url(image):
        return cache_folder() / f"{stem(image)}-{digest(image)}.ome.zarr"
    image = Path(image).absolute()
    if writable(image.parent):
        return image.with_name(image.name + PYRAMID_SUFFIX)
    facts = image.stat()
    return cache_folder() / f"{stem(image)}-{digest(image, facts.st_mtime_ns, facts.st_size)}.ome.zarr"


def array_path(array: Any, name: str) -> Path:
    """Return where the pyramid of an array [y, x] or [y, x, c] is kept: in the cache, named after its content.

    The array is read once, a strip of rows at a time.
    """
    digest = hashlib.blake2b(f"{tuple(array.shape)} {array.dtype}".encode(), digest_size=6)
    for top in range(0, array.shape[0], 512):
        digest.update(np.ascontiguousarray(np.asarray(array[top : top + 512])).data)
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "image"
    return cache_folder() / f"{safe}-{digest.hexdigest()}.ome.zarr"


def result_path(image: str | Path, checkpoint: str | Path) -> Path:
    """Return where the segmentation of ``image`` by ``checkpoint`` (a built-in name or a file) is kept.

    Beside the image; of an address, or if that place is not writable, in the cache.
    """
    return _store_path(image, checkpoint, STORE_SUFFIX)


def maps_path(image: str | Path, checkpoint: str | Path) -> Path:
    """Return where a segmentation of ``image`` by ``checkpoint`` with maps is kept, beside :func:`result_path`."""
    return _store_path(image, checkpoint, MAPS_SUFFIX)


def maps_beside(result: Path) -> Path:
    """Return where :func:`maps_path` lies, given :func:`result_path`."""
    return result.with_name(f"{result.name.removesuffix(STORE_SUFFIX)}{MAPS_SUFFIX}")


def _store_path(image: str | Path, checkpoint: str | Path, suffix: str) -> Path:
    label = Path(checkpoint).name.removesuffix(".safetensors")
    return beside(image, f".{label}{suffix}", cache_folder)
