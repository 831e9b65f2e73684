"""Slides that tifffile does not read: MIRAX, Hamamatsu VMS and VMU, Ventana with overlaps, and DICOM.

They are read by OpenSlide and wsidicom. Importing this module needs neither; opening a slide does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.numbered import FileImage, file_images
from fctl_napari.imagery.validity import StoredMask, Validity

OPENSLIDE_SUFFIXES = (".mrxs", ".vms", ".vmu")
"""Names of slides that consist of several files, of which the named one says little by its content."""

SUFFIXES = (".svs", ".ndpi", ".scn", ".bif", ".qptiff", *OPENSLIDE_SUFFIXES)
"""Usual names of slides, those that tifffile reads among them."""

DICOM_SUFFIX = ".dcm"
DICOM_MAGIC = b"DICM"
WSI_CLASS = b"UI\x1e\x001.2.840.10008.5.1.4.1.1.77.1.6"
MOST_LOOKED_AT = 64
"""Number of files of a folder that are looked at, to find whether they are a slide."""

CHUNK = 512
"""Side of the parts in which OpenSlide is cheap to read, px. It does not tell the tiles of each file."""

PixelSize = tuple[tuple[float, float], str | None]
"""Size of a px, (y, x), and its unit, or None."""

Reader = Callable[[int, int, int, int], NDArray[np.uint8]]
"""Function that reads left, top, width and height, px."""


@dataclass(frozen=True)
class SlideImage:
    """An image of a slide.

    Attributes
    ----------
    levels : list of Level
        The image and its levels, the finest first.
    validity : Validity or None
        Px that were scanned, by level.
    pixel_size : tuple of 2 float
        Size of a level-0 px, (y, x), in ``unit``.
    unit : str or None
        ``"micrometer"``. None if only px are known.
    number : int
        Number of the image in its slide.
    images : tuple of FileImage
        All images of the slide: the scan, then label, macro and others.
    """

    levels: list[Level]
    validity: Validity | None
    pixel_size: tuple[float, float]
    unit: str | None
    number: int
    images: tuple[FileImage, ...]


class ReadArray:
    """An array [y, x, channel] that a function reads by regions.

    Parameters
    ----------
    shape : tuple of 3 int
        (height, width, channels).
    read : callable
        Called with left, top, width and height, px. Returns the values [y, x, channel], uint8.
    chunk : tuple of 2 int
        (y, x) that are cheap to read together.

    Attributes
    ----------
    shape : tuple of 3 int
        (height, width, channels).
    dtype : dtype
        uint8.
    chunks : tuple of 3 int
        (y, x, channels) that are cheap to read together.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        read: Reader,
        chunk: tuple[int, int] = (CHUNK, CHUNK),
    ) -> None:
        self._read = read
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self.chunks: tuple[int, ...] = (min(chunk[0], shape[0]), min(chunk[1], shape[1]), shape[2])

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        key : tuple of 3 slice
            Slices with positive steps: y, x, channels.

        Returns
        -------
        ndarray of uint8 [y, x, channel]
            Values.
        """
        rows, columns, bands = (part.indices(length) for part, length in zip(key, self.shape, strict=True))
        height, width = max(0, rows[1] - rows[0]), max(0, columns[1] - columns[0])
        if not height or not width:
            values = np.empty((height, width, self.shape[2]), np.uint8)
        else:
            values = self._read(columns[0], rows[0], width, height)
        return np.asarray(values[:: rows[2], :: columns[2], slice(*bands)])


# ---- OpenSlide


def read_openslide(path: Path, number: int | None = None) -> SlideImage:
    """Open a slide with OpenSlide. Pixels are read when the levels are indexed.

    Parameters
    ----------
    path : Path
        File of the slide.
    number : int or None, optional
        Number of the image. The default is the scan.

    Returns
    -------
    SlideImage
        Levels and size of a px.

    Raises
    ------
    InputError
        OpenSlide is missing or cannot open it, or it holds no such image.
    """
    try:
        import openslide
    except ImportError:
        raise _needs(path, "OpenSlide") from None
    try:
        slide = openslide.OpenSlide(path)
        scan = (slide.dimensions[1], slide.dimensions[0])
        others = {name: picture.size[::-1] for name, picture in slide.associated_images.items()}
    except openslide.OpenSlideError as error:
        raise _damaged(path, error) from error
    number, images = file_images(path, [("slide", scan), *others.items()], number)
    if number:
        picture = np.asarray(slide.associated_images[images[number].name].convert("RGB"))
        return SlideImage([Level(picture)], None, (1.0, 1.0), None, number, images)

    def read_level(level: int) -> Reader:
        factor = slide.level_downsamples[level]

        def read(left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
            corner = (round(left * factor), round(top * factor))
            try:
                return np.asarray(slide.read_region(corner, level, (width, height)))
            except openslide.OpenSlideError as error:
                raise _damaged(path, error) from error

        return read

    levels = [
        Level(ReadArray((height, width, 4), read_level(index)))
        for index, (width, height) in enumerate(slide.level_dimensions)
    ]
    scanned = Validity(tuple(StoredMask(level, 3, level.shape[:2]) for level in levels), "not scanned")
    keys = (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)
    pixel_size, unit = _micrometers([slide.properties.get(key) for key in keys])
    return SlideImage(levels, scanned, pixel_size, unit, number, images)


def joins_tiles(path: Path) -> bool:
    """Return whether OpenSlide is there and joins the tiles of a Ventana slide.

    Parameters
    ----------
    path : Path
        File of the slide.

    Returns
    -------
    bool
        True if it can be opened by OpenSlide.
    """
    try:
        import openslide
    except ImportError:
        return False
    return bool(openslide.OpenSlide.detect_format(path) == "ventana")


# ---- DICOM


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    bool
        True for any DICOM file.
    """
    return _head(path)[128:132] == DICOM_MAGIC


