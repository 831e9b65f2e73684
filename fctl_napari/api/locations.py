"""Paths of pyramids and results: beside the image, or in a cache folder where nothing can be written there."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_data_path

from fctl_napari.cache.entries import cache_path
from fctl_napari.files import output_error
from fctl_napari.finetuning.candidates import CANDIDATE_SUFFIX, traces
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.naming import beside, outside, writable
from fctl_napari.imagery.naming import digest as digest
from fctl_napari.imagery.naming import stem as stem
from fctl_napari.imagery.numbered import image_file
from fctl_napari.segmentation.store.result_paths import MAPS_SUFFIX, STORE_SUFFIX
from fctl_napari.segmentation.store.stored_image import stored_image

PYRAMID_SUFFIX = ".pyramid.ome.zarr"
"""End of the names of pyramids beside their images."""


def cache_folder() -> Path:
    """Return the user's cache folder of this plugin, made if need be.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    folder = cache_path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def checkpoint_folder() -> Path:
    """Return the user's folder of checkpoints, made if need be.

    It serves images beside which nothing can be written.

    Returns
    -------
    Path
        The folder.

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


def checkpoint_path(image: str | Path) -> Path:
    """Return the folder of checkpoints that learn from an image.

    Parameters
    ----------
    image : str or Path
        Path or address of the image.

    Returns
    -------
    Path
        The image's folder, or the user's folder of checkpoints where that one is not writable or is the cache, from
        which files may vanish any day.
    """
    folder = None if is_url(image) else Path(image).absolute().parent
    if folder is None or not writable(folder) or folder.is_relative_to(cache_folder()):
        return checkpoint_folder()
    return folder


def checkpoints_beside(image: str | Path) -> list[Path]:
    """Find the files in the folder of checkpoints that learn from an image, without candidates.

    Parameters
    ----------
    image : str or Path
        Path or address of the image.

    Returns
    -------
    list of Path
        Files that end in ``.safetensors``, which need not be checkpoints, the newest first.
    """
    found = [
        path
        for path in checkpoint_path(image).glob("*.safetensors")
        if not (path.name.endswith(CANDIDATE_SUFFIX) or follows_strokes(path))
    ]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def follows_strokes(checkpoint: Path) -> bool:
    """Return whether a checkpoint is replaced after every stroke, and removed in the end.

    Parameters
    ----------
    checkpoint : Path
        Path of the checkpoint.

    Returns
    -------
    bool
        True while a window uses it, and after a crash of that window.
    """
    return checkpoint.with_name(f".{checkpoint.name}.lock").exists()


def new_checkpoint(image: str | Path, parent: str | Path) -> Path:
    """Return a free path for a checkpoint that learns from an image.

    It is ``earth-1`` for ``earth``, then ``earth-2``. A path is free if there is no checkpoint, none that waits or is
    unfinished, and no result that would pass for its own.

    Parameters
    ----------
    image : str or Path
        Path or address of the image.
    parent : str or Path
        Name or path of the checkpoint that learning starts from.

    Returns
    -------
    Path
        Path of the new file.
    """
    folder = checkpoint_path(image)
    name = re.sub(r"-\d+$", "", Path(parent).name.removesuffix(".safetensors"))
    for number in itertools.count(1):
        out = folder / f"{name}-{number}.safetensors"
        if not any(location.exists() for location in (out, *traces(out), result_path(image, out))):
            return out
    raise AssertionError


def pyramid_path(image: str | Path) -> Path:
    """Return the path of the pyramid of an image file.

    It lies beside the file, or in the cache if the image is an address or its folder is not writable. In the cache its
    name depends on the file's path, time and size, so that a changed file gets a new one.

    Parameters
    ----------
    image : str or Path
        Path or address of the image.

    Returns
    -------
    Path
        Path of the pyramid, which need not exist.
    """
    if is_url(image):
        return cache_folder() / f"{stem(image)}-{digest(image)}.ome.zarr"
    image = Path(image).absolute()
    location = outside(image, PYRAMID_SUFFIX)
    if writable(location.parent):
        return location.with_name(location.name + PYRAMID_SUFFIX)
    facts = image_file(image).stat()
    return cache_folder() / f"{stem(image)}-{digest(image, facts.st_mtime_ns, facts.st_size)}.ome.zarr"


def array_path(array: Any, name: str) -> Path:
    """Return the path of the pyramid of an array: in the cache, named after its content.

    The array is read once, a strip of rows at a time.

    Parameters
    ----------
    array : array_like [y, x] or [y, x, c]
        The array; anything that is read by slices.
    name : str
        Name of the layer; the file's name begins with it.

    Returns
    -------
    Path
        Path of the pyramid, which need not exist.
    """
    digest = hashlib.blake2b(f"{tuple(array.shape)} {array.dtype}".encode(), digest_size=6)
    for top in range(0, array.shape[0], 512):
        digest.update(np.ascontiguousarray(np.asarray(array[top : top + 512])).data)
    return cache_folder() / f"{_safe(name)}-{digest.hexdigest()}.ome.zarr"


def copy_path(name: str, fingerprint: str, number: int = 0) -> Path:
    """Return the path of the copy of a lazy array: in the cache, named after its fingerprint.

    Parameters
    ----------
    name : str
        Name of the layer; the file's name begins with it.
    fingerprint : str
        Fingerprint of the array.
    number : int, optional
        Number of the path, where those before are in use.

    Returns
    -------
    Path
        Path of the copy, which need not exist.
    """
    return cache_folder() / f"{_safe(name)}-{digest(fingerprint, *([number] if number else []))}.ome.zarr"


def earlier_path(name: str, fingerprint: str) -> Path | None:
    """Return the path after which earlier versions named the results of an array, where some are there.

    They named them after all px of the array.

    Parameters
    ----------
    name : str
        Name of the layer.
    fingerprint : str
        Fingerprint of the array.

    Returns
    -------
    Path or None
        Path of the pyramid that they made, which need not exist any more. None if there are no such results.
    """
    folder = cache_folder()
    begin = re.compile(re.escape(_safe(name)) + r"-[0-9a-f]{12}(?=\.)")
    usual = copy_path(name, fingerprint)
    for path in sorted(folder.glob(f"{_safe(name)}-*.*.ome.zarr")):
        named = begin.match(path.name)
        if named is None or usual.name.startswith(f"{named[0]}."):
            continue
        stored = stored_image(path)
        if stored is not None and stored["fingerprint"] == fingerprint:
            return folder / f"{named[0]}.ome.zarr"
    return None


def _safe(name: str) -> str:
    """Return the name of a layer as the beginning of a file's name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "image"


