"""Validity of a TIFF's pixels: masks in it or beside it, alpha, and values that mean no data, in this order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.imagery.formats.tiff_bands import TiffBands
from fctl_napari.imagery.formats.tiff_series import MASK_SUBFILE, tiff_images
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.validity import Mask, NodataMask, StoredMask, Validity, nodata_text, stored_value

MOST_PAGES = 64
"""Number of pages in which a mask is looked for: an image, its overviews, and their masks."""

MASK_FILE = "a .msk beside it"
"""Source of a validity that a mask file states."""


def tiff_validity(
    path: Path | str | None,
    file: tifffile.TiffFile,
    raw: Sequence[Level],
    levels: Sequence[Level],
    bands: TiffBands,
) -> Validity | None:
    """Find the marks of pixels without data.

    A mask comes before alpha, and alpha before values that mean no data.

    Parameters
    ----------
    path : Path, str or None
        File, or its address. None for another image than the first, to which a mask beside the file does not belong.
    file : tifffile.TiffFile
        The opened file.
    raw : sequence of Level
        Levels as they are stored.
    levels : sequence of Level
        The same levels as they are read, as colors of a palette, say.
    bands : TiffBands
        Bands of the stored levels.

    Returns
    -------
    Validity or None
        Validity of each level. None if the file marks nothing.

    Raises
    ------
    InputError
        The ``.msk`` beside the file is damaged.
    """
    masks = _mask_levels(file)
    if masks and (len(tiff_images(file)) == 1 or any(mask.shape[:2] == raw[0].shape[:2] for mask in masks)):
        return Validity(_stored_masks(masks, levels), "a mask in the file")
    beside = None if path is None else mask_beside(path)
    if beside is not None:
        return Validity(_stored_masks(_levels_of(beside), levels), MASK_FILE)
    if bands.alpha is not None:
        return Validity(tuple(StoredMask(level, bands.alpha, level.shape[:2]) for level in raw), "alpha")
    if all(stored_value(value, raw[0].dtype) is None for value in bands.nodata):
        return None
    mask, source = NodataMask(bands.nodata), f"GDAL_NODATA {nodata_text(bands.nodata)}"
    if all(one is level for one, level in zip(raw, levels, strict=True)):
        return Validity((mask,) * len(levels), source)
    # A palette's indices, say, are colors when they are read.
    return Validity(tuple(StoredMask(_marked(one, mask), 0, one.shape[:2]) for one in raw), source)


def mask_beside(path: Path | str) -> Path | None:
    """Return the mask file of an image.

    Parameters
    ----------
    path : Path or str
        Image file, or its address.

    Returns
    -------
    Path or None
        The ``.msk`` beside it. None if there is none.
    """
    beside = None if isinstance(path, str) else path.with_name(f"{path.name}.msk")
    return beside if beside is not None and beside.is_file() else None


def mask_file_validity(path: Path, levels: Sequence[Level]) -> Validity | None:
    """Return the validity that the mask file of an image gives it.

    Parameters
    ----------
    path : Path
        Image file of any format.
    levels : sequence of Level
        Its levels.

    Returns
    -------
    Validity or None
        Validity of each level. None if there is no mask file.

    Raises
    ------
    InputError
        The mask file is damaged.
    """
    beside = mask_beside(path)
    if beside is None:
        return None
    return Validity(_stored_masks(_levels_of(beside), levels), MASK_FILE)


def _mask_levels(file: tifffile.TiffFile) -> list[Level]:
    """Return the masks in a file, the finest first."""
    pages = [page for page in file.pages[:MOST_PAGES] if isinstance(page, tifffile.TiffPage)]
    return _page_levels([page for page in pages if int(page.subfiletype) & MASK_SUBFILE])


def _levels_of(path: Path) -> list[Level]:
    """Return the masks in a file beside an image, with their overviews, the finest first."""
    levels: list[Level] = []
    overviews = path.with_name(f"{path.name}.ovr")
    for one in (path, overviews) if overviews.is_file() else (path,):
        try:
            file = tifffile.TiffFile(one)
            levels += _page_levels([page for page in file.pages[:MOST_PAGES] if isinstance(page, tifffile.TiffPage)])
        except Exception as error:  # tifffile raises what damaged bytes lead it to
            reason = reason_of(error)
            raise InputError(f"{one}: is damaged; mend it, or delete it ({reason}).") from error
    if not levels:
        raise InputError(f"{path}: holds no mask; mend it, or delete it.")
    return levels


def _page_levels(pages: Sequence[tifffile.TiffPage]) -> list[Level]:
    levels = []
    for page in pages:
        axes = "".join(letter.lower() if letter in "YX" else "c" for letter in page.axes)
        levels.append(Level(zarr.open_array(page.aszarr(), mode="r"), axes))
    return sorted(levels, key=lambda level: -level.shape[0])


def _stored_masks(masks: Sequence[Level], levels: Sequence[Level]) -> tuple[Mask, ...]:
    """Return the mask of each level: its own, or the finest one."""
    own = {mask.shape[:2]: mask for mask in masks}
    return tuple(StoredMask(own.get(level.shape[:2], masks[0]), 0, level.shape[:2]) for level in levels)


def _marked(raw: Level, mask: NodataMask) -> Level:
    """Return a level that is 1 where one of the stored values holds data."""
    channels = range(raw.shape[2])

    def convert(block: NDArray[Any]) -> NDArray[np.uint8]:
        return np.asarray(mask.valid((0, 0, 0, 0), block, channels).any(axis=2, keepdims=True), np.uint8)

    return Level(raw, convert=convert, channels=1, dtype=np.dtype(np.uint8))
