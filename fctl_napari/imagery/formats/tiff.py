"""TIFF in its dialects (BigTIFF, OME-TIFF, GeoTIFF, COG) as lazy levels, read with tifffile."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import FctlError, InputError, reason_of
from fctl_napari.imagery.band_names import BandChoice
from fctl_napari.imagery.formats.aux_xml import bands_beside
from fctl_napari.imagery.formats.remote import open_file
from fctl_napari.imagery.formats.tiff_bands import nodata_value, tiff_bands
from fctl_napari.imagery.formats.tiff_pixel_size import tiff_pixel_size
from fctl_napari.imagery.formats.tiff_series import fits_as_level, is_first, levels_of, names_and_sizes, tiff_images
from fctl_napari.imagery.formats.tiff_validity import tiff_validity
from fctl_napari.imagery.georeference import Georeference, tiff_placement
from fctl_napari.imagery.level import Level, MappedArray
from fctl_napari.imagery.numbered import FileImage, file_images
from fctl_napari.imagery.validity import Validity, stored_value

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

PIECE_BYTES = 2**24
"""Size of the largest tiles or strips that are read over HTTP, bytes."""

UNJOINED = (
    "its tiles may overlap by some px and are not joined; to have them joined, install OpenSlide "
    "(pip install 'fctl-napari[slides]')"
)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what concerns users is said in our sentences

JPEG = (tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG)
APERIO = (tifffile.COMPRESSION.APERIO_JP2000_YCBC, tifffile.COMPRESSION.APERIO_JP2000_RGB)


@dataclass(frozen=True)
class TiffImage:
    """An image of a TIFF.

    Attributes
    ----------
    levels : list of Level
        Image and its overviews, the finest first.
    georeference : Georeference or None
        Georeference of level 0, if it has one.
    pixel_size : tuple of 2 float
        Size of a level-0 px, (y, x), in ``unit``.
    unit : str or None
        ``"meter"``, ``"foot"`` or a unit of OME-TIFF. None if only px are known.
    validity : Validity or None
        Marks of px without data, by level.
    band_names : tuple of str or None
        Names or colors of the bands, or None.
    choice : BandChoice
        Bands that are red, green and blue.
    notes : tuple of str
        What of its file is not used, as ends of sentences about it.
    number : int
        Number of the image in its file.
    images : tuple of FileImage
        All images of its file.
    overlapping : bool
        True for a Ventana slide, whose tiles may overlap.
    """

    levels: list[Level]
    georeference: Georeference | None
    pixel_size: tuple[float, float]
    unit: str | None
    validity: Validity | None
    band_names: tuple[str | None, ...]
    choice: BandChoice
    notes: tuple[str, ...]
    number: int
    images: tuple[FileImage, ...]
    overlapping: bool


def read_tiff(path: Path | str, number: int | None = None, *, indices: bool = False) -> TiffImage:
    """Open an image of a TIFF. Pixels are read when the levels are indexed.

    Parameters
    ----------
    path : Path or str
        File, or its address.
    number : int or None, optional
        Number of the image. The default is the largest.
    indices : bool, optional
        If True, values are kept as they are stored, without palette or inversion (for ground truth).

    Returns
    -------
    TiffImage
        Levels, georeference and pixel size.

    Raises
    ------
    InputError
        The file is truncated or damaged, has no such image, or its axes, colors or compression cannot be read here.
    """
    try:
        file = tifffile.TiffFile(open_file(path) if isinstance(path, str) else path)
        found = tiff_images(file)
        number, images = file_images(path, names_and_sizes(found), number)
        series, first = found[number], is_first(path, file, found[number])
        _check_complete(path, series)
        stored = levels_of(file, series)
        stored += _overviews(path, series) if first and len(stored) == 1 else []
        raw = [_level(path, level) for level in stored]
        levels = raw if indices else [_colored(path, *pair) for pair in zip(raw, stored, strict=True)]
        bands = tiff_bands(series.keyframe, raw[0].shape[2])
        if first:
            bands = bands_beside(path, raw[0].shape[2]) or bands
        validity = tiff_validity(path if first else None, file, raw, levels, bands)
        as_stored = levels[0] is raw[0]  # else they are colors of a palette, say
        labels, choice = (bands.labels, bands.choice()) if as_stored else ((), BandChoice())
        unit, pixel_size = tiff_pixel_size(file, found, number)
    except FctlError:
        raise
    except Exception as error:  # tifffile raises what damaged bytes lead it to
        reason = reason_of(error)
        raise InputError(f"{path}: is a damaged TIFF; fetch it again ({reason}).") from error
    placement = tiff_placement(path, file, None if first else series.keyframe)
    if placement.georeference is not None and placement.unit is not None:
        unit, pixel_size = placement.unit, placement.georeference.pixel_size
    overlapping = bool(file.is_bif)
    notes = (*placement.notes, UNJOINED) if overlapping else placement.notes
    return TiffImage(
        levels,
        placement.georeference,
        pixel_size,
        unit,
        validity,
        labels,
        choice,
        notes,
        number,
        images,
        overlapping,
    )


def _overviews(path: Path | str, series: Any) -> list[Any]:
    """Return the levels of the overviews in a ``.ovr`` beside a file that has none itself."""
    beside = None if isinstance(path, str) else path.with_name(f"{path.name}.ovr")
    if beside is None or not beside.is_file():
        return []
    levels = [level for one in tifffile.TiffFile(beside).series for level in one.levels]
    return [one for one in levels if fits_as_level(one, series)]


def _check_complete(path: Path | str, series: Any) -> None:
    """Refuse a truncated file on opening, not in the middle of a run."""
    size = series.keyframe.parent.filehandle.size
    for level in series.levels:
        for page in level.pages:
            if page is None or page.parent.filehandle.path != series.keyframe.parent.filehandle.path:
                continue  # a plane that is missing, or lies in another file of an OME-TIFF
            ends = np.add(page.dataoffsets, page.databytecounts, dtype=np.int64)
            if len(ends) and ends.max() > size:
                raise InputError(f"{path}: is truncated (pixels lie beyond its end); fetch it again.")


def _level(path: Path | str, series: Any) -> Level:
    """Return a level with its values as they are stored."""
    axes = _axes(path, series.axes, series.shape)
    page = series.keyframe
    _check_compression(path, page)
    by_band = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    if by_band and page.compression in JPEG and page.photometric == tifffile.PHOTOMETRIC.RGB:
        # Each band is a gray JPEG of its own, in which tifffile would look for three colors.
        page.photometric = tifffile.PHOTOMETRIC.MINISBLACK
    array = stored_array(series)
    if isinstance(path, str) and math.prod(getattr(array, "chunks", ())) * array.dtype.itemsize > PIECE_BYTES:
        raise InputError(f"{path}: is stored in pieces too large to fetch one by one; fetch it and open the copy.")
    return Level(array, axes)


def stored_array(series: Any) -> Any:
    """Return the array of a level, read on demand.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        The level.

    Returns
    -------
    zarr.Array or MappedArray
        Array in the axes of the level.
    """
    page = series.keyframe
    if series.dataoffset is not None and page.is_memmappable:
        # tifffile would read the one piece whole.
        dtype = series.dtype.newbyteorder(page.parent.byteorder)
        return MappedArray(Path(page.parent.filehandle.path), dtype, series.dataoffset, series.shape)
    # tifffile takes the extremes of float32 for no float32, and would fill missing tiles with 0.
    mark = stored_value(nodata_value(page), series.dtype)
    store = series.aszarr(level=0, maxworkers=usable_cores(), fillvalue=None if mark is None else mark.item())
    return zarr.open_array(store, mode="r")


class CodecError(InputError):
    """The error raised for a compression that only GDAL reads wholly."""


def _check_compression(path: Path | str, page: Any) -> None:
    name = getattr(page.compression, "name", page.compression)
    save = "install rasterio (pip install 'fctl-napari[geo]'), or save it again with deflate, say"
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError as error:
        raise CodecError(f"{path}: is compressed as {name}, which cannot be read here; {save}.") from error
    if page.compression == tifffile.COMPRESSION.LERC:
        # imagecodecs drops LERC's masks of missing values: NaN becomes 0, bands with other gaps are mixed up, and an
        # alpha channel is missing.
        raise CodecError(f"{path}: is compressed as LERC, whose missing values cannot be read here; {save}.")


def _axes(path: Path | str, axes: str, shape: tuple[int, ...]) -> str:
    """Rename tifffile's axes to ``y``, ``x``, ``c``, and letters for axes of length 1."""
    # S samples, C channels, Q an axis that was not named when the file was written.
    long = [i for i, letter in enumerate(axes) if letter not in "YX" and shape[i] > 1]
    if len(long) > 1 or any(axes[i] not in "SCQ" for i in long) or not {"Y", "X"} <= set(axes):
        described = ", ".join(f"{letter}: {length}" for letter, length in zip(axes, shape, strict=True))
        raise InputError(f"{path}: has axes {described}; save one plane with its channels as a file of its own.")
    return "".join(
        letter.lower() if letter in "YX" else "c" if i in long else "abdefghij"[i] for i, letter in enumerate(axes)
    )


