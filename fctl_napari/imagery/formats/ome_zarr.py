"""OME-Zarr images (up to 0.6) as pyramids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_names import rgb_bands
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ngff_axes import LevelPlacement, axis_unit, level_placements
from fctl_napari.imagery.formats.ngff_collection import image_names
from fctl_napari.imagery.formats.remote import child, is_url, last_name
from fctl_napari.imagery.formats.zarr_validity import zarr_validity
from fctl_napari.imagery.formats.zipped import zip_file
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import FileImage, file_images
from fctl_napari.imagery.provenance import Origin
from fctl_napari.imagery.pyramid import Georeference, Pyramid

OURS = "fctl"
"""Group attribute under which this project keeps metadata that NGFF does not define."""

ARRAY = "array"
"""Key of our attributes that says which array is being copied, part by part (see ``ArrayCopy``)."""


def open_omezarr(
    path: Path | str,
    number: int | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    bands: tuple[int, int, int] | None = None,
    parts: bool = False,
) -> Pyramid:
    """Open an OME-Zarr image.

    Parameters
    ----------
    path : Path or str
        Folder, zip file or address of the image, or of a collection of images (see ``ngff_collection``).
    number : int or None, optional
        Number of the image in a collection. The default is the first.
    value_range : tuple of 2 float or None, optional
        See :class:`~fctl_napari.imagery.pyramid.Pyramid`. The default is what :func:`~.convert.convert` stored.
    bands : tuple of 3 int or None, optional
        See :class:`~fctl_napari.imagery.pyramid.Pyramid`. The default is what :func:`~.convert.convert` stored, or what
        the names or colors of the channels say.
    parts : bool, optional
        If True, the copy of an array is opened of which only parts are there. Px of others read as 0.

    Returns
    -------
    Pyramid
        Image, read on demand.

    Raises
    ------
    InputError
        It is missing, is no image, is an unfinished conversion, or has several planes.
    """
    group = ngff.open_group(path)
    name = last_name(path).split(".")[0] or last_name(path)
    names = [] if "multiscales" in ngff.ome_attributes(group) else image_names(path)
    number, images = file_images(path, [(one, None) for one in names or [""]], number)
    if names:
        images = tuple(
            FileImage(one.name, None, str(child(path, one.name) if index else path)) for index, one in enumerate(images)
        )
        group = ngff.open_group(child(path, names[number]))
        path = images[number].location
    ours = group.attrs.asdict().get(OURS)
    ours = ours if isinstance(ours, dict) else {}
    if ngff.is_label_image(group):
        raise InputError(f"{path}: is a label image; give the image that it belongs to.")
    if ours.get("complete") is False and not (parts and ARRAY in ours):
        if ARRAY in ours:
            raise InputError(f"{path}: holds only parts of an array; open the array again, or segment all of it.")
        raise InputError(f"{path}: is a conversion that was not finished; convert the image again to resume.")
    arrays, axes, multiscale = ngff.open_levels(group, path)
    try:
        levels = [Level(array, axes) for array in arrays]
    except ValueError as error:
        raise InputError(f"{path}: is not one plane ({error}); save one plane with its channels.") from error
    placements = level_placements(group, multiscale, axes, path)
    labels, named = _channels(group, levels[0].shape[2])
    stored_range, stored_bands = ours.get("value_range"), ours.get("bands") or named
    return Pyramid(
        name,
        levels,
        path=str(path),
        factors=_factors(levels, placements),
        value_range=value_range or (tuple(stored_range) if stored_range else None),
        bands=bands or (tuple(stored_bands) if stored_bands else None),
        band_names=ours.get("band_names") or labels,
        georeference=_georeference(ours.get("georeference")),
        pixel_size=placements[0].size if placements else (1.0, 1.0),
        translation=placements[0].translation if placements else (0.0, 0.0),
        unit=axis_unit(multiscale),
        origin=Origin.read(ours),
        validity=zarr_validity(group, arrays, levels, ours),
        images=images,
    )


def collection(path: Path | str) -> list[str]:
    """List the images of a collection.

    Parameters
    ----------
    path : Path or str
        Anything that can be opened as an image.

    Returns
    -------
    list of str
        Paths of the images in it, the one first that is opened. Empty for what is no collection.
    """
    location = path if is_url(path) else Path(path)
    if isinstance(location, Path):
        is_file = not location.is_dir() and zip_file(location) is None
    else:
        is_file = last_name(location).lower().endswith((".tif", ".tiff"))
    try:
        return [] if is_file else image_names(location)
    except ngff.NoGroupError:
        return []


def _channels(group: zarr.Group, channels: int) -> tuple[list[str | None], tuple[int, int, int] | None]:
    """Return the names of the channels that the group describes, and the bands that they are. None: the default."""
    omero = ngff.ome_attributes(group).get("omero")
    described = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(described, list) or len(described) != channels:
        return [], None
    entries = [entry if isinstance(entry, dict) else {} for entry in described]
    names = [entry.get("label") for entry in entries]
    return names, rgb_bands(names=names, colors=[entry.get("color") for entry in entries])


def _factors(levels: list[Level], placements: list[LevelPlacement] | None) -> list[tuple[float, float]]:
    """Compute the level-0 px per px of each level: as stated where that fits the shapes, else from the shapes."""
    height, width = levels[0].shape[:2]
    factors: list[tuple[float, float]] = []
    for index, level in enumerate(levels):
        by_shape = (height / level.shape[0], width / level.shape[1])
        factor = by_shape
        if placements is not None:
            size, first = placements[index].size, placements[0].size
            stated = (size[0] / first[0], size[1] / first[1])
            off = max(abs(level.shape[axis] - (height, width)[axis] / stated[axis]) for axis in (0, 1))
            factor = stated if off <= 1 else by_shape
        factors.append(factor)
    return factors


def _georeference(stored: Any) -> Georeference | None:
    if not isinstance(stored, dict):
        return None
    a, b, c, d, e, f = map(float, stored["transform"])
    return Georeference(str(stored["crs"]), (a, b, c, d, e, f))
