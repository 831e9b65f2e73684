"""OME-Zarr images (0.4 and 0.5) as pyramids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fctl_napari.errors import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.remote import child, last_name
from fctl_napari.imagery.formats.zarr_validity import zarr_validity
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.provenance import Origin
from fctl_napari.imagery.pyramid import Georeference, Pyramid

OURS = "fctl"
"""Group attribute under which this project keeps metadata that NGFF does not define."""


def open_omezarr(
    path: Path | str,
    *,
    value_range: tuple[float, float] | None = None,
    bands: tuple[int, int, int] | None = None,
) -> Pyramid:
    """Open an OME-Zarr image.

    Parameters
    ----------
    path : Path or str
        Folder or address of the image, or of a collection written by bioformats2raw, whose first image is taken.
    value_range : tuple of 2 float or None, optional
        See :class:`~fctl_napari.imagery.pyramid.Pyramid`. The default is what :func:`~.convert.convert` stored.
    bands : tuple of 3 int or None, optional
        See :class:`~fctl_napari.imagery.pyramid.Pyramid`. The default is what :func:`~.convert.convert` stored.

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
    if "bioformats2raw.layout" in ngff.ome_attributes(group):
        group = ngff.open_group(child(path, "0"))
    ours = group.attrs.asdict().get(OURS)
    ours = ours if isinstance(ours, dict) else {}
    if ngff.is_label_image(group):
        raise InputError(f"{path}: is a label image; give the image that it belongs to.")
    if ours.get("complete") is False:
        raise InputError(f"{path}: is a conversion that was not finished; convert the image again to resume.")
    arrays, axes, multiscale = ngff.open_levels(group, path)
    try:
        levels = [Level(array, axes) for array in arrays]
    except ValueError as error:
        raise InputError(f"{path}: is not one plane ({error}); save one plane with its channels.") from error
    sizes = ngff.scales(multiscale, axes)
    stored_range, stored_bands = ours.get("value_range"), ours.get("bands")
    return Pyramid(
        name,
        levels,
        path=str(path),
        factors=_factors(levels, sizes),
        value_range=value_range or (tuple(stored_range) if stored_range else None),
        bands=bands or (tuple(stored_bands) if stored_bands else None),
        band_names=ours.get("band_names", ()),
        georeference=_georeference(ours.get("georeference")),
        pixel_size=sizes[0] if sizes else (1.0, 1.0),
        unit=ngff.space_unit(multiscale),
        origin=Origin.read(ours),
        validity=zarr_validity(group, arrays, levels, ours),
    )


def _factors(levels: list[Level], sizes: list[tuple[float, float]] | None) -> list[tuple[float, float]]:
    """Compute the level-0 px per px of each level: as stated where that fits the shapes, else from the shapes."""
    height, width = levels[0].shape[:2]
    factors: list[tuple[float, float]] = []
    for index, level in enumerate(levels):
        by_shape = (height / level.shape[0], width / level.shape[1])
        factor = by_shape
        if sizes is not None:
            stated = (sizes[index][0] / sizes[0][0], sizes[index][1] / sizes[0][1])
            off = max(abs(level.shape[axis] - (height, width)[axis] / stated[axis]) for axis in (0, 1))
            factor = stated if off <= 1 else by_shape
        factors.append(factor)
    return factors


def _georeference(stored: Any) -> Georeference | None:
    if not isinstance(stored, dict):
        return None
    a, b, c, d, e, f = map(float, stored["transform"])
    return Georeference(str(stored["crs"]), (a, b, c, d, e, f))
