"""Open an image, whatever its format."""

from __future__ import annotations

from pathlib import Path

from fctl_napari.errors import InputError
from fctl_napari.imagery.pyramid import Pyramid, pyramid_from_array
from fctl_napari.imagery.raster import JPEG_MAGIC, PNG_MAGIC, read_raster

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


def read_magic(path: Path) -> bytes:
    """Read the first bytes of a file.

    Raises
    ------
    InputError
        There is no such file, it is empty, or it may not be read.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(16)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path and its permissions.") from error
    if not magic:
        raise InputError(f"{path}: is an empty file; fetch it again.")
    return magic
