"""Destination of an export: earlier exports are known by a mark and may be replaced, other files never."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fctl_napari.exceptions import InputError, OutputError
from fctl_napari.files import new_folder, output_error
from fctl_napari.imagery.formats import ngff
from fctl_napari.segmentation.store.store import ATTRIBUTE

SOFTWARE = "fctl-napari"
"""Mark written into each file; a file that carries it may be overwritten."""

JSON_MARK = f'"generator": {json.dumps(SOFTWARE)}'
"""Mark near the beginning of JSON exports."""

LABELS_KIND = "exported labels"
"""Value of ``kind`` in the attributes of an exported OME-Zarr."""

ALMOST_FULL = 2**20
"""Free space of the disk, bytes, below which a failed write is attributed to a full disk."""


def check_path(out: Path) -> None:
    """Refuse a path where something else than an earlier export lies.

    Parameters
    ----------
    out : Path
        Path of the export.

    Raises
    ------
    OutputError
        Something else lies there.
    """
    if os.path.isdir(out) and not any(out.iterdir()):
        return
    if os.path.exists(out) and not (_is_labels(out) if out.is_dir() else _is_file(out)):
        raise OutputError(f"{out}: exists and is not an earlier export; choose another name.")


def _is_file(path: Path) -> bool:
    """Return whether a file is an export."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return False
    if head.startswith(b"{"):
        return JSON_MARK.encode() in head
    if head.startswith(b"SQLite format 3\0"):
        return _is_geopackage(path)
    return _is_raster(path)


def _is_raster(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            tags: Any = getattr(image, "tag_v2", {})
            software = image.info.get("Software") or tags.get(305)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return False
    return bool(software == SOFTWARE)


def _is_geopackage(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT metadata FROM gpkg_metadata").fetchall()
    except sqlite3.Error:
        return False
    return any(SOFTWARE in str(text) for (text,) in rows)


def _is_labels(path: Path) -> bool:
    try:
        ours = ngff.open_group(path).attrs.asdict().get(ATTRIBUTE)
    except InputError:
        return False
    return isinstance(ours, dict) and ours.get("kind") == LABELS_KIND


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield a temporary path for libraries that need a name, and replace the export with it in the end.

    The temporary path lies beside the export. If the block fails, what was at the export's path stays.

    Parameters
    ----------
    out : Path
        Path of the export.

    Yields
    ------
    Path
        Temporary path to write to.

    Raises
    ------
    OutputError
        The disk is full, or the folder is not writable.
    """
    try:
        with (
            new_folder(out.parent),
            tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as folder,
        ):
            temporary = Path(folder) / out.name
            try:
                yield temporary
            except _library_errors() as error:
                raise _failed(out, error) from error
            if out.is_dir():  # a folder cannot be moved over one that is not empty
                os.replace(out, Path(folder) / "earlier")
            os.replace(temporary, out)
    except OSError as error:
        raise output_error(out, error) from error


def _library_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that GDAL's failures are raised as."""
    found: list[type[Exception]] = []
    if find_spec("rasterio") is not None:
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import RasterioError

        found += [RasterioError, CPLE_BaseError]
    if find_spec("pyogrio") is not None:
        from pyogrio.errors import DataLayerError, DataSourceError

        found += [DataLayerError, DataSourceError]
    return tuple(found)


def _failed(out: Path, error: Exception) -> OutputError:
    """Return the error for GDAL's failure, which does not say when the disk was full."""
    if shutil.disk_usage(out.parent).free < ALMOST_FULL:
        return output_error(out, OSError(errno.ENOSPC, ""))
    return OutputError(f"{out}: cannot be written ({error}); check the disk's space and the CRS.")


def require(out: Path, what: str, *libraries: str) -> None:
    """Refuse an export for which libraries are not installed.

    Parameters
    ----------
    out : Path
        Path of the export.
    what : str
        Kind of export, in the plural, for the sentence of the error.
    *libraries : str
        Names of the libraries.

    Raises
    ------
    OutputError
        A library is missing.
    """
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise OutputError(f"{out}: {what} need {' and '.join(missing)}; install fctl-napari[geo].")
