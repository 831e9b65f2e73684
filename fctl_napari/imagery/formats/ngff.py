"""OME-Zarr (NGFF) groups and metadata up to 0.6, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr
from zarr.errors import BaseZarrError, ContainsArrayError, NodeNotFoundError
from zarr.storage import LocalStore, StoreLike

from fctl_napari.class_colors import new_colors
from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.imagery.formats.ngff_axes import axis_letters, described_axes
from fctl_napari.imagery.formats.remote import SIGN_IN, HttpStore, open_store
from fctl_napari.imagery.formats.zipped import is_zipped_zarr, open_zip, zip_file

FILE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gpkg", ".geojson", ".json", ".zip", ".ozx", ".npy", ".safetensors")
)
"""Suffixes of files, by which no folder of a Zarr is called."""

GONE = "is gone; put it back, or make it again."
"""What is said of a folder that was deleted after it was opened."""


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
            if isinstance(group.store, LocalStore) and not group.store.root.exists():
                raise InputError(f"{path}: {GONE}")
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
        ``{"name": str, "color": [r, g, b]}`` of each class, map-like where none or no valid color is stated. Empty
        unless every value from 1 on has a name of its own.
    """
    described = ome_attributes(group).get("image-label")
    names, colors = _by_value(described, "properties", "name"), _by_value(described, "colors", "rgba")
    names.pop(0, None)
    values = range(1, len(names) + 1)
    if not names or set(names) != set(values) or not _are_names(list(names.values())):
        return []
    known = {value: colors[value] for value in values if _is_color(colors.get(value))}
    given = {} if len(known) == len(names) else dict(zip(values, new_colors([names[v] for v in values]), strict=True))
    return [{"name": names[v], "color": list(known.get(v) or given[v])[:3]} for v in values]


def _by_value(described: Any, part: str, key: str) -> dict[int, Any]:
    """Read a field of the entries of ``image-label`` by the label value that each is of."""
    entries = described.get(part) if isinstance(described, dict) else None
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {entry["label-value"]: entry.get(key) for entry in found if isinstance(entry.get("label-value"), int)}


def _are_names(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value.strip() for value in values) and len(set(values)) == len(values)


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in value[:3])
