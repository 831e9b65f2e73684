"""Names of what is kept beside an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from fctl_napari.errors import InputError
from fctl_napari.imagery.remote import is_url, last_name

IMAGE_SUFFIXES = (".ome.zarr", ".ome.tiff", ".ome.tif", ".zarr", ".tiff", ".tif", ".png", ".jpeg", ".jpg")
CORRECTIONS_SUFFIX = ".corrections.ome.zarr"


def stem(image: str | Path) -> str:
    """Return the name of an image (a file or an address) without its suffix, ``.ome.zarr`` and the like included."""
    name = last_name(image if is_url(image) else Path(image))
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def digest(*facts: object) -> str:
    """Return twelve characters that differ where any of the facts differs, for names of files."""
    return hashlib.blake2b("|".join(map(str, facts)).encode(), digest_size=6).hexdigest()


def writable(folder: Path) -> bool:
    """Tell whether files can be made in ``folder``."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def beside(image: str | Path, ending: str, elsewhere: Callable[[], Path] | None = None) -> Path:
    """Return where something of an image is kept: beside it, or in another folder.

    Parameters
    ----------
    image
        A file, or an address.
    ending
        Put after the image's name without its suffix.
    elsewhere
        Makes the folder for images at an address, or in a folder that is not writable.

    Raises
    ------
    InputError
        There is no place beside the image, and no other folder.
    """
    image = image if is_url(image) else Path(image).absolute()
    if isinstance(image, Path) and writable(image.parent):
        return image.with_name(stem(image) + ending)
    if elsewhere is None:
        raise InputError(f"{image}: nothing can be written beside it; say where.")
    return elsewhere() / f"{stem(image)}-{digest(image)}{ending}"


def corrections_path(image: str | Path, elsewhere: Callable[[], Path] | None = None) -> Path:
    """Return where the corrections of an image are kept; see :func:`beside`."""
    return beside(image, CORRECTIONS_SUFFIX, elsewhere)
