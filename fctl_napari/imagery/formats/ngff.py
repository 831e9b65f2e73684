"""OME-Zarr (NGFF) groups and metadata: written as 0.5, read up to 0.6."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core import sync as zarr_sync
from zarr.errors import BaseZarrError, ContainsArrayError, NodeNotFoundError
from zarr.storage import StoreLike

from fctl_napari.errors import InputError, OutputError, reason_of
from fctl_napari.files import output_error
from fctl_napari.imagery.formats.ngff_axes import axis_letters, described_axes
from fctl_napari.imagery.formats.remote import SIGN_IN, HttpStore, open_store
from fctl_napari.imagery.formats.zipped import is_zipped_zarr, open_zip, zip_file
from fctl_napari.imagery.halving import NAPARI_COARSEST, halved_shape

VERSION = "0.5"

FILE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gpkg", ".geojson", ".json", ".zip", ".ozx", ".npy", ".safetensors")
)
"""Suffixes of files, by which no folder of a Zarr is called."""


def is_zarr(path: Path | str) -> bool:
    """Return whether there is a Zarr group or array.

    A folder, also in a zip file, is judged by its metadata files.

    Parameters
    ----------
    path : Path or str
        Folder, or address.

    Returns
    -------
    bool
        True for a group or array in a folder or in a zip file, and for a group at an address.
    """
    if isinstance(path, str):
        try:
            open_group(path)
        except NoGroupError:
            return False
        return True
    if zip_file(path) is not None:
        return is_zipped_zarr(path)
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


class NoGroupError(InputError):
    """The error raised where a Zarr group was looked for and there is none."""


class WebPageError(NoGroupError):
    """The error raised where a server answers with a web page instead of a Zarr group."""


def open_group(path: Path | str, mode: str = "r") -> zarr.Group:
    """Open a Zarr group.

    Parameters
    ----------
    path : Path or str
        Its folder, its zip file or a path into that, or its address.
    mode : str, optional
        ``"r"``, or ``"r+"`` to change it (only in a folder).

    Returns
    -------
    zarr.Group
        Opened group.

    Raises
    ------
    NoGroupError
        There is no such folder, or it is not a Zarr group.
    InputError
        Its metadata is damaged, or its server cannot be reached.
    """
    store: StoreLike
    node = ""
    if isinstance(path, str):
        store = open_store(path)
    elif zip_file(path) is not None:
        store, node = open_zip(path)
    else:
        if not path.exists():
            raise NoGroupError(f"{path}: there is no such file; check the path.")
        if not path.is_dir() or not is_zarr(path):
            raise NoGroupError(f"{path}: is not an OME-Zarr; give the folder that holds zarr.json or .zattrs.")
        store = path
    # Consolidated metadata in a folder may be older than the labels in it. At an address it saves requests.
    consolidated = None if isinstance(path, str) else False
    try:
        return zarr.open_group(store, mode="r+" if mode == "r+" else "r", path=node, use_consolidated=consolidated)
    except ContainsArrayError:
        raise _single_array(path) from None
    except NodeNotFoundError:
        if _is_array(store, node):
            raise _single_array(path) from None
        if isinstance(store, HttpStore) and store.web_pages:
            raise WebPageError(
                f"{path}: its Zarr metadata cannot be read, since the server answers with a web page; {SIGN_IN}."
            ) from None
        raise NoGroupError(f"{path}: there is no OME-Zarr at this {_kind(path)}; check it.") from None
    except (BaseZarrError, ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        reason = reason_of(error)
        raise InputError(f"{path}: its Zarr metadata cannot be read; write it again ({reason}).") from error


def _kind(path: Path | str) -> str:
    return "address" if isinstance(path, str) else "path"


def _single_array(path: Path | str) -> InputError:
    return InputError(f"{path}: is a single array of a Zarr; give the group that it belongs to.")


def _is_array(store: StoreLike, node: str) -> bool:
    """Return whether there is an array of Zarr version 2, which zarr does not tell from nothing."""
    try:
        zarr.open_array(store, mode="r", path=node)
    except (BaseZarrError, ValueError, KeyError, TypeError, OSError, RuntimeError):
        return False
    return True


def ome_attributes(group: zarr.Group) -> dict[str, Any]:
    """Return the OME metadata of a group.

    Parameters
    ----------
    group : zarr.Group
        Zarr group.

    Returns
    -------
    dict of str to object
        Its ``ome`` attribute (0.5), or all attributes (0.4).
    """
    attributes = group.attrs.asdict()
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, dict) else {}


def is_label_image(group: zarr.Group) -> bool:
    """Return whether a group is a label image, not an image.

    Parameters
    ----------
    group : zarr.Group
        Zarr group.

    Returns
    -------
    bool
        True if its metadata describes labels.
    """
    return "image-label" in ome_attributes(group)


def open_levels(group: zarr.Group, path: Path | str) -> tuple[list[zarr.Array[Any]], str, dict[str, Any]]:
    """Open the arrays of a multiscale image.

    Parameters
    ----------
    group : zarr.Group
        Group of the image.
    path : Path or str
        Its location, for messages.

    Returns
    -------
    levels : list of zarr.Array
        Arrays, the finest first.
    axes : str
        One letter per axis (``"cyx"``), whatever their names are.
    multiscale : dict of str to object
        Multiscale metadata.

    Raises
    ------
    InputError
        The group is not a multiscale image, or an array is missing.
    """
    ome = ome_attributes(group)
    try:
        multiscale = ome["multiscales"][0]
        paths = [dataset["path"] for dataset in multiscale["datasets"]]
        described = described_axes(multiscale)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InputError(f"{path}: holds no OME-Zarr image (no multiscales); choose the group of an image.") from None
    axes = axis_letters(described, path)
    levels: list[zarr.Array[Any]] = []
    for name in paths:
        try:
            array = group[name]
        except (KeyError, BaseZarrError, ValueError, OSError):
            array = None
        if not isinstance(array, zarr.Array) or array.ndim != len(axes):
            raise InputError(f"{path}: its level {name!r} is missing or damaged; write it again.")
        levels.append(array)
    if not levels:
        raise InputError(f"{path}: holds no levels; write it again.")
    return levels, axes, multiscale


def label_classes(group: zarr.Group) -> list[dict[str, Any]]:
    """Read names and colors of class 0, 1, ... (values 1, 2, ...) of a label group.

    Parameters
    ----------
    group : zarr.Group
        Group of the label image.

    Returns
    -------
    list of dict of str to object
        ``{"name": str, "color": [r, g, b]}`` of each class. Empty unless every value from 1 on has a name.
    """
    described = ome_attributes(group).get("image-label") or {}
    names = {p.get("label-value"): p.get("name") for p in described.get("properties") or ()}
    colors = {c.get("label-value"): c.get("rgba") for c in described.get("colors") or ()}
    names.pop(0, None)
    if not names or None in names.values() or set(names) != set(range(1, len(names) + 1)):
        return []
    return [{"name": names[v], "color": list(colors.get(v) or (128, 128, 128))[:3]} for v in range(1, len(names) + 1)]


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the shapes of an image's levels: halved, rounding up, until about 1000 px.

    Parameters
    ----------
    shape : tuple of 2 int
        (height, width) of level 0, px.

    Returns
    -------
    list of tuple of 2 int
        (height, width) of each level, px.
    """
    shapes = [shape]
    while max(shapes[-1]) > NAPARI_COARSEST:
        height, width = halved_shape(shapes[-1])
        shapes.append((height, width))
    return shapes


