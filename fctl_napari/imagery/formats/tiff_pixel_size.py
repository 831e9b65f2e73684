"""Size of the px of a TIFF without georeference, as slide scanners, OME, ImageJ or the tags of TIFF state it."""

from __future__ import annotations

import re
from typing import Any

import tifffile

PixelSize = tuple[str | None, tuple[float, float]]
"""Unit, or None if only px are known, and size of a px, (y, x)."""

NONE: PixelSize = (None, (1.0, 1.0))

UNITS = {
    "µm": "micrometer", "μm": "micrometer", "um": "micrometer", "micron": "micrometer", "microns": "micrometer",
    "\\u00b5m": "micrometer", "nm": "nanometer", "mm": "millimeter", "cm": "centimeter", "m": "meter",
    "km": "kilometer", "Å": "angstrom", "pm": "picometer", "in": "inch", "inch": "inch",
}  # fmt: skip
"""Units of OME and ImageJ by what pint calls them."""

SCREEN = (72.0, 96.0)
"""Resolutions, px an inch, that programs write without being asked."""

XMP = 700


def tiff_pixel_size(file: tifffile.TiffFile, images: list[Any], number: int) -> PixelSize:
    """Read the size of a px.

    Parameters
    ----------
    file : tifffile.TiffFile
        The opened file.
    images : list of tifffile.TiffPageSeries
        Its images.
    number : int
        Index of the one that is meant.

    Returns
    -------
    str or None
        Unit. None if only px are known.
    tuple of 2 float
        (y, x) in that unit.
    """
    image = images[number]
    page = image.keyframe
    if file.is_ome:
        return _ome(file, images, number) or _tags(page)
    if file.is_imagej:
        return _imagej(file, page) or _tags(page)
    return _aperio(file, image) or _scan_res(file, image) or _philips(file, image) or _tags(page)


def _ome(file: tifffile.TiffFile, images: list[Any], number: int) -> PixelSize | None:
    described = tifffile.xml2dict(file.ome_metadata or "").get("OME", {}).get("Image", {})
    described = described if isinstance(described, list) else [described]
    if len(described) != len(images):  # tifffile leaves out what has no pixels
        described = [one for one in described if one.get("Name") == images[number].name] * len(images) or described[:1]
    pixels = described[min(number, len(described) - 1)].get("Pixels", {})
    x, y = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY")
    x, y = x or y, y or x
    unit = UNITS.get(str(pixels.get("PhysicalSizeXUnit", "µm")))
    return (unit, (float(y), float(x))) if x and y and unit else None


def _imagej(file: tifffile.TiffFile, page: Any) -> PixelSize | None:
    unit = UNITS.get(str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ"))
    per_px = _density(page)
    return (unit, (1 / per_px[0], 1 / per_px[1])) if unit and per_px else None


def _aperio(file: tifffile.TiffFile, image: Any) -> PixelSize | None:
    """Return what the description of an Aperio slide states: micrometers of its finest image."""
    text = str(image.keyframe.description)
    found = re.search(r"\bMPP\s*=\s*([\d.]+(?:[eE][-+]?\d+)?)", text) if "aperio" in text.lower() else None
    if found is None or not float(found[1]) > 0:
        return None
    of_all = re.search(r"(\d+)x\d+ -> (\d+)x\d+", text)  # a thumbnail names the size that was made smaller
    times = int(of_all[1]) / int(of_all[2]) if of_all and image.name == "Thumbnail" else 1.0
    return "micrometer", (float(found[1]) * times, float(found[1]) * times)


def _scan_res(file: tifffile.TiffFile, image: Any) -> PixelSize | None:
    """Return what the XMP of a Ventana slide states."""
    if not file.is_bif or image.name in ("Label", "Thumbnail"):
        return None
    for page in file.pages:
        tag = page.tags.get(XMP) if isinstance(page, tifffile.TiffPage) else None
        found = re.search(rb'ScanRes\s*=\s*"([\d.]+)"', bytes(tag.value)) if tag is not None else None
        if found is not None and float(found[1]) > 0:
            return "micrometer", (float(found[1]), float(found[1]))
    return None


def _philips(file: tifffile.TiffFile, image: Any) -> PixelSize | None:
    if not file.is_philips or not image.is_pyramidal:
        return None
    number = r'&?(?:quot;)?"?([\d.eE+-]+)"?(?:&quot;)?'
    found = re.search(rf"DICOM_PIXEL_SPACING[^>]*>\s*{number}\s+{number}", file.philips_metadata or "")
    return None if found is None else ("millimeter", (float(found[1]), float(found[2])))


def _tags(page: Any) -> PixelSize:
    per_px = _density(page)
    unit = {2: "inch", 3: "centimeter"}.get(int(page.tags.valueof(296, default=2)))
    if per_px is None or unit is None or (unit == "inch" and set(per_px) <= set(SCREEN)):
        return NONE
    if max(per_px) <= 1:
        return NONE  # 1/1, which is written where nothing is known
    micrometers = 25400.0 if unit == "inch" else 10000.0
    return "micrometer", (micrometers / per_px[0], micrometers / per_px[1])


def _density(page: Any) -> tuple[float, float] | None:
    """Return the px per unit, (y, x), of the resolution tags."""
    x, y = (page.tags.valueof(code) for code in (282, 283))
    try:
        densities = [float(value[0]) / float(value[1]) for value in (y or x, x or y)]
    except (TypeError, ZeroDivisionError, IndexError):
        return None
    return (densities[0], densities[1]) if min(densities) > 0 else None
