"""Detection of pixels that an image file marks as no data.

They are marked by the ``GDAL_NODATA`` tag, an alpha channel, a mask in the file or in a ``.msk`` beside it, or NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

from fctl_napari.errors import FctlError, InputError
from fctl_napari.imagery.formats.png_jpeg import JPEG_MAGIC, PNG_MAGIC, open_pillow, read_magic
from fctl_napari.imagery.formats.remote import is_url, open_file
from fctl_napari.imagery.formats.tiff import TIFF_MAGIC, read_tiff
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.open import open_image

WHOLE_PX = 2**22
"""A level of at most this many px is examined whole."""

SAMPLES, SAMPLE_SIDE = 16, 64
"""Number of blocks along each side of a larger level, and their side, px. Strips are sampled by bands of fewer rows."""

MOST_PAGES = 64
"""Number of pages in which a mask is looked for: an image, its overviews, and their masks."""

NODATA_TAG = 42113
MASK_SUBFILE = 4
NAN = "NaN"
ALPHA = (1, 2)
"""Types of TIFF's extra samples that are alpha, premultiplied or not."""


@dataclass(frozen=True)
class Nodata:
    """The share of an image that its file marks as no data.

    Attributes
    ----------
    share : float
        Share of its px, 0..1, measured on a coarse level or on a sample.
    by : str
        Kind of the mark, in words.
    """

    share: float
    by: str

    @property
    def percent(self) -> str:
        """The share in words."""
        return f"{self.share:.0%}".replace("%", " %") if self.share >= 0.01 else "less than 1 %"

    def sentence(self, name: str) -> str:
        """Return a sentence on a file's no data and on what becomes of these px.

        Parameters
        ----------
        name : str
            Name of the file.

        Returns
        -------
        str
            Sentence for users.
        """
        if self.by == NAN:
            return f"{name}: {self.percent} of this file are NaN, which cannot be segmented; fill them (with 0, say)."
        return f"{name}: this file marks {self.percent} as nodata ({self.by}); they are segmented all the same."


def measure_nodata(path: Path | str) -> Nodata | None:
    """Measure the share of an image that its file marks as no data. This reads some of its pixels.

    Parameters
    ----------
    path : Path or str
        File, folder or address, as for ``open_image``.

    Returns
    -------
    Nodata or None
        Share and mark. None if nothing is marked, as far as the sample shows.

    Raises
    ------
    InputError
        The file is missing or damaged, or is not an image.
    """
    try:
        return _measure(path)
    except FctlError:
        raise
    except Exception as error:  # codecs raise what they like
        raise InputError(f"{path}: is truncated or damaged; fetch it again ({_reason(error)}).") from error


def _measure(path: Path | str) -> Nodata | None:
    if not is_url(path) and Path(path).is_file():
        magic = read_magic(Path(path))
        if magic.startswith(JPEG_MAGIC):
            return None
        if magic.startswith(PNG_MAGIC):
            return _of_png(Path(path))
        if magic.startswith(TIFF_MAGIC):
            return _of_tiff(Path(path))
    elif is_url(path) and str(path).lower().endswith((".tif", ".tiff")):
        return _of_tiff(str(path))
    pyramid = open_image(path)
    level = pyramid.levels[pyramid.native_levels - 1]
    if level.dtype.kind == "f":
        return _found(level, lambda block: np.isnan(block).all(axis=2), NAN)
    if level.shape[2] == 4 and level.dtype == np.uint8:
        return _found(level, lambda block: block[..., 3] == 0, "alpha")
    return None


def _of_png(path: Path) -> Nodata | None:
    with Image.open(path, formats=("PNG",)) as header:
        if header.mode not in ("RGBA", "LA", "PA") and "transparency" not in header.info:
            return None
    alpha = np.asarray(open_pillow(path).convert("RGBA").getchannel("A"))
    return _found(Level(alpha, "yx"), lambda block: block[..., 0] == 0, "alpha")


def _of_tiff(path: Path | str) -> Nodata | None:
    level = read_tiff(path, indices=True).levels[-1]
    with tifffile.TiffFile(open_file(path) if isinstance(path, str) else path) as file:
        page = file.pages.first
        others = (one for one in file.pages[1:MOST_PAGES] if isinstance(one, tifffile.TiffPage))
        mask = next((one for one in others if int(one.subfiletype) == MASK_SUBFILE), None)
        if mask is not None:
            return _of_mask(mask, "a mask in the file")
        extras = [int(extra) for extra in page.extrasamples]
        colors = level.shape[2] - len(extras)
        tag = page.tags.get(NODATA_TAG)
    beside = None if isinstance(path, str) else path.with_name(f"{path.name}.msk")
    if beside is not None and beside.is_file():
        try:
            with tifffile.TiffFile(beside) as file:
                return _of_mask(file.pages.first, f"the mask {beside.name}")
        except Exception as error:  # tifffile raises what damaged bytes lead it to
            raise InputError(f"{beside}: is damaged; mend it, or delete it ({_reason(error)}).") from error
    alpha = next((colors + index for index, extra in enumerate(extras) if extra in ALPHA), None)
    if alpha is not None:
        return _found(level, lambda block: block[..., alpha] == 0, "alpha")
    value = _number(tag.value) if tag is not None else None
    if value is not None and not np.isnan(value):
        return _found(level, lambda block: (block == value).all(axis=2), f"GDAL_NODATA {value:g}")
    if level.dtype.kind == "f":
        return _found(level, lambda block: np.isnan(block).all(axis=2), NAN)
    return None


def _of_mask(page: Any, by: str) -> Nodata | None:
    array = zarr.open_array(page.aszarr(), mode="r")
    axes = "".join(letter.lower() if letter in "YX" else "c" for letter in page.axes)
    return _found(Level(array, axes), lambda block: block[..., 0] == 0, by)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _number(text: Any) -> float | None:
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def _found(level: Level, is_marked: Callable[[NDArray[Any]], NDArray[np.bool_]], by: str) -> Nodata | None:
    marked = total = 0
    for block in _blocks(level):
        found = is_marked(block)
        marked += int(np.count_nonzero(found))
        total += found.size
    return Nodata(marked / total, by) if marked else None


def _blocks(level: Level) -> Iterator[NDArray[Any]]:
    height, width = level.shape[:2]
    if height * width <= WHOLE_PX:
        yield level[:, :]
        return
    for row, y in enumerate(_starts(height, 0.5)):
        if level.chunks[1] >= width:  # strips, which are read whole, whatever part is needed
            yield level[y : y + max(1, SAMPLE_SIDE // 8), :]
            continue
        for x in _starts(width, row * 0.618 % 1):  # shifted row by row, since borders of data run straight
            yield level[y : y + SAMPLE_SIDE, x : x + SAMPLE_SIDE]


def _starts(length: int, part: float) -> list[int]:
    """Return the starts of sampled blocks along a side.

    The side is divided into ``SAMPLES`` equal parts. The middle of a block lies at the given fraction of its part.
    """
    middles = (np.arange(SAMPLES) + part) * length / SAMPLES - SAMPLE_SIDE / 2
    return sorted({int(start) for start in np.clip(middles, 0, max(0, length - SAMPLE_SIDE))})