def is_dicom_slide(path: Path) -> bool:
    """Return whether a file is a part of a DICOM slide (whole slide microscopy), or a folder holds one.

    Parameters
    ----------
    path : Path
        File or folder.

    Returns
    -------
    bool
        True for a slide.
    """
    if path.is_dir():
        files = (file for file in path.iterdir() if file.suffix.lower() in ("", DICOM_SUFFIX) and file.is_file())
        return any(is_dicom_slide(file) for file in islice(files, MOST_LOOKED_AT))
    head = _head(path)
    return head[128:132] == DICOM_MAGIC and WSI_CLASS in head


def read_dicom(path: Path, number: int | None = None) -> SlideImage:
    """Open a DICOM slide with wsidicom. Pixels are read when the levels are indexed.

    Parameters
    ----------
    path : Path
        One of its files, whose series is looked for in its folder, or a folder with the files of one series.
    number : int or None, optional
        Number of the image. The default is the largest.

    Returns
    -------
    SlideImage
        Levels and size of a px.

    Raises
    ------
    InputError
        wsidicom is missing or cannot open it, it is no slide, or it holds no such image.
    """
    if not is_dicom_slide(path):
        raise InputError(f"{path}: is DICOM, but no slide (whole slide microscopy image); save it as TIFF or PNG.")
    try:
        from wsidicom import WsiDicom
    except ImportError:
        raise _needs(path, "wsidicom") from None
    try:
        slide = WsiDicom.open(_series(path))
        found, readers = [], []
        for index, pyramid in enumerate(slide.pyramids):
            found.append(("slide", (pyramid.size.height, pyramid.size.width)))
            readers.append(partial(_dicom_pyramid, path, slide, index))
        for name, series, read in (
            ("label", slide.labels, slide.read_label),
            ("overview", slide.overviews, slide.read_overview),
        ):
            for index, picture in enumerate(series or ()):
                found.append((name, (picture.size.height, picture.size.width)))
                readers.append(partial(_dicom_picture, partial(read, index, as_array=True)))
        number, images = file_images(path, found, number)
        levels, (pixel_size, unit) = readers[number]()
    except InputError:
        raise
    except Exception as error:  # wsidicom raises what damaged bytes lead it to
        raise _damaged(path, error) from error
    return SlideImage(levels, None, pixel_size, unit, number, images)


def _series(path: Path) -> list[Path]:
    """List the files of a slide: of the series of a file, or those in a folder."""
    import pydicom

    files = sorted(file for file in (path if path.is_dir() else path.parent).iterdir() if file.is_file())
    series: dict[str, list[Path]] = {}
    for file in files:
        if is_dicom_slide(file):
            tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            series.setdefault(str(tags.get("SeriesInstanceUID")), []).append(file)
    if path.is_dir() and len(series) > 1:
        first = next(iter(series.values()))[0]
        raise InputError(f"{path}: holds {len(series)} slides; give a file of one of them, say {first}.")
    return next(found for found in series.values() if path.is_dir() or path in found)


def _dicom_pyramid(path: Path, slide: Any, pyramid: int) -> tuple[list[Level], PixelSize]:
    def read_level(level: int) -> Reader:
        def read(left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
            try:
                return _colors(slide.read_region((left, top), level, (width, height), pyramid=pyramid, as_array=True))
            except Exception as error:  # wsidicom raises what damaged bytes lead it to
                raise _damaged(path, error) from error

        return read

    levels = [
        Level(
            ReadArray(
                (level.size.height, level.size.width, 3),
                read_level(level.level),
                (level.tile_size.height, level.tile_size.width),
            )
        )
        for level in slide.pyramids[pyramid]
    ]
    spacing = slide.pyramids[pyramid].mpp
    return levels, _micrometers([spacing.height, spacing.width])


def _dicom_picture(read: Callable[[], NDArray[np.uint8]]) -> tuple[list[Level], PixelSize]:
    return [Level(_colors(read()))], ((1.0, 1.0), None)


def _colors(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return gray px as RGB."""
    gray = pixels.ndim == 2 or pixels.shape[2] == 1
    return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2) if gray else pixels


# ---- both


def _micrometers(stated: Sequence[Any]) -> PixelSize:
    """Return the size of a px of which (y, x) in micrometers are stated, or nothing."""
    try:
        y, x = (float(value) for value in stated)
    except (TypeError, ValueError):
        return (1.0, 1.0), None
    return ((y, x), "micrometer") if min(y, x) > 0 else ((1.0, 1.0), None)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError:
        return b""  # no slide; other errors are reported where it is opened


def _needs(path: Path, library: str) -> InputError:
    return InputError(f"{path}: needs {library} to be read; install it with pip install 'fctl-napari[slides]'.")


def _damaged(path: Path, error: Exception) -> InputError:
    reason = reason_of(error).rstrip(".")
    return InputError(f"{path}: cannot be opened as a slide ({reason}); check that all of its files are there.")
