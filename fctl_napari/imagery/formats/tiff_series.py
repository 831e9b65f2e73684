"""Images in a TIFF: the series of its pages, without masks and overviews."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tifffile

MASK_SUBFILE = 4
REDUCED_SUBFILE = 1

UNTOLD = ("generic", "uniform", "shaped")
"""Kinds of series of which nothing but the tags of TIFF says which pages are overviews."""


def tiff_images(file: tifffile.TiffFile) -> list[Any]:
    """List the images of a TIFF.

    Parameters
    ----------
    file : tifffile.TiffFile
        The opened file.

    Returns
    -------
    list of tifffile.TiffPageSeries
        Series of pages that are no masks and no overviews of others. The first one where all are. Pages of one size
        of which nothing is said are images of their own.
    """
    series = [one for one in file.series if not (_is_mask(one) or (one.kind in UNTOLD and _is_reduced(one)))]
    return [image for one in series or file.series[:1] for image in _apart(one)]


def _apart(series: Any) -> list[Any]:
    """Return the pages of a series, with their levels, as series of their own where they are not one picture."""
    if series.kind not in UNTOLD or not series.axes.startswith("I") or series.shape[0] == 1:
        return [series]
    images = []
    for index in range(len(series.pages)):
        levels = [_of_page(level, index) for level in series.levels if len(level.pages) == len(series.pages)]
        levels[0].levels.extend(levels[1:])
        images.append(levels[0])
    return images


def _of_page(series: Any, index: int) -> Any:
    page = series.pages[index].aspage()
    return tifffile.TiffPageSeries([page], page.shape, page.dtype, page.axes, name=series.name, kind=series.kind)


def levels_of(file: tifffile.TiffFile, image: Any) -> list[Any]:
    """List the levels of an image.

    Parameters
    ----------
    file : tifffile.TiffFile
        The opened file.
    image : tifffile.TiffPageSeries
        One of its images.

    Returns
    -------
    list of tifffile.TiffPageSeries
        The image, and its overviews by any factor, the finest first.
    """
    levels = list(image.levels)
    if image.kind not in UNTOLD:
        return levels
    others = [one for one in tiff_images(file) if one.keyframe.index > image.keyframe.index]
    end = min((one.keyframe.index for one in others), default=len(file.pages))
    for one in file.series:
        between = image.keyframe.index < one.keyframe.index < end
        if between and _is_reduced(one) and not _is_mask(one) and fits_as_level(one, image):
            levels += one.levels
    return sorted(levels, key=lambda level: -size_of(level)[0])


def fits_as_level(one: Any, image: Any) -> bool:
    """Return whether a series has the axes and type of an image. Bands may be interleaved in one and not in the other.

    Parameters
    ----------
    one : tifffile.TiffPageSeries
        Series.
    image : tifffile.TiffPageSeries
        Image.

    Returns
    -------
    bool
        True if it can be an overview of the image.
    """
    return sorted(one.axes) == sorted(image.axes) and one.dtype == image.dtype


def size_of(series: Any) -> tuple[int, int]:
    """Return the size of a series.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        Series.

    Returns
    -------
    tuple of 2 int
        (height, width), px; zeros for what is no picture.
    """
    lengths = dict(zip(series.axes, series.shape, strict=True))
    return int(lengths.get("Y", 0)), int(lengths.get("X", 0))


def names_and_sizes(images: Sequence[Any]) -> list[tuple[str, tuple[int, int] | None]]:
    """Describe the images of a TIFF.

    Parameters
    ----------
    images : sequence of tifffile.TiffPageSeries
        Images.

    Returns
    -------
    list of (str, tuple of 2 int)
        Name and (height, width), px, of each.
    """
    return [(one.name.strip().lower() if one.kind in SLIDE_KINDS else one.name.strip(), size_of(one)) for one in images]


SLIDE_KINDS = ("svs", "ndpi", "bif", "philips", "qpi")
"""Kinds whose names tifffile gives: Baseline, Thumbnail, Label, Macro."""


def is_first(path: Path | str, file: tifffile.TiffFile, image: Any) -> bool:
    """Return whether an image is the first one of its file, to which files beside it belong.

    Parameters
    ----------
    path : Path or str
        File, or its address.
    file : tifffile.TiffFile
        The opened file.
    image : tifffile.TiffPageSeries
        One of its images.

    Returns
    -------
    bool
        True if its first page is that of the file.
    """
    return bool(image.keyframe.parent is file and image.keyframe.offset == file.pages.first.offset)


def _is_mask(series: Any) -> bool:
    return bool(int(series.keyframe.subfiletype) & MASK_SUBFILE)


def _is_reduced(series: Any) -> bool:
    return bool(int(series.keyframe.subfiletype) & REDUCED_SUBFILE)
