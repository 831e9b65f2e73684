"""Opening of images in any supported format, from files and addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fctl_napari.cache.use import use
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_copy import copy_at
from fctl_napari.imagery.band_names import BandChoice, Bands, band_names_in, rgb_in
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.aux_xml import picture_validity
from fctl_napari.imagery.formats.geo import KNOWN, GeoImage, read_geo
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
from fctl_napari.imagery.formats.slides import (
    OPENSLIDE_SUFFIXES,
    SlideImage,
    is_dicom,
    is_dicom_slide,
    joins_tiles,
    read_dicom,
    read_openslide,
)
from fctl_napari.imagery.formats.stac import asset_location
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC, CodecError, TiffImage, read_tiff
from fctl_napari.imagery.formats.tiff_validity import mask_file_validity
from fctl_napari.imagery.formats.zipped import ZIP_MAGIC, zip_file
from fctl_napari.imagery.georeference import has_rasterio, picture_placement
from fctl_napari.imagery.halving import halved_levels
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import file_images, split_number
from fctl_napari.imagery.pyramid import LARGE_SIDE, Pyramid
from fctl_napari.imagery.validity import StoredMask, Validity

IN_MEMORY_BYTES = 2**28
"""Largest image without overviews that gets coarser levels in memory, bytes."""


def open_image(
    path: Path | str,
    *,
    value_range: tuple[float, float] | None = None,
    bands: Bands | None = None,
    parts: bool = False,
) -> Pyramid:
    """Open an image as a lazy pyramid. The format is recognized by the content, not by the name.

    Parameters
    ----------
    path : Path or str
        An OME-Zarr up to 0.6 (its folder, or one zip file, ``.ozx``); a TIFF, BigTIFF, OME-TIFF, GeoTIFF or COG, with
        the overviews it has; an array [y, x] or [y, x, channel] in a ``.npy`` file; or a PNG or JPEG, which is read
        whole into memory. An OME-Zarr folder and a tiled TIFF may also lie at an ``http://`` or ``https://`` address,
        given as a string. So may a STAC item, ``item.json#asset``, whose asset is opened (see ``asset_location``). Of a
        file with several images the largest is opened, or the one of a number: ``slide.svs#image=1``.
    value_range : tuple of 2 float or None, optional
        (low, high) values that become 0 and 255 when pixels are read as RGB. It is needed for data that is not uint8.
    bands : Bands or None, optional
        Indices of the red, green and blue channels, from 0; or the names of all channels in their order, for a file
        that does not state them.
    parts : bool, optional
        If True, the copy of an array is opened of which only parts are there, as ``open_omezarr`` does.

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
    names, in_use = band_names_in(bands), use(path)
    opened = _open(path, value_range, rgb_in(bands) if names is None else None, parts)
    opened.use = in_use
    return opened if names is None else opened.with_band_names(names)


def _open(
    path: Path | str, value_range: tuple[float, float] | None, bands: tuple[int, int, int] | None, parts: bool
) -> Pyramid:
    copied = copy_at(path)
    if copied is not None:
        return copied.open(value_range=value_range, bands=bands)
    path, number = split_number(path)
    path = asset_location(path)
    shown: dict[str, Any] = {"value_range": value_range, "bands": bands}
    if is_gdal_address(path) and ".zarr" not in path:
        return _open_geo(path, number, shown)
    if is_url(path):
        return _open_url(path, number, shown)
    path = Path(path)
    if path.is_dir() and not ngff.is_zarr(path) and is_dicom_slide(path):
        return _open_slide(path, read_dicom(path, number), shown)
    if path.is_dir() or zip_file(path) is not None:
        return open_omezarr(path, number, value_range=value_range, bands=bands, parts=parts)
    magic = read_magic(path)
    if path.suffix.lower() in OPENSLIDE_SUFFIXES:
        return _open_slide(path, read_openslide(path, number), shown)
    if magic.startswith(TIFF_MAGIC):
        return _open_tiff(path, number, shown)
    if is_dicom(path):
        return _open_slide(path, read_dicom(path, number), shown)
    if magic.startswith((NPY_MAGIC, PNG_MAGIC, JPEG_MAGIC)):
        file_images(path, [("", None)], number)
        return _open_npy(path, shown) if magic.startswith(NPY_MAGIC) else _open_raster(path, shown)
    if has_rasterio():
        return _open_geo(path, number, shown)
    raise InputError(f"{path}: is not an image that can be read here; give {KNOWN}.")


