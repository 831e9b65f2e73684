"""Open an image, whatever its format."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.errors import InputError
from fctl_napari.imagery.level import halved_levels
from fctl_napari.imagery.omezarr import open_omezarr
from fctl_napari.imagery.pyramid import LARGE_SIDE, Pyramid, pyramid_from_array
from fctl_napari.imagery.raster import JPEG_MAGIC, PNG_MAGIC, read_magic, read_raster
from fctl_napari.imagery.tiff import TIFF_MAGIC, read_tiff

IN_MEMORY_BYTES = 2**28
"""A TIFF without overviews gets coarser levels in memory if it is no larger than this."""

KNOWN = "an OME-Zarr, a TIFF, a PNG or a JPEG"


def open_image(
    path: Path | str,
    *,
    value_range: tuple[float, float] | None = None,
    bands: tuple[int, int, int] | None = None,
) -> Pyramid:
    """Open an image as a lazy pyramid; the format is told by the content, not by the name.

    Parameters
    ----------
    path
        An OME-Zarr 0.4 or 0.5 (its folder); a TIFF, BigTIFF, OME-TIFF, GeoTIFF or COG, with the overviews it has;
        or a PNG or JPEG, which is read whole into memory.
    value_range
        (low, high) values that become 0 and 255 when pixels are read as RGB; needed for data that is not uint8.
    bands
        Which channels are red, green and blue, from 0.

    Raises
    ------
    InputError
        The file is missing, truncated or damaged, is not an image, or has other axes or channels.
    """
    path = Path(path)
    if path.is_dir():
        return open_omezarr(path, value_range=value_range, bands=bands)
    magic = read_magic(path)
    if magic.startswith(TIFF_MAGIC):
        return _open_tiff(path, value_range, bands)
    if magic.startswith((PNG_MAGIC, JPEG_MAGIC)):
        pyramid = pyramid_from_array(read_raster(path), name=path.stem, value_range=value_range, bands=bands)
        pyramid.path = str(path)
        return pyramid
    raise InputError(f"{path}: is not an image that can be read here; give {KNOWN}.")


def _open_tiff(path: Path, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None) -> Pyramid:
    image = read_tiff(path)
    levels = image.levels
    native = len(levels)
    if native == 1 and max(levels[0].shape[:2]) <= LARGE_SIDE and levels[0].nbytes <= IN_MEMORY_BYTES:
        levels = halved_levels(levels[0])
    return Pyramid(
        path.stem.removesuffix(".ome"),
        levels,
        path=str(path),
        # Computed levels halve exactly; overviews span the image, whatever they were rounded to.
        factors=[(float(2**k), float(2**k)) for k in range(len(levels))] if native == 1 else None,
        native_levels=native,
        value_range=value_range,
        bands=bands,
        georeference=image.georeference,
        pixel_size=image.pixel_size,
        unit=image.unit,
    )
