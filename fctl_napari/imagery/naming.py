"""Names of files that are kept beside an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.ngff import is_zarr
from fctl_napari.imagery.formats.remote import is_url, last_name
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.numbered import split_number

IMAGE_SUFFIXES = (".ome.zarr", ".ozx", ".ome.tiff", ".ome.tif", ".zarr", ".tiff", ".tif", ".png", ".jpeg", ".jpg")
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
        Last part of the path, without the suffix. That of ``slide.tif#image=1`` is ``slide.1``.
    """
    image, number = split_number(str(image))
    end = "" if number is None else f".{number}"
    name = last_name(image if is_url(image) else Path(image))
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return f"{name[: -len(suffix)]}{end}"
    return f"{name}{end}"


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
    image = image if is_url(image) else outside(Path(image).absolute(), ending)
    if isinstance(image, Path) and writable(image.parent):
        return image.with_name(stem(image) + ending)
    if elsewhere is None:
        raise InputError(f"{image}: nothing can be written beside it; give a path.")
    return _in_folder(elsewhere(), image, ending)


def _in_folder(folder: Path, image: str | Path, ending: str) -> Path:
    """Return the path of a file that belongs to an image and lies in another folder."""
    return folder / f"{stem(image)}-{digest(image)}{ending}"


def paths_of(image: str | Path, ending: str, elsewhere: Path | None) -> list[Path]:
    """List the paths that :func:`beside` gives, or gave when the image's folder was writable or was not.

    Parameters
    ----------
    image : str or Path
        File or address.
    ending : str
        Suffix that is put after the image's name without its own suffix.
    elsewhere : Path or None
        Folder for images at an address or in a folder that is not writable. None if there is none.

    Returns
    -------
    list of Path
        Paths, the one beside the image first.
    """
    image = image if is_url(image) else outside(Path(image).absolute(), ending)
    found = [image.with_name(stem(image) + ending)] if isinstance(image, Path) else []
    return found if elsewhere is None else [*found, _in_folder(elsewhere, image, ending)]


def outside(image: Path, ending: str) -> Path:
    """Return a path whose name and folder files beside an image can be named after.

    An image in a collection (``coll.ome.zarr/1``) is no place for other files. Those of ``coll.1`` lie beside the
    collection, unless there is one in it already. Those of ``slide.svs#image=1`` are named after ``slide.svs.1``.

    Parameters
    ----------
    image : Path
        File or folder.
    ending : str
        Suffix of the file that is looked for.

    Returns
    -------
    Path
        The image's path, or for an image in a collection another one beside that.
    """
    parent = image.parent
    file, number = split_number(image)
    if number is not None:
        return outside(file.with_name(stem(image)), ending)
    if image.with_name(stem(image) + ending).exists():
        return image
    if (parent.is_dir() or zip_file(parent) is not None) and is_zarr(parent):
        return outside(parent.with_name(f"{stem(parent)}.{stem(image)}"), ending)
    return image


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
