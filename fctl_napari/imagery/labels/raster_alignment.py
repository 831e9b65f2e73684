"""Alignment of a GeoTIFF of classes with the pixels of an image, by the georeferences of both."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.png_jpeg import read_magic
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC
from fctl_napari.imagery.geodesy.ground import Ground
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference, tiff_placement
from fctl_napari.imagery.labels.label_source import LabelSource

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
        raise _other_crs(path, own, image)
    placed = _corners(own, image)
    (x, y), *_ = whole = np.rint(placed)
    if np.abs(placed - whole).max() > OFFSET_TOLERANCE or not np.array_equal(whole - whole[0], UNIT):
        raise InputError(f"{path}: its px do not lie on those of the image; resample it to the image's grid.")
    return int(y), int(x)


def aligned_ground_truth(
    source: LabelSource, path: Path, image: Georeference | None, shape: tuple[int, int]
) -> LabelSource:
    """Return a ground truth in the pixels of an image, by the georeferences of both.

    Each px of the image has the value at its center. A ground truth without a georeference is taken to have the
    pixels of the image, as has one that lies at most half a px from it. Where one of the two states no CRS, it is
    taken to be in that of the other.

    Parameters
    ----------
    source : LabelSource
        The ground truth.
    path : Path
        Its file. Only TIFFs have a georeference.
    image : Georeference or None
        Georeference of the image.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    LabelSource
        The ground truth in the image's px.

    Raises
    ------
    InputError
        It lies beside the image, is in another CRS or turned against it, or rasterio is missing.
    """
    own = _own(path, image)
    if own is None or image is None or (own == image and source.shape == shape):
        return source
    half_known = own.crs != image.crs and (_is_local(own) or _is_local(image))
    if half_known:  # one has a world file, say: the coordinates of both are taken to be the same
        own = replace(own, crs=image.crs)
    if find_spec("rasterio") is None:
        raise InputError(f"{path}: placing it over the image needs rasterio; install fctl-napari[geo].")
    ground, over = Ground(own), Ground(image)
    height, width = shape
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    if ground.crs != over.crs:
        shifts = over.pixels(ground.coordinates(corners), ground.crs) - corners
        if source.shape == shape and np.abs(shifts).max() <= SAME_PX:
            return source
        raise _other_crs(path, own, image)
    if source.shape == shape and np.abs(over.pixels(ground.coordinates(corners), over.crs) - corners).max() <= SAME_PX:
        return source
    origin, right, down = ground.pixels(over.coordinates(UNIT), over.crs)
    (along_x, across_x), (across_y, along_y) = right - origin, down - origin
    extent = max(shape)
    if max(abs(across_x), abs(across_y)) * extent <= SAME_PX:
        columns = _indices(origin[0], along_x, width, source.shape[1])
        rows = _indices(origin[1], along_y, height, source.shape[0])
        swapped = False
    elif max(abs(along_x), abs(along_y)) * extent <= SAME_PX:
        columns = _indices(origin[1], across_x, width, source.shape[0])
        rows = _indices(origin[0], across_y, height, source.shape[1])
        swapped = True
    else:
        raise InputError(f"{path}: is turned against the image; warp the one that is turned to north up (gdalwarp).")
    if not (rows >= 0).any() or not (columns >= 0).any():
        if half_known and source.shape == shape:
            return source
        raise InputError(f"{path}: by its georeference it lies beside the image; choose the one that belongs to it.")
    return source.placed(rows, columns, swapped=swapped)


def _indices(start: float, step: float, count: int, size: int) -> NDArray[np.int64]:
    """Return the px of a raster at the centers of an image's px along an axis. -1 is beside it."""
    positions = np.floor(start + step * (np.arange(count) + 0.5) + 1e-9).astype(np.int64)
    return np.where((positions >= 0) & (positions < size), positions, -1)


UNIT = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def _own(path: Path, image: Georeference | None) -> Georeference | None:
    if image is None or not path.is_file() or not read_magic(path).startswith(TIFF_MAGIC):
        return None
    try:
        with tifffile.TiffFile(path) as file:
            return tiff_placement(path, file).georeference
    except tifffile.TiffFileError:
        return None  # reported when it is read


def _is_local(georeference: Georeference) -> bool:
    """Return whether coordinates are of a plane of which nothing is known, as those of a world file."""
    return georeference.crs.startswith(UNKNOWN_CRS.partition("[")[0])


def _other_crs(path: Path, own: Georeference, image: Georeference) -> InputError:
    target = image.crs if image.crs.startswith("EPSG:") else "CRS_OF_THE_IMAGE"
    return InputError(
        f"{path}: is in {own.crs[:40]} and the image in {image.crs[:40]}; reproject it to the image "
        f"(gdalwarp -t_srs {target} -dstnodata 255 {path.name} OUT.tif)."
    )


def _corners(own: Georeference, image: Georeference) -> NDArray[np.float64]:
    return Ground(image).pixels(Ground(own).coordinates(UNIT), Ground(image).crs)