def result_path(image: str | Path, checkpoint: str | Path) -> Path:
    """Return the path of the segmentation of an image by a checkpoint.

    It lies beside the image. For an address, or if the image's folder is not writable, it lies in the cache.

    Parameters
    ----------
    image : str or Path
        Path or address of the image.
    checkpoint : str or Path
        Built-in name or file of the checkpoint.

    Returns
    -------
    Path
        Path of the store, which need not exist.
    """
    return _store_path(image, checkpoint, STORE_SUFFIX)


def maps_path(image: str | Path, checkpoint: str | Path) -> Path:
    """Return the path of a segmentation with maps, beside :func:`result_path`.

    Parameters
    ----------
    image : str or Path
        Path or address of the image.
    checkpoint : str or Path
        Built-in name or file of the checkpoint.

    Returns
    -------
    Path
        Path of the store, which need not exist.
    """
    return _store_path(image, checkpoint, MAPS_SUFFIX)


def maps_beside(result: Path) -> Path:
    """Return the path that :func:`maps_path` gives for the same image and checkpoint as :func:`result_path`.

    Parameters
    ----------
    result : Path
        Path that :func:`result_path` gave.

    Returns
    -------
    Path
        Path of the store with maps, which need not exist.
    """
    return result.with_name(f"{result.name.removesuffix(STORE_SUFFIX)}{MAPS_SUFFIX}")


def _store_path(image: str | Path, checkpoint: str | Path, suffix: str) -> Path:
    """Return the path of a store, beside the image or in the cache."""
    label = Path(checkpoint).name.removesuffix(".safetensors")
    return beside(image, f".{label}{suffix}", cache_folder)