def _colored(path: Path | str, level: Level, series: Any) -> Level:
    """Wrap stored values so that they read as gray or RGB."""
    page = series.keyframe
    photometric = page.photometric.name if hasattr(page.photometric, "name") else str(page.photometric)
    convert: Callable[[NDArray[Any]], NDArray[Any]]
    if photometric == "PALETTE" and page.colormap is not None:
        colors = np.asarray(page.colormap).T
        # 16 bits by the standard, but some writers store 8 bits.
        table = (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)

        def convert(block: NDArray[Any]) -> NDArray[Any]:
            index = block[..., 0]
            colors_of: NDArray[Any] = table[index.view(np.uint8) if index.dtype == bool else index]
            return colors_of

        return Level(level, convert=convert, channels=3, dtype=np.dtype(np.uint8))
    if level.dtype.kind == "b":
        bright = photometric != "MINISWHITE"

        def convert(block: NDArray[Any]) -> NDArray[Any]:
            return np.where(block == bright, np.uint8(255), np.uint8(0))

        return Level(level, convert=convert, dtype=np.dtype(np.uint8))
    if photometric == "MINISWHITE" and level.dtype.kind == "u":
        white = np.iinfo(level.dtype).max

        def convert(block: NDArray[Any]) -> NDArray[Any]:
            inverted: NDArray[Any] = white - block
            return inverted

        return Level(level, convert=convert)
    if page.compression == tifffile.COMPRESSION.APERIO_JP2000_YCBC and not _is_subsampled(page):
        return Level(level, convert=_rgb_of_ycbcr)  # the codec turns into RGB what is subsampled, but not this
    if page.compression in APERIO:
        return level  # whatever the photometric interpretation says
    # JPEG's codec turns YCbCr into RGB where the three are stored together.
    decoded = page.compression in JPEG and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    if photometric in ("MINISBLACK", "MINISWHITE", "RGB") or (photometric == "YCBCR" and decoded):
        if level.shape[2] == 2 and page.extrasamples and int(page.extrasamples[0]) in (1, 2):
            return Level(level, convert=lambda block: block[..., :1], channels=1)
        return level
    raise InputError(f"{path}: is stored as {photometric} colors; convert it to RGB.")


def _is_subsampled(page: Any) -> bool:
    """Return whether the colors of a page in JPEG 2000 are stored at a lower resolution than their brightness."""
    handle = page.parent.filehandle
    offset = next(offset for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True) if count)
    handle.seek(offset)
    header = handle.read(256)
    start = header.find(b"\xff\x51")  # the marker SIZ: components from byte 40 on, of 3 bytes each
    components = header[start + 40 : start + 49]
    return start >= 0 and any(components[k] != 1 for k in (1, 2, 4, 5, 7, 8) if k < len(components))


def _rgb_of_ycbcr(block: NDArray[Any]) -> NDArray[np.uint8]:
    y, blue, red = np.moveaxis(block.astype(np.float32), -1, 0)
    blue, red = blue - 128, red - 128
    rgb = np.stack((y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue), axis=-1)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), np.uint8)
