"""Names of files that are kept beside an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from fctl_napari.errors import InputError
from fctl_napari.imagery.formats.remote import is_url, last_name

IMAGE_SUFFIXES = (".ome.zarr", ".ome.tiff", ".ome.tif", ".zarr", ".tiff", ".tif", ".png", ".jpeg", ".jpg")
CORRECTIONS_SUFFIX = ".corrections.ome.zarr"


def stem(image: str | Path) -> str:
    """Return the name of an image without its suffix, ``.ome.zarr`` and the like included.

    Parameters
    ----------
    image : str or Path
        File or address.

    Returns
    -------
    str
        Last part of the path, without the suffix.
    """
    name = last_name(image if is_url(image) else Path(image))
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def digest(*facts: object) -> str:
    """Return a short digest of some facts, for file names.

    Parameters
    ----------
    *facts : object
        Values that identify the file.

    Returns
    -------
    str
        Twelve hexadecimal characters, which differ where any of the facts differs.
    """
    return hashlib.blake2b("|".join(map(str, facts)).encode(), digest_size=6).hexdigest()


def writable(folder: Path) -> bool:
    """Return whether files can be created in a folder.

    Parameters
    ----------
    folder : Path
        Folder.

    Returns
    -------
    bool
        True if it is a folder and may be written.
    """
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def beside(image: str | Path, ending: str, elsewhere: Callable[[], Path] | None = None) -> Path:
    """Return the path of a file that belongs to an image: beside the image, or in another folder.

    Parameters
    ----------
    image : str or Path
        File or address.
    ending : str
        Suffix that is put after the image's name without its own suffix.
    elsewhere : callable or None, optional
        Returns the folder for images at an address or in a folder that is not writable.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    InputError
        Nothing can be written beside the image, and there is no other folder.
    """
    image = image if is_url(image) else Path(image).absolute()
    if isinstance(image, Path) and writable(image.parent):
        return image.with_name(stem(image) + ending)
    if elsewhere is None:
        raise InputError(f"{image}: nothing can be written beside it; give a path.")
    return elsewhere() / f"{stem(image)}-{digest(image)}{ending}"


def corrections_path(image: str | Path, elsewhere: Callable[[], Path] | None = None) -> Path:
    """Return the path of an image's corrections.

    Parameters
    ----------
    image : str or Path
        File or address.
    elsewhere : callable or None, optional
        See :func:`beside`.

    Returns
    -------
    Path
        Path of the corrections.

    Raises
    ------
    InputError
        Nothing can be written beside the image, and there is no other folder.
    """
    return beside(image, CORRECTIONS_SUFFIX, elsewhere)
