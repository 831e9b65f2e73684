"""OME-Zarr groups that hold several images: series of bioformats2raw, wells, folders of images."""

from __future__ import annotations

import re
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import zarr

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.remote import child, is_url
from fctl_napari.words import count_of

LAYOUT = "bioformats2raw.layout"
DEPTH = 3
"""Depth to which a folder of images is searched."""


def image_names(path: Path | str) -> list[str]:
    """List the images of a group that is no image itself but holds some.

    Parameters
    ----------
    path : Path or str
        Folder or address of the group.

    Returns
    -------
    list of str
        Paths of the images in the group, the one first that is opened by default. Empty for an image, and where none
        are found.

    Raises
    ------
    InputError
        The group cannot be read, or is a plate, of which one image has to be named.
    """
    group = ngff.open_group(path)
    ome = ngff.ome_attributes(group)
    if "multiscales" in ome:
        return []
    if "plate" in ome:
        raise _plate(path, ome["plate"])
    if "well" in ome:
        return [str(image["path"]) for image in ome["well"].get("images", ())]
    return _series(path, ome) or _found(group, path)


def _series(path: Path | str, ome: dict[str, Any]) -> list[str]:
    """Return the images that the group ``OME`` lists, or else those with numbers."""
    location = child(path, "OME")
    if LAYOUT in ome or (not is_url(path) and ngff.is_zarr(location)):
        try:
            listed = ngff.ome_attributes(ngff.open_group(location)).get("series")
        except ngff.NoGroupError:
            listed = None
        if isinstance(listed, list) and listed:
            return [str(name) for name in listed]
    if LAYOUT not in ome:
        return []
    return list(takewhile(lambda name: ngff.is_zarr(child(path, name)), map(str, count())))


def _found(group: zarr.Group, path: Path | str) -> list[str]:
    """Return the images in a folder on this machine. An address cannot be listed."""
    return [] if is_url(path) else sorted(_below(group, "", DEPTH), key=_natural)


def _below(group: zarr.Group, prefix: str, depth: int) -> list[str]:
    names: list[str] = []
    for name, member in group.groups():
        if ngff.is_label_image(member):
            continue
        if "multiscales" in ngff.ome_attributes(member):
            names.append(f"{prefix}{name}")
        elif depth > 1:
            names += _below(member, f"{prefix}{name}/", depth - 1)
    return names


def _natural(name: str) -> list[Any]:
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", name) if part]


def _plate(path: Path | str, plate: Any) -> InputError:
    wells = plate.get("wells") if isinstance(plate, dict) else None
    first = str(wells[0].get("path", "A/1")) if wells else "A/1"
    return InputError(
        f"{path}: is a plate of {count_of(len(wells or ()), 'well')}; give one of its images, say "
        f"{child(path, f'{first}/0')}."
    )