def multiscale_metadata(
    name: str,
    axes: str,
    factors: Sequence[tuple[float, float]],
    *,
    kind: str,
    pixel_size: tuple[float, float] | None = None,
    translation: tuple[float, float] = (0.0, 0.0),
    unit: str | None = None,
    centred: bool,
) -> dict[str, Any]:
    """Describe a multiscale image with the levels ``"0"``, ``"1"``, ...

    Parameters
    ----------
    name : str
        Name for users.
    axes : str
        ``"cyx"`` or ``"yx"``.
    factors : sequence of tuple of 2 float
        Level-0 px per px of each level, (y, x).
    kind : str
        Method by which a level is made of the one before.
    pixel_size : tuple of 2 float or None, optional
        (y, x) size of a level-0 px, in ``unit``.
    translation : tuple of 2 float, optional
        (y, x) position of the center of the first px of level 0, in ``unit``.
    unit : str or None, optional
        Unit of ``pixel_size``.
    centred : bool
        If True, a px of a coarser level lies at the center of the px it stands for (a mean). Otherwise it lies on the
        first of them (a subsample).

    Returns
    -------
    dict of str to object
        Entry of ``multiscales``.
    """
    size = dict(zip("yx", pixel_size or (1.0, 1.0), strict=True))
    start = dict(zip("yx", translation, strict=True))
    described = []
    for axis in axes:
        entry = {"name": axis, "type": "channel" if axis == "c" else "space"}
        if axis != "c" and unit is not None:
            entry["unit"] = unit
        described.append(entry)
    datasets = []
    for level, by_axis in enumerate(factors):
        factor = dict(zip("yx", by_axis, strict=True))
        offset = {axis: start[axis] + (size[axis] * (factor[axis] - 1) / 2 if centred else 0.0) for axis in "yx"}
        transformations: list[dict[str, Any]] = [
            {"type": "scale", "scale": [1.0 if axis == "c" else factor[axis] * size[axis] for axis in axes]}
        ]
        if any(offset.values()):
            transformations.append({"type": "translation", "translation": [offset.get(axis, 0.0) for axis in axes]})
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    return {"name": name, "axes": described, "datasets": datasets, "type": kind}


