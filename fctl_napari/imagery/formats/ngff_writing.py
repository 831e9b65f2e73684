"""OME-Zarr (NGFF) 0.5 written: levels, metadata, groups whole or not at all."""

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

from fctl_napari.exceptions import OutputError
from fctl_napari.files import missing_folders, output_error, remove_empty
from fctl_napari.imagery.formats.ngff import FILE_SUFFIXES, is_zarr, ome_attributes
from fctl_napari.imagery.halving import NAPARI_COARSEST, halved_shape

VERSION = "0.5"


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
    made = missing_folders(path.parent)
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
        remove_empty(made)


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
