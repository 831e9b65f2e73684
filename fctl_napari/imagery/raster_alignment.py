"""Alignment of a GeoTIFF of classes with the pixels of an image, by the georeferences of both."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.imagery.formats.png_jpeg import read_magic
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC
from fctl_napari.imagery.geodesy import Ground
from fctl_napari.imagery.georeference import Georeference, tiff_placement

OFFSET_TOLERANCE = 1e-3
"""Largest distance of a raster from whole px of the image, px."""

SAME_PX = 0.51
"""Largest offset of a ground truth from its image, px.

Coordinates of corners and of centers of px are often confused.
"""


def raster_offset(path: Path, image: Georeference | None) -> tuple[int, int] | None:
    """Compute the position of a raster's first px in an image.

    Parameters
    ----------
    path : Path
        Raster. Only TIFFs have a georeference.
    image : Georeference or None
        Georeference of the image.

    Returns
    -------
    tuple of 2 int or None
        (y, x), px of the image. None if one of the two has no georeference.

    Raises
    ------
    InputError
        The raster is in another CRS, or its px are not those of the image; or rasterio is missing.
    """
    own = _own(path, image)
    if own is None or image is None:
        return None
    if own == image:
        return 0, 0
    if find_spec("rasterio") is None:
        raise InputError(f"{path}: placing it in the image needs rasterio; install fctl-napari[geo].")
    if Ground(own).crs != Ground(image).crs:
        raise InputError(f"{path}: is in {own.crs[:40]} and the image in {image.crs[:40]}; reproject it to the image.")
    placed = _corners(own, image)
    (x, y), *_ = whole = np.rint(placed)
    if np.abs(placed - whole).max() > OFFSET_TOLERANCE or not np.array_equal(whole - whole[0], UNIT):
        raise InputError(f"{path}: its px do not lie on those of the image; resample it to the image's grid.")
    return int(y), int(x)


def require_same_location(path: Path, image: Georeference | None, shape: tuple[int, int]) -> None:
    """Refuse a raster that lies elsewhere than the image whose px it is compared with one by one.

    A raster without a georeference, or in another CRS, is accepted.

    Parameters
    ----------
    path : Path
        Any file. Only TIFFs have a georeference.
    image : Georeference or None
        Georeference of the image.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Raises
    ------
    InputError
        It lies elsewhere.
    """
    own = _own(path, image)
    if own is None or image is None or own == image or find_spec("rasterio") is None:
        return
    if Ground(own).crs != Ground(image).crs:
        return
    height, width = shape
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    shifts = Ground(image).pixels(Ground(own).coordinates(corners), Ground(image).crs) - corners
    if np.abs(shifts).max() > SAME_PX:
        x, y = shifts[0]
        raise InputError(
            f"{path}: by its georeference it lies elsewhere than the image (its first px is {y:+.6g} px down and "
            f"{x:+.6g} px right of the image's); cut it to the image's grid, or remove its georeference if its px are "
            "the image's."
        )


UNIT = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def _own(path: Path, image: Georeference | None) -> Georeference | None:
    if image is None or not path.is_file() or not read_magic(path).startswith(TIFF_MAGIC):
        return None
    try:
        with tifffile.TiffFile(path) as file:
            return tiff_placement(path, file).georeference
    except tifffile.TiffFileError:
        return None  # reported when it is read


def _corners(own: Georeference, image: Georeference) -> NDArray[np.float64]:
    return Ground(image).pixels(Ground(own).coordinates(UNIT), Ground(image).crs)