def _open_url(url: str, number: int | None, shown: dict[str, Any]) -> Pyramid:
    parts = urlsplit(url)
    page: InputError | None = None
    if not parts.query or ".zarr" in parts.path:  # other addresses with a query are those of files
        try:
            return open_omezarr(url, number, **shown)
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
        return _open_tiff(url, number, shown)
    if magic.startswith((PNG_MAGIC, JPEG_MAGIC, NPY_MAGIC, ZIP_MAGIC)):
        raise InputError(f"{url}: such a file cannot be read in parts over HTTP; fetch it and open the copy.")
    raise InputError(f"{url}: is not an image that can be read here; give an OME-Zarr or a tiled TIFF.")


def _open_tiff(path: Path | str, number: int | None, shown: dict[str, Any]) -> Pyramid:
    try:
        image = read_tiff(path, number)
    except CodecError as error:
        if not has_rasterio():
            raise
        try:
            return _open_geo(path, number, shown)
        except InputError:
            raise error from None  # GDAL lacks the codec, too
    if image.overlapping and isinstance(path, Path) and joins_tiles(path):
        return _open_slide(path, read_openslide(path, number), shown)
    return _pyramid(
        path,
        image,
        shown,
        band_names=image.band_names,
        choice=image.choice,
        georeference=image.georeference,
        pixel_size=image.pixel_size,
        unit=image.unit,
        notes=image.notes,
    )


def _open_geo(path: Path | str, number: int | None, shown: dict[str, Any]) -> Pyramid:
    image = read_geo(path if not is_url(path) or is_gdal_address(path) else f"/vsicurl/{path}", number)
    georeference, unit = image.placement.georeference, image.placement.unit
    return _pyramid(
        path,
        image,
        shown,
        band_names=image.band_names,
        choice=image.choice,
        georeference=georeference,
        pixel_size=(1.0, 1.0) if georeference is None or unit is None else georeference.pixel_size,
        unit=unit,
        notes=image.placement.notes,
    )


def _open_slide(path: Path, image: SlideImage, shown: dict[str, Any]) -> Pyramid:
    return _pyramid(path, image, shown, pixel_size=image.pixel_size, unit=image.unit)


def _pyramid(
    path: Path | str,
    image: TiffImage | GeoImage | SlideImage,
    shown: dict[str, Any],
    *,
    choice: BandChoice | None = None,
    **facts: Any,
) -> Pyramid:
    """Make the pyramid of an image that was read, with levels computed in memory if it has none and is small."""
    levels, validity = image.levels, image.validity
    native = len(levels)
    if native == 1:
        levels, validity = _with_coarser(levels[0], validity)
    choice = choice or BandChoice()
    return Pyramid(
        Path(last_name(path)).stem.removesuffix(".ome"),
        levels,
        path=image.images[image.number].location if image.images else str(path),
        # Computed levels halve exactly; overviews span the image, whatever they were rounded to.
        factors=_halved_factors(levels) if native == 1 else None,
        native_levels=native,
        value_range=shown["value_range"],
        bands=shown["bands"] or choice.bands,
        unclear_bands=choice.unclear,
        validity=validity,
        images=image.images,
        **facts,
    )


def _open_raster(path: Path, shown: dict[str, Any]) -> Pyramid:
    array, alpha = read_raster(path)
    first = Level(array)
    validity = mask_file_validity(path, [first]) or picture_validity(path)
    if validity is None and alpha is not None:
        height, width = first.shape[:2]
        validity = Validity((StoredMask(Level(alpha, "yx"), 0, (height, width)),), "alpha")
    levels, validity = halved_levels(first, validity)
    placement = picture_placement(path)
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
        validity=validity,
        **shown,
    )


def _open_npy(path: Path, shown: dict[str, Any]) -> Pyramid:
    levels, _ = _with_coarser(read_npy(path), None)
    return Pyramid(
        path.stem,
        levels,
        path=str(path),
        factors=_halved_factors(levels),
        native_levels=1,
        **shown,
    )


def _with_coarser(level: Level, validity: Validity | None) -> tuple[list[Level], Validity | None]:
    """Add levels computed in memory, if the image is small."""
    if max(level.shape[:2]) > LARGE_SIDE or level.nbytes > IN_MEMORY_BYTES:
        return [level], validity
    return halved_levels(level, validity)


def _halved_factors(levels: list[Level]) -> list[tuple[float, float]]:
    return [(float(2**k), float(2**k)) for k in range(len(levels))]
