"""Rasters that GDAL reads (JPEG 2000, VRT, Erdas, ENVI, NITF, MBTiles, NetCDF, LERC, ...), through rasterio.

Importing this module needs no rasterio; opening a raster does.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.imagery.band_names import WAVELENGTH_ITEMS, BandChoice, band_labels, choose_bands, shown_colors
from fctl_napari.imagery.georeference import Placement, dataset_placement, has_rasterio
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import FileImage, file_images
from fctl_napari.imagery.validity import NodataMask, StoredMask, Validity, nodata_text

KNOWN = "an OME-Zarr, a TIFF, a PNG, a JPEG, a .npy file, or a raster that GDAL reads"

EXTENSIONS = (".bil", ".bip", ".bsq", ".gpkg", ".img", ".j2k", ".jp2", ".mbtiles", ".nc", ".nitf", ".ntf", ".vrt")
"""Usual names of such rasters; others are recognized by their content."""


@dataclass(frozen=True)
class GeoImage:
    """A raster that GDAL reads.

    Attributes
    ----------
    levels : list of Level
        Image and its overviews, the finest first.
    placement : Placement
        Position of level 0.
    validity : Validity or None
        Marks of px without data, by level.
    band_names : tuple of str or None
        Names or colors of the bands, or None.
    choice : BandChoice
        Bands that are red, green and blue.
    number : int
        Number of the raster in its file.
    images : tuple of FileImage
        All rasters of its file.
    """

    levels: list[Level]
    placement: Placement
    validity: Validity | None
    band_names: tuple[str | None, ...]
    choice: BandChoice
    number: int = 0
    images: tuple[FileImage, ...] = ()


def read_geo(path: Path | str, number: int | None = None) -> GeoImage:
    """Open a raster with GDAL. Pixels are read when the levels are indexed.

    Parameters
    ----------
    path : Path or str
        File, or an address that GDAL reads: ``s3://bucket/key``, ``/vsicurl/https://...``, ``NETCDF:file.nc:name``.
    number : int or None, optional
        Number of the raster in a file that holds several. The default is the largest.

    Returns
    -------
    GeoImage
        Levels, validity, bands and georeference.

    Raises
    ------
    InputError
        rasterio is missing, GDAL cannot open it, or it holds no such raster.
    """
    if not has_rasterio():
        raise InputError(f"{path}: needs rasterio to be read; install it with pip install 'fctl-napari[geo]'.")
    with _sentences(path), open_dataset(path) as dataset:
        inner = _inner_rasters(dataset)
        if inner:
            number, images = file_images(path, [(name, shape) for name, _, shape in inner], number)
            return replace(read_geo(inner[number][1]), number=number, images=images)
        _check(path, dataset)
        file_images(path, [("", dataset.shape)], number)
        opened = [None, *range(len(dataset.overviews(1)))]
        arrays = [GeoArray(path, overview, dataset.indexes) for overview in opened]
        colors = shown_colors(dataset.descriptions, [color.name for color in dataset.colorinterp])
        convert = _palette(dataset)
        if convert is None:
            levels = [Level(array, "cyx") for array in arrays]
        else:
            levels = [Level(array, "cyx", convert=convert, channels=3, dtype=np.dtype(np.uint8)) for array in arrays]
        validity = _validity(path, dataset, levels, opened, as_stored=convert is None)
        if convert is not None:
            return GeoImage(levels, dataset_placement(dataset), validity, (), BandChoice())
        names = tuple(dataset.descriptions)
        centers = wavelengths(dataset)
        labels, choice = band_labels(names, colors, centers), choose_bands(names, colors, centers)
        return GeoImage(levels, dataset_placement(dataset), validity, labels, choice)


def _inner_rasters(dataset: Any) -> list[tuple[str, str, tuple[int, int]]]:
    """List the rasters of a file that is none itself: name, address and (height, width) of each."""
    from rasterio.errors import RasterioError

    found = []
    for address in () if dataset.count else dataset.subdatasets:
        with suppress(RasterioError), open_dataset(address) as one:  # a list of numbers, say, is none
            if one.count:
                found.append((address.rpartition(":")[2].lstrip("/"), address, one.shape))
    return found


def _check(path: Path | str, dataset: Any) -> None:
    if dataset.count == 0:
        raise InputError(f"{path}: holds no raster; give a file with one.")
    if len(set(dataset.dtypes)) > 1:
        raise InputError(f"{path}: has bands of different types ({', '.join(dataset.dtypes)}); convert them to one.")


def _palette(dataset: Any) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """Return the function that turns indices into colors. None where there is no palette."""
    if dataset.count != 1 or dataset.colorinterp[0].name != "palette":
        return None
    colors = dataset.colormap(1)
    table = np.zeros((max(colors) + 1, 3), np.uint8)
    for index, color in colors.items():
        table[index] = color[:3]

    def convert(block: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(table[np.minimum(block[..., 0], len(table) - 1)])

    return convert


def _validity(
    path: Path | str, dataset: Any, levels: list[Level], overviews: list[int | None], *, as_stored: bool
) -> Validity | None:
    """Return the validity of a raster, as ``dataset_mask`` of rasterio has it."""
    flags = {flag.name for band in dataset.mask_flag_enums for flag in band}
    if "alpha" in flags:
        stated = [color.name for color in dataset.colorinterp]
        if "alpha" not in shown_colors(dataset.descriptions, stated):
            flags -= {"alpha", "per_dataset"}
    if flags <= {"all_valid"}:
        return None
    nodata = tuple(dataset.nodatavals)
    if flags <= {"nodata", "all_valid"} and as_stored:
        if all(value is None or np.isnan(value) for value in nodata):
            return None  # NaN are no data in any case
        return Validity((NodataMask(nodata),) * len(levels), f"nodata {nodata_text(nodata)}")
    source = "alpha" if "alpha" in flags else "nodata" if "nodata" in flags else "a mask"
    masks = [Level(GeoArray(path, overview, None), "cyx") for overview in overviews]
    return Validity(tuple(StoredMask(mask, 0, mask.shape[:2]) for mask in masks), source)


def wavelengths(dataset: Any) -> tuple[float | None, ...]:
    """Return the wavelength of each band, as ENVI headers and others state it.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Raster.

    Returns
    -------
    tuple of float or None
        Central wavelength of each band, nm or micrometers, or None.
    """
    found: list[float | None] = []
    for band in dataset.indexes:
        tags = {key.lower(): value for key, value in {**dataset.tags(band, ns="IMAGERY"), **dataset.tags(band)}.items()}
        text = next((tags[key] for key in WAVELENGTH_ITEMS if key in tags), "")
        try:
            found.append(float(text))
        except ValueError:
            found.append(None)
    return tuple(found)


class GeoArray:
    """Bands of a raster, or its mask, as an array [band, y, x]. It is safe to read from several threads.

    Each thread has the raster open for itself, because GDAL's datasets serve one thread.

    Parameters
    ----------
    path : Path or str
        File, or address.
    overview : int or None
        Index of the overview. None for full resolution.
    indexes : sequence of int or None
        Bands, from 1. None for the mask of the whole raster, 0 where there is no data.

    Attributes
    ----------
    shape : tuple of 3 int
        (bands, height, width).
    dtype : dtype
        Type of the values.
    chunks : tuple of 3 int
        (bands, y, x) that are cheap to read together.
    """

    def __init__(self, path: Path | str, overview: int | None, indexes: Any) -> None:
        self._path = path
        self._options = {} if overview is None else {"overview_level": overview}
        self._indexes = None if indexes is None else list(indexes)
        self._local = threading.local()
        with open_dataset(path, **self._options) as dataset:
            bands = 1 if indexes is None else len(self._indexes or ())
            self.shape: tuple[int, ...] = (bands, dataset.height, dataset.width)
            self.dtype: np.dtype[Any] = np.dtype(np.uint8 if indexes is None else dataset.dtypes[0])
            height, width = dataset.block_shapes[0]
            self.chunks: tuple[int, ...] = (bands, min(height, dataset.height), min(width, dataset.width))

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        key : tuple of 3 slice
            Slices with positive steps: bands, y, x.

        Returns
        -------
        ndarray [band, y, x]
            Values.
        """
        bands, rows, columns = (part.indices(length) for part, length in zip(key, self.shape, strict=True))
        window = ((rows[0], max(rows[:2])), (columns[0], max(columns[:2])))
        steps = (slice(None), slice(None, None, rows[2]), slice(None, None, columns[2]))
        dataset = self._dataset()
        if window[0][0] == window[0][1] or window[1][0] == window[1][1]:
            size = (len(range(*bands)), window[0][1] - window[0][0], window[1][1] - window[1][0])
            return np.empty(size, self.dtype)[steps]
        if self._indexes is None:
            return np.asarray(dataset.dataset_mask(window=window))[None][steps]
        return np.asarray(dataset.read([self._indexes[band] for band in range(*bands)], window=window))[steps]

    def _dataset(self) -> Any:
        dataset = getattr(self._local, "dataset", None)
        if dataset is None:
            dataset = self._local.dataset = open_dataset(self._path, **self._options)
        return dataset


def open_dataset(path: Path | str, **options: Any) -> Any:
    """Open a raster for one thread.

    Parameters
    ----------
    path : Path or str
        File, or an address that GDAL reads.
    **options : object
        Options of GDAL's driver.

    Returns
    -------
    rasterio.DatasetReader
        Raster.
    """
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path, sharing=False, **options)


@contextmanager
def _sentences(path: Path | str) -> Iterator[None]:
    """Turn the errors of rasterio in the block into an ``InputError``."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        reason = reason_of(error).rstrip(".")
        if "not recognized as being in a supported file format" in reason:
            raise InputError(f"{path}: is not an image that can be read here; give {KNOWN}.") from error
        raise InputError(f"{path}: cannot be opened as a raster ({reason}); check the path and the file.") from error