def halved_factors(levels: int) -> list[tuple[float, float]]:
    """Return the factors of levels that are each half as large as the one before.

    Parameters
    ----------
    levels : int
        Number of levels.

    Returns
    -------
    list of tuple of 2 float
        Level-0 px per px of each level, (y, x).
    """
    return [(float(2**level), float(2**level)) for level in range(levels)]


def create_levels(
    group: zarr.Group,
    axes: str,
    shapes: Sequence[tuple[int, int]],
    chunk: int,
    dtype: Any,
    channels: int | None = None,
) -> list[zarr.Array[Any]]:
    """Create the empty arrays ``"0"``, ``"1"``, ... of an image. Chunks span all channels.

    Parameters
    ----------
    group : zarr.Group
        Group of the image.
    axes : str
        One letter per axis.
    shapes : sequence of tuple of 2 int
        (height, width) of each level, px.
    chunk : int
        Side of a chunk, px.
    dtype : dtype
        Data type of the arrays.
    channels : int or None, optional
        Length of a leading channel axis. None leaves it out.

    Returns
    -------
    list of zarr.Array
        Arrays, the finest first.
    """
    arrays = []
    for index, (height, width) in enumerate(shapes):
        lead: tuple[int, ...] = () if channels is None else (channels,)
        arrays.append(
            group.create_array(
                str(index),
                shape=(*lead, height, width),
                chunks=(*lead, min(chunk, height), min(chunk, width)),
                dtype=np.dtype(dtype),
                fill_value=0,
                dimension_names=list(axes),
            )
        )
    return arrays


def create_group(path: Path, fill: Callable[[zarr.Group], None]) -> zarr.Group:
    """Create a Zarr v3 group, whole or not at all.

    Parameters
    ----------
    path : Path
        Folder to create. It may exist if it is empty. In the ``labels`` folder of an OME-Zarr image it is
        listed as one of its labels.
    fill : callable
        Creates the group's arrays and attributes.

    Returns
    -------
    zarr.Group
        Group, open for writing.

    Raises
    ------
    OutputError
        The name is taken or that of a file, the disk is full, or the location is not writable.
    """
    if path.suffix.lower() in FILE_SUFFIXES:
        raise OutputError(f"{path}: is the name of a file, and a folder is written; call it {path.stem}.ome.zarr, say.")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise OutputError(f"{path}: exists already; choose another name, or delete it first.")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            fill(zarr.create_group(temporary, zarr_format=3))
            if path.exists():
                path.rmdir()
            os.rename(temporary, path)
            list_label(path)
            return zarr.open_group(path, mode="r+", use_consolidated=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn errors of writing in the block into an :class:`OutputError`.

    Parameters
    ----------
    path : Path or str
        Location that is written.

    Yields
    ------
    None
        Control, once.

    Raises
    ------
    OutputError
        The block raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        _end_other_writes()
        raise output_error(path, error) from error


def _end_other_writes() -> None:
    """Wait for zarr's running writes, which would otherwise end with the process.

    Zarr raises for the first chunk that fails, while others are still being written.
    """
    loop = zarr_sync.loop[0]

    async def end() -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        if running:
            await asyncio.wait(running, timeout=10)

    if loop is not None:
        asyncio.run_coroutine_threadsafe(end(), loop).result()


def list_label(path: Path) -> None:
    """Add a label image to the list in the ``labels`` group of its image, as NGFF requires.

    Where the image's metadata is consolidated, it is consolidated again. Nothing is done for a label image elsewhere.

    Parameters
    ----------
    path : Path
        Folder of the label image.
    """
    if path.parent.name != "labels" or not is_zarr(path.parent.parent):
        return
    if is_zarr(path.parent):
        labels = zarr.open_group(path.parent, mode="r+", use_consolidated=False)
    else:
        labels = zarr.create_group(path.parent, zarr_format=3)
    names: Sequence[str] = ()
    with contextlib.suppress(KeyError, TypeError):
        names = ome_attributes(labels)["labels"]
    if path.name not in names:
        listed = [*names, path.name]
        # 0.4 keeps the list beside the other attributes, 0.5 under "ome".
        old = labels.metadata.zarr_format == 2
        labels.update_attributes({"labels": listed} if old else {"ome": {"version": VERSION, "labels": listed}})
    _consolidate_again(path.parent)


def _consolidate_again(folder: Path) -> None:
    """Consolidate the metadata of a group and of those around it again, where it was consolidated.

    Other programs see nothing but what is consolidated.
    """
    for location in (folder, *folder.parents):
        if not is_zarr(location):
            return
        metadata = zarr.open_group(location, mode="r").metadata
        if metadata.consolidated_metadata is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zarr's, that version 3 does not define it yet
                zarr.consolidate_metadata(location, zarr_format=metadata.zarr_format)
