"""Class indices as one raster: PNG, TIFF, or cloud-optimized GeoTIFF, written strip by strip."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exporting.destination import SOFTWARE, replacing, require
from fctl_napari.exporting.extract import Extract
from fctl_napari.exporting.geotiff_levels import georeference_levels
from fctl_napari.exporting.pixel_size import metres
from fctl_napari.files import atomic_write
from fctl_napari.imagery.formats.mask_tags import CLASSES, GDAL_METADATA, gdal_metadata, names_text
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.progress import Progress

CACHE_MB = 128
"""Memory of GDAL's cache of blocks, MB."""

TILE = 512
"""Side of a TIFF's tiles, and number of rows written at once, px."""


def write_png(extract: Extract, out: Path, progress: Progress | None) -> None:
    """Write a grayscale PNG with the classes' names as text, as ``export`` describes.

    It is grayscale so that every reader sees the indices.

    Parameters
    ----------
    extract : Extract
        Classes to write.
    out : Path
        Path of the file.
    progress : Progress or None
        Called as ``progress(done, total)`` with counts of rows; None for no progress.

    Raises
    ------
    OutputError
        The disk is full, or the folder is not writable.
    """
    names = [info.name for info in extract.segmentation.class_table]
    with atomic_write(out) as file:
        strips = (strip for _, strip in extract.strips(TILE, progress))
        _write_png(file, extract.shape, strips, names, metres(extract.segmentation))


def write_tiff(extract: Extract, out: Path, progress: Progress | None) -> None:
    """Write a tiled TIFF with the classes' colors as its color table (a COG if georeferenced).

    Parameters
    ----------
    extract : Extract
        Classes to write.
    out : Path
        Path of the file.
    progress : Progress or None
        Called as ``progress(done, total)`` with counts; None for no progress.

    Raises
    ------
    OutputError
        A library is missing, the disk is full, or the folder is not writable.
    """
    table = extract.class_table
    georeference = extract.georeference
    if georeference is not None:
        require(out, "TIFF files of georeferenced images", "rasterio")
        _write_cog(out, extract, georeference, table, progress)
        return
    strips = (strip for _, strip in extract.strips(TILE, progress))
    with replacing(out) as temporary:
        _write_tiff(temporary, extract.shape, strips, table, metres(extract.segmentation))


def _write_png(
    file: IO[bytes],
    shape: tuple[int, int],
    strips: Iterator[NDArray[np.uint8]],
    names: Sequence[str],
    size: tuple[float, float] | None,
) -> None:
    """Write an 8-bit grayscale PNG strip by strip, for which Pillow would need the whole picture."""

    def chunk(kind: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    height, width = shape
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    if size is not None:
        per_metre = [min(round(1 / side), 2**31 - 1) for side in (size[1], size[0])]
        if min(per_metre) > 0:
            chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    chunk(b"tEXt", b"Software\0" + SOFTWARE.encode())
    chunk(b"tEXt", f"{CLASSES}\0{names_text(names)}".encode())
    compress = zlib.compressobj(6)
    for strip in strips:
        # Filter 2 (up) makes the many equal rows zeros; the first row of a strip has filter 0.
        rows = np.empty((strip.shape[0], width + 1), np.uint8)
        rows[:, 0] = 2
        rows[0, 0] = 0
        rows[0, 1:] = strip[0]
        rows[1:, 1:] = strip[1:] - strip[:-1]
        if data := compress.compress(rows.tobytes()):
            chunk(b"IDAT", data)
    chunk(b"IDAT", compress.flush())
    chunk(b"IEND", b"")


def _palette(table: ClassTable) -> NDArray[np.uint8]:
    """Return the colors, uint8 [256, 3], with black for every value that is no class."""
    palette = np.zeros((256, 3), np.uint8)
    for index, entry in enumerate(table):
        palette[index] = entry.color
    return palette


def _tiles(strips: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Cut strips into full tiles, padded with 255."""
    for strip in strips:
        for x in range(0, strip.shape[1], TILE):
            tile = np.full((TILE, TILE), IGNORE, np.uint8)
            part = strip[:, x : x + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _write_tiff(
    path: Path,
    shape: tuple[int, int],
    strips: Iterator[NDArray[np.uint8]],
    table: ClassTable,
    size: tuple[float, float] | None,
) -> None:
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=shape[0] * shape[1] >= 2**31) as writer:
        writer.write(
            _tiles(strips),
            shape=shape,
            dtype=np.uint8,
            tile=(TILE, TILE),
            photometric="palette",
            colormap=_palette(table).T.astype(np.uint16) * 257,
            compression="zlib",
            software=SOFTWARE,
            resolution=None if size is None else (0.01 / size[1], 0.01 / size[0]),
            resolutionunit=None if size is None else "CENTIMETER",
            metadata=None,
            extratags=[(GDAL_METADATA, "s", 0, gdal_metadata([info.name for info in table]), True)],
        )


def _write_cog(
    out: Path, extract: Extract, georeference: Georeference, table: ClassTable, progress: Progress | None
) -> None:
    """Write a GeoTIFF strip by strip, and let GDAL's COG driver order it and add overviews."""
    import rasterio
    import rasterio.shutil
    from rasterio.transform import Affine
    from rasterio.windows import Window

    height, width = extract.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": "uint8",
        "nodata": IGNORE,
        "crs": georeference.crs,
        "transform": Affine(*georeference.transform),
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "compress": "deflate",
        "zlevel": 1,  # low, because this file is read only once
        "photometric": "palette",
        "bigtiff": "IF_SAFER",
    }

    def count(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total + total // 4)  # the COG takes about a fifth of the time

    # Otherwise GDAL's cache of blocks grows with the machine's memory.
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB), replacing(out) as temporary:
        plain = temporary.with_name("plain.tif")
        with rasterio.open(plain, "w", **profile) as dataset:
            dataset.write_colormap(1, {index: tuple(color) for index, color in enumerate(_palette(table).tolist())})
            dataset.update_tags(TIFFTAG_SOFTWARE=SOFTWARE, **{CLASSES: names_text([info.name for info in table])})
            for y, strip in extract.strips(TILE, count):
                dataset.write(strip, 1, window=Window(0, y - extract.window[0], width, strip.shape[0]))
        ordered = temporary.with_name("cog.tif")
        rasterio.shutil.copy(
            plain,
            ordered,
            driver="COG",
            blocksize=TILE,
            compress="deflate",
            overview_resampling="mode",  # the most frequent class, because a mean of indices is another class
            bigtiff="IF_SAFER",
            num_threads="all_cpus",
        )
        plain.unlink()
        georeference_levels(ordered, temporary)
        if progress is not None:
            progress(height + height // 4, height + height // 4)
