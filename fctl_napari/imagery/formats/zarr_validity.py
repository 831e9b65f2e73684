"""Validity of an OME-Zarr's pixels: as our conversions store it, or by the attribute ``_FillValue``."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from fctl_napari.imagery.level import Level
from fctl_napari.imagery.validity import Mask, NodataMask, StoredMask, Validity

KEY = "validity"
"""Key of our attributes that holds the validity of a conversion, and name of the group that holds its masks."""

FILL_ATTRIBUTES = ("_FillValue", "missing_value", "nodata")
"""Attributes of arrays that name the value that means no data (conventions of NetCDF, xarray and GDAL)."""


def zarr_validity(
    group: zarr.Group, arrays: Sequence[zarr.Array[Any]], levels: Sequence[Level], ours: Mapping[str, Any]
) -> Validity | None:
    """Find the marks of pixels without data.

    Parameters
    ----------
    group : zarr.Group
        Group of the image.
    arrays : sequence of zarr.Array
        Arrays of its levels.
    levels : sequence of Level
        The same levels, [y, x, channel].
    ours : mapping of str to object
        Attributes of our conversions.

    Returns
    -------
    Validity or None
        Validity of each level. None if nothing is marked.
    """
    channels = levels[0].shape[2]
    stored = ours.get(KEY)
    if isinstance(stored, Mapping):
        return _of_ours(group, stored, levels) if stored else None
    if "source" in ours and channels == 4 and levels[0].dtype == "uint8":
        # Our conversions kept an alpha channel before they kept masks.
        return Validity(tuple(StoredMask(level, 3, level.shape[:2]) for level in levels), "alpha")
    attributes = {**group.attrs.asdict(), **arrays[0].attrs.asdict()}
    for name in FILL_ATTRIBUTES:
        values = _numbers(attributes.get(name))
        if len(values) in (1, channels):
            mask = NodataMask(tuple(values) * (channels // len(values)))
            return Validity((mask,) * len(levels), f"{name} {', '.join(f'{value:.15g}' for value in values)}")
    return None


def described(validity: Validity | None) -> dict[str, Any]:
    """Return what a conversion's attributes say of an image's validity.

    Parameters
    ----------
    validity : Validity or None
        Validity of the image.

    Returns
    -------
    dict of str to object
        The source and, for values, these. Empty without a mark.
    """
    if validity is None:
        return {}
    mask = validity.masks[0]
    values = {"values": list(mask.values)} if isinstance(mask, NodataMask) else {}
    return {"source": validity.source, **values}


def _of_ours(group: zarr.Group, stored: Mapping[str, Any], levels: Sequence[Level]) -> Validity:
    masks: tuple[Mask, ...]
    if "values" in stored:
        masks = (NodataMask(tuple(stored["values"])),) * len(levels)
    else:
        masks = tuple(
            StoredMask(Level(group[f"{KEY}/{index}"], "yx"), 0, level.shape[:2])  # type: ignore[arg-type]
            for index, level in enumerate(levels)
        )
    return Validity(masks, str(stored["source"]))


def _numbers(value: Any) -> list[float]:
    """Return the numbers of an attribute. xarray writes floats as base64."""
    if isinstance(value, list | tuple):
        return [number for one in value for number in _numbers(one)]
    if isinstance(value, str):
        try:
            return [float(value)]
        except ValueError:
            pass
        try:
            return list(struct.unpack("<d", base64.b64decode(value, validate=True)))
        except (ValueError, struct.error):
            return []
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []
