"""Facts about an image's pixels that only GDAL knows: in the ``.aux.xml`` beside it, and in the mask behind a JPEG."""

from __future__ import annotations

import struct
from pathlib import Path

from fctl_napari.imagery.band_names import shown_colors
from fctl_napari.imagery.formats.geo import open_dataset, wavelengths
from fctl_napari.imagery.formats.png_jpeg import JPEG_MAGIC
from fctl_napari.imagery.formats.tiff_bands import NODATA_VALUES, TiffBands, nodata_of_bands
from fctl_napari.imagery.georeference import has_rasterio
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.validity import StoredMask, Validity, nodata_text


def bands_beside(path: Path | str, channels: int) -> TiffBands | None:
    """Read what a TIFF and the ``.aux.xml`` beside it say of its bands, as GDAL puts them together.

    Parameters
    ----------
    path : Path or str
        File, or its address.
    channels : int
        Number of its bands.

    Returns
    -------
    TiffBands or None
        Names, colors, wavelengths and values without data. None if there is no such file beside it, or without
        rasterio.
    """
    if isinstance(path, str) or not _has_aux_xml(path) or not has_rasterio():
        return None
    import rasterio

    try:
        with open_dataset(path) as dataset:
            if dataset.count != channels:
                return None
            nodata = nodata_of_bands(dataset.tags().get(NODATA_VALUES, ""), channels) or tuple(dataset.nodatavals)
            colors = tuple(color.name for color in dataset.colorinterp)
            names = tuple(dataset.descriptions)
            return TiffBands(names, shown_colors(names, colors), wavelengths(dataset), nodata)
    except rasterio.errors.RasterioIOError:
        return None  # reported when it is placed


def picture_validity(path: Path) -> Validity | None:
    """Return the validity that values in the ``.aux.xml`` beside a PNG or JPEG, or a mask behind a JPEG, give it.

    Parameters
    ----------
    path : Path
        PNG or JPEG.

    Returns
    -------
    Validity or None
        Validity of its only level. None if nothing is marked, or without rasterio.
    """
    if not may_be_marked(path):
        return None
    import rasterio

    try:
        with open_dataset(path) as dataset:
            flags = {flag.name for band in dataset.mask_flag_enums for flag in band}
            if flags == {"all_valid"} or "alpha" in flags:
                return None
            text = dataset.tags().get(NODATA_VALUES) or nodata_text(dataset.nodatavals)
            source = f"nodata {text}" if "nodata" in flags else "a mask in the file"
            mask = Level(dataset.dataset_mask(), "yx")
    except rasterio.errors.RasterioIOError:
        return None  # the pixels may be read all the same
    return Validity((StoredMask(mask, 0, mask.shape[:2]),), source)


def may_be_marked(path: Path) -> bool:
    """Return whether ``picture_validity`` may find marks, without decoding the file.

    Parameters
    ----------
    path : Path
        PNG or JPEG.

    Returns
    -------
    bool
        True if there is an ``.aux.xml`` beside it or a mask behind it, and rasterio to read them with.
    """
    return (_has_aux_xml(path) or _has_mask_behind(path)) and has_rasterio()


def _has_mask_behind(path: Path) -> bool:
    """Return whether a file is a JPEG with a mask behind it: packed bits, then the position where they begin."""
    with path.open("rb") as file:
        if not file.read(3).startswith(JPEG_MAGIC):
            return False
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        (start,) = struct.unpack("<I", file.read(4))
        file.seek(max(0, start - 2))
        return 2 < start < size - 4 and file.read(2) == b"\xff\xd9"


def _has_aux_xml(path: Path) -> bool:
    return any(path.with_name(f"{path.name}{one}").is_file() for one in (".aux.xml", ".AUX.XML"))
