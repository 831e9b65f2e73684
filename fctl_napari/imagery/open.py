"""Opening of images in any supported format, from files and addresses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from fctl_napari.errors import InputError
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.geo import KNOWN, read_geo
from fctl_napari.imagery.formats.npy import NPY_MAGIC, read_npy
from fctl_napari.imagery.formats.ome_zarr import open_omezarr
from fctl_napari.imagery.formats.png_jpeg import JPEG_MAGIC, PNG_MAGIC, read_magic, read_raster
from fctl_napari.imagery.formats.remote import (
    PAGE_BYTES,
    SIGN_IN,
    is_gdal_address,
    is_url,
    is_web_page,
    last_name,
    open_file,
)
from fctl_napari.imagery.formats.stac import asset_location
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC, CodecError, read_tiff
from fctl_napari.imagery.formats.tiff_validity import mask_file_validity
from fctl_napari.imagery.formats.zipped import ZIP_MAGIC, zip_file
from fctl_napari.imagery.georeference import Placement, file_placement, has_rasterio, has_sidecar
from fctl_napari.imagery.halving import halved_levels
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import LARGE_SIDE, Pyramid
from fctl_napari.imagery.validity import StoredMask, Validity

IN_MEMORY_BYTES = 2**28
"""Largest image without overviews that gets coarser levels in memory, bytes."""


def open_image(
    path: Path | str,
    *,
    value_range: tuple[float, float] | None = None,
    bands: tuple[int, int, int] | None = None,
) -> Pyramid:
    """Open an image as a lazy pyramid. The format is recognized by the content, not by the name.

    Parameters
    ----------
    path : Path or str
        An OME-Zarr up to 0.6 (its folder, or one zip file, ``.ozx``); a TIFF, BigTIFF, OME-TIFF, GeoTIFF or COG, with
        the overviews it has; an array [y, x] or [y, x, channel] in a ``.npy`` file; or a PNG or JPEG, which is read
        whole into memory. An OME-Zarr folder and a tiled TIFF may also lie at an ``http://`` or ``https://`` address,
        given as a string. So may a STAC item, ``item.json#asset``, whose asset is opened (see ``asset_location``).
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255 when pixels are read as RGB. It is needed for data that is not uint8.
    bands : tuple of 3 int or None, optional
        Indices of the red, green and blue channels, from 0.

    Returns
    -------
    Pyramid
        Image, read on demand.

    Raises
    ------
    InputError
        The file is missing, truncated or damaged, is not an image, or has other axes or channels; or the server
        cannot be reached.
    """
    path = asset_location(path)
    if is_gdal_address(path) and ".zarr" not in path:
        return _open_geo(path, value_range, bands)
    if is_url(path):
        return _open_url(path, value_range, bands)
    path = Path(path)
    if path.is_dir() or zip_file(path) is not None:
        return open_omezarr(path, value_range=value_range, bands=bands)
    magic = read_magic(path)
    if magic.startswith(TIFF_MAGIC):
        return _open_tiff(path, value_range, bands)
    if magic.startswith(NPY_MAGIC):
        return _open_npy(path, value_range, bands)
    if magic.startswith((PNG_MAGIC, JPEG_MAGIC)):
        return _open_raster(path, value_range, bands)
    if has_rasterio():
        return _open_geo(path, value_range, bands)
    raise InputError(f"{path}: is not an image that can be read here; give {KNOWN}.")


def _open_url(url: str, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None) -> Pyramid:
    parts = urlsplit(url)
    page: InputError | None = None
    if not parts.query or ".zarr" in parts.path:  # other addresses with a query are those of files
        try:
            return open_omezarr(url, value_range=value_range, bands=bands)
        except ngff.WebPageError as error:
            page = error  # so answer some servers for files that they do not have
        except ngff.NoGroupError:
            pass
    try:
        with open_file(url) as file:
            magic = file.read(PAGE_BYTES)
    except InputError:
        if page is not None:
            raise page from None
        raise
    if is_web_page(magic):
        raise page or InputError(f"{url}: its server answers with a web page, not with an image; {SIGN_IN}.")
    if magic.startswith(TIFF_MAGIC):
        return _open_tiff(url, value_range, bands)
    if magic.startswith((PNG_MAGIC, JPEG_MAGIC, NPY_MAGIC, ZIP_MAGIC)):
        raise InputError(f"{url}: such a file cannot be read in parts over HTTP; fetch it and open the copy.")
    raise InputError(f"{url}: is not an image that can be read here; give an OME-Zarr or a tiled TIFF.")


def _open_tiff(
    path: Path | str, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None
) -> Pyramid:
    try:
        image = read_tiff(path)
    except CodecError as error:
        if not has_rasterio():
            raise
        try:
            return _open_geo(path, value_range, bands)
        except InputError:
            raise error from None  # GDAL lacks the codec, too
    levels, validity = image.levels, image.validity
    native = len(levels)
    if native == 1:
        levels, validity = _with_coarser(levels[0], validity)
    return Pyramid(
        Path(last_name(path)).stem.removesuffix(".ome"),
        levels,
        path=str(path),
        # Computed levels halve exactly; overviews span the image, whatever they were rounded to.
        factors=_halved_factors(levels) if native == 1 else None,
        native_levels=native,
        value_range=value_range,
        bands=bands or image.choice.bands,
        band_names=image.band_names,
        unclear_bands=image.choice.unclear,
        georeference=image.georeference,
        pixel_size=image.pixel_size,
        unit=image.unit,
        notes=image.notes,
        validity=validity,
    )


def _open_geo(path: Path | str, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None) -> Pyramid:
    image = read_geo(path if not is_url(path) or is_gdal_address(path) else f"/vsicurl/{path}")
    levels, validity = image.levels, image.validity
    native = len(levels)
    if native == 1:
        levels, validity = _with_coarser(levels[0], validity)
    georeference, unit = image.placement.georeference, image.placement.unit
    return Pyramid(
        Path(last_name(path)).stem,
        levels,
        path=str(path),
        factors=_halved_factors(levels) if native == 1 else None,
        native_levels=native,
        value_range=value_range,
        bands=bands or image.choice.bands,
        band_names=image.band_names,
        unclear_bands=image.choice.unclear,
        georeference=georeference,
        pixel_size=(1.0, 1.0) if georeference is None or unit is None else georeference.pixel_size,
        unit=unit,
        notes=image.placement.notes,
        validity=validity,
    )


def _open_raster(path: Path, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None) -> Pyramid:
    array, alpha = read_raster(path)
    first = Level(array)
    validity = mask_file_validity(path, [first])
    if validity is None and alpha is not None:
        height, width = first.shape[:2]
        validity = Validity((StoredMask(Level(alpha, "yx"), 0, (height, width)),), "alpha")
    levels, validity = halved_levels(first, validity)
    placement = (file_placement(path) if has_sidecar(path) and has_rasterio() else None) or Placement()
    placed = placement.georeference is not None and placement.unit is not None
    return Pyramid(
        path.stem,
        levels,
        path=str(path),
        georeference=placement.georeference,
        pixel_size=placement.georeference.pixel_size if placement.georeference is not None and placed else (1.0, 1.0),
        unit=placement.unit,
        notes=placement.notes,
        factors=_halved_factors(levels),
        native_levels=1,
        value_range=value_range,
        bands=bands,
        validity=validity,
    )


def _open_npy(path: Path, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None) -> Pyramid:
    levels, _ = _with_coarser(read_npy(path), None)
    return Pyramid(
        path.stem,
        levels,
        path=str(path),
        factors=_halved_factors(levels),
        native_levels=1,
        value_range=value_range,
        bands=bands,
    )


def _with_coarser(level: Level, validity: Validity | None) -> tuple[list[Level], Validity | None]:
    """Add levels computed in memory, if the image is small."""
    if max(level.shape[:2]) > LARGE_SIDE or level.nbytes > IN_MEMORY_BYTES:
        return [level], validity
    return halved_levels(level, validity)


def _halved_factors(levels: list[Level]) -> list[tuple[float, float]]:
    return [(float(2**k), float(2**k)) for k in range(len(levels))]
