"""OME-Zarr images in one zip file (RFC-9, ``.ozx``), read without unpacking."""

from __future__ import annotations

import zipfile
from pathlib import Path

from zarr.storage import ZipStore

from fctl_napari.exceptions import InputError

ZIP_MAGIC = b"PK\x03\x04"
METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def zip_file(path: Path) -> Path | None:
    """Return the zip file that a path leads to, or into.

    Parameters
    ----------
    path : Path
        A file, or a path that continues inside a zip file (``scene.ozx/labels``).

    Returns
    -------
    Path or None
        The zip file. None if there is none.
    """
    for part in (path, *path.parents):
        if part.is_dir():
            return None
        if part.is_file():
            try:
                with part.open("rb") as file:
                    return part if file.read(4) == ZIP_MAGIC else None
            except OSError:
                return None  # reported when it is opened as what its name says
    return None


def zip_entry(path: Path) -> tuple[Path, str]:
    """Return the zip file of a path, and the Zarr node in it that the path means.

    Parameters
    ----------
    path : Path
        A path with a :func:`zip_file`.

    Returns
    -------
    tuple of Path and str
        Zip file, and path of the node in it, without slashes around it. Where the file holds one folder, and the Zarr
        in it, that folder is the root.

    Raises
    ------
    InputError
        The zip file is damaged, or holds no Zarr.
    """
    file = zip_file(path)
    assert file is not None
    names = _names(file)
    tops = {name.partition("/")[0] for name in names if "/" in name}
    roots = ["", *(f"{top}/" for top in tops)] if len(tops) == 1 else [""]
    root = next((root for root in roots for name in METADATA if f"{root}{name}" in names), None)
    if root is None:
        raise InputError(f"{file}: is a zip file without an OME-Zarr at its root; unzip it and give the image in it.")
    return file, f"{root}{path.relative_to(file).as_posix()}".removesuffix(".").strip("/")


def is_zipped_zarr(path: Path) -> bool:
    """Return whether there is a Zarr group or array at a path in a zip file.

    Parameters
    ----------
    path : Path
        A path with a :func:`zip_file`.

    Returns
    -------
    bool
        True if its metadata is there.
    """
    try:
        file, node = zip_entry(path)
        names = _names(file)
    except InputError:
        return False
    return any(f"{node}/{name}".strip("/") in names for name in METADATA)


def open_zip(path: Path) -> tuple[ZipStore, str]:
    """Open the store of a Zarr in a zip file.

    Parameters
    ----------
    path : Path
        A path with a :func:`zip_file`.

    Returns
    -------
    tuple of ZipStore and str
        Read-only store, and path of the node in it.

    Raises
    ------
    InputError
        The zip file is damaged, or holds no Zarr.
    """
    file, node = zip_entry(path)
    return ZipStore(file, mode="r"), node


def _names(file: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(file) as opened:
            return frozenset(opened.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{file}: is a truncated or damaged zip file; fetch it again ({error}).") from error
