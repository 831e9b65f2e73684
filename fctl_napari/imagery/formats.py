"""Open an image, whatever its format."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.errors import InputError
from fctl_napari.imagery.pyramid import Pyramid, pyramid_from_array
from fctl_napari.imagery.raster import JPEG_MAGIC, PNG_MAGIC, read_magic, read_raster

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
        A PNG or JPEG.
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
    magic = read_magic(path)
    if magic.startswith((PNG_MAGIC, JPEG_MAGIC)):
        pyramid = pyramid_from_array(read_raster(path), name=path.stem, value_range=value_range, bands=bands)
        pyramid.path = str(path)
        return pyramid
    raise InputError(f"{path}: is not an image that can be read here; give {KNOWN}.")
