"""A segmentation as one file of class indices: PNG, TIFF or GeoTIFF, written strip by strip."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import OutputError
from fctl_napari.files import atomic_write, output_error
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.segmentation.store import Segmentation

SOFTWARE = "fctl-napari"
"""Written into each file; a file that carries it may be written over."""

TILE = 512
"""Side of a TIFF's tiles, and the rows read at once, px."""

PNG_SUFFIXES = (".png",)
TIFF_SUFFIXES = (".tif", ".tiff")

Report = Callable[[int, int], None]


def export(segmentation: Segmentation, out: Path | str, *, progress: Report | None = None) -> Path:
    """Write the classes of a segmentation as class indices, uint8, 255 where nothing was computed.

    The memory needed grows with the image's width only.

    Parameters
    ----------
    segmentation
        An opened store.
    out
        ``.png`` (greyscale, so that every reader sees the indices), or ``.tif``/``.tiff`` with the classes' colours
        as its colour table, and with CRS and transform where the image has them. An earlier export is replaced.
    progress
        Called as ``progress(done, total)`` with counts of strips.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        The name has another suffix or is taken by something else, the disk is full, or the place is not writable;
        or the image is georeferenced and rasterio is missing.
    """
    out = Path(out)
    suffix = out.suffix.lower()
    if suffix not in PNG_SUFFIXES + TIFF_SUFFIXES:
        raise OutputError(f"{out}: exports are PNG or TIFF files; end the name in .png or .tif.")
    if out.exists() and not _is_export(out):
        raise OutputError(f"{out}: exists and is not an earlier export; choose another name.")
    strips = _strips(segmentation, progress)
    if suffix in PNG_SUFFIXES:
        with atomic_write(out) as file:
            _write_png(file, segmentation.shape, strips)
    elif segmentation.georeference is None:
        with _replacing(out) as temporary:
            _write_tiff(temporary, segmentation.shape, strips, segmentation.class_table)
    else:
        _write_geotiff(out, segmentation, strips)
    return out


def _is_export(path: Path) -> bool:
    """Tell whether a file was written by this module."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            tags: Any = getattr(image, "tag_v2", {})
            software = image.info.get("Software") or tags.get(305)
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return False
    return bool(software == SOFTWARE)


def _strips(segmentation: Segmentation, progress: Report | None) -> Iterator[NDArray[np.uint8]]:
    """Class indices, uint8 (rows, width), ``TILE`` rows at a time from the top."""
    height, width = segmentation.shape
    total = -(-height // TILE)
    for number in range(total):
        top = number * TILE
        labels = segmentation.labels.read((top, 0, min(top + TILE, height), width))
        yield labels - np.uint8(1)  # 0 (not computed) wraps to 255, k + 1 becomes k
        if progress is not None:
            progress(number + 1, total)


def _write_png(file: IO[bytes], shape: tuple[int, int], strips: Iterator[NDArray[np.uint8]]) -> None:
    """Write an 8-bit greyscale PNG; Pillow would need the whole picture."""

    def chunk(kind: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    height, width = shape
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    chunk(b"tEXt", b"Software\0" + SOFTWARE.encode())
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
    """Colours, uint8 (256, 3); black for what is no class."""
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


def _write_tiff(path: Path, shape: tuple[int, int], strips: Iterator[NDArray[np.uint8]], table: ClassTable) -> None:
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
            metadata=None,
        )


def _write_geotiff(out: Path, segmentation: Segmentation, strips: Iterator[NDArray[np.uint8]]) -> None:
    if find_spec("rasterio") is None:
        raise OutputError(
            f"{out}: the image is georeferenced, which needs rasterio to be kept; install fctl-napari[geo], or export "
            f"a PNG."
        )
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.transform import Affine
    from rasterio.windows import Window

    georeference = segmentation.georeference
    assert georeference is not None
    height, width = segmentation.shape
    profile = {
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
        "photometric": "palette",
        "BIGTIFF": "IF_SAFER",
    }
    try:
        with _replacing(out) as temporary, rasterio.open(temporary, "w", **profile) as dataset:
            colors = enumerate(_palette(segmentation.class_table).tolist())
            dataset.write_colormap(1, {index: tuple(color) for index, color in colors})
            dataset.update_tags(TIFFTAG_SOFTWARE=SOFTWARE)
            for number, strip in enumerate(strips):
                dataset.write(strip, 1, window=Window(0, number * TILE, width, strip.shape[0]))
    except RasterioError as error:
        raise OutputError(f"{out}: cannot be written ({error}); check the disk's space and the CRS.") from error


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Lend a path beside ``out`` to libraries that want a name, and move the file there when the block ends well."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            temporary = Path(folder) / out.name
            yield temporary
            os.replace(temporary, out)
    except OSError as error:  # rasterio's own errors of input and output are OSErrors too
        raise output_error(out, error) from error


def check_logits_place(out: Path | str) -> Path:
    """Refuse a place where ``export_logits`` cannot write, or where it would replace something else.

    Raises
    ------
    OutputError
        The name does not end in ``.npy``, or there is a file that is no float32 array ``[C, H, W]``.
    """
    out = Path(out)
    if out.suffix != ".npy":
        raise OutputError(f"{out}: logits are kept as a NumPy file; end the name in .npy.")
    if out.exists():
        try:
            with out.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        except (OSError, ValueError):
            shape, dtype = (), np.dtype(object)
        if dtype != np.float32 or len(shape) != 3:
            raise OutputError(f"{out}: exists and is not an array of logits; choose another name.")
    return out


def export_logits(segmentation: Segmentation, out: Path | str, *, progress: Report | None = None) -> Path:
    """Write the summed logits that a run kept as one NumPy file, float32 ``[C, H, W]``, NaN where nothing was computed.

    Parameters
    ----------
    segmentation
        An opened store.
    out
        ``.npy``; earlier logits are replaced.
    progress
        Called as ``progress(done, total)`` with counts of strips.

    Raises
    ------
    OutputError
        The run kept none, the place is not one for them (see ``check_logits_place``), the disk is full, or the place
        is not writable.
    """
    out = check_logits_place(out)
    logits = segmentation.logits
    if logits is None:
        raise OutputError(f"{segmentation.path}: keeps no logits; segment again with --save-logits and --fresh.")
    with atomic_write(out) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": logits.shape}
        np.lib.format.write_array_header_1_0(file, header)
        strips = [(c, y) for c in range(logits.shape[0]) for y in range(0, logits.shape[1], TILE)]
        for number, (channel, y) in enumerate(strips, 1):
            file.write(np.ascontiguousarray(logits[channel, y : y + TILE], "<f4").tobytes())
            if progress is not None:
                progress(number, len(strips))
    return out
