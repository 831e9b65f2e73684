"""Pyramids made in the background, for files and arrays that have none, while the window shows a preview."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from fctl_napari.cache.entries import cache_path
from fctl_napari.cache.limit import make_room
from fctl_napari.cache.use import Use, use
from fctl_napari.cores import usable_cores
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.conversion import source_file
from fctl_napari.imagery.convert import convert
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ome_zarr import OURS
from fctl_napari.imagery.pyramid_size import estimated_bytes, most_bytes
from fctl_napari.plugin.common.background import Job
from fctl_napari.plugin.common.bridge import post
from fctl_napari.plugin.common.notify import say
from fctl_napari.plugin.layers.shown_levels import COARSE_SIDE, ShownLevel, displayed_level
from fctl_napari.progress import Progress
from fctl_napari.words import count_of, size_of

if TYPE_CHECKING:
    from fctl_napari.imagery.pyramid import Pyramid
PREVIEW_S = 0.3
"""A preview that is being filled is drawn at most this often, seconds."""


def is_complete(pyramid: Path) -> bool:
    """Return whether a pyramid that we make is finished.

    Parameters
    ----------
    pyramid : Path
        Path of the pyramid, which need not exist.

    Returns
    -------
    bool
        True if it is.
    """
    return bool(_attributes(pyramid).get("complete"))


def ready_pyramid(image: Path | str, pyramid: Path) -> bool:
    """Return whether a pyramid is the finished one of an image as the file is now.

    A pyramid that was made from an earlier state of the file is deleted, because it is derived and holds nobody's work.

    Parameters
    ----------
    image : Path or str
        File or address of the image.
    pyramid : Path
        Path of the pyramid, which need not exist.

    Returns
    -------
    bool
        True if it can be shown.
    """
    attributes = _attributes(pyramid)
    source = attributes.get("source") or {}
    now = source_file(image)
    if source.get("path") != now["path"]:
        return False
    if source.get("modified_ns") != now["modified_ns"]:
        shutil.rmtree(pyramid, ignore_errors=True)
        return False
    return bool(attributes.get("complete"))


def _attributes(pyramid: Path) -> dict[str, Any]:
    """Return the attributes that we store in a pyramid.

    They are empty where there are none.
    """
    try:
        attributes = ngff.open_group(pyramid).attrs.asdict().get(OURS)
    except InputError:
        return {}
    return attributes if isinstance(attributes, dict) else {}


def location_and_size(pyramid: Path, level: Any) -> str:
    """Return where a pyramid will lie, and what it takes.

    Parameters
    ----------
    pyramid : Path
        Path of the pyramid.
    level : object
        Level 0, anything with ``shape`` and ``dtype``.

    Returns
    -------
    str
        Place, size and time, for the end of a sentence.
    """
    return (
        f"in {pyramid.parent}: at most {size_of(most_bytes(level.shape, level.dtype))}, and some minutes if it is large"
    )


class PreviewLevel(ShownLevel):
    """Level of an image whose pyramid is still being made: the preview, enlarged without interpolation.

    Parameters
    ----------
    preview : ndarray [y, x] or [y, x, c]
        The preview, shared with the job that fills it.
    shape : tuple of 2 int
        (height, width) of the level, px.
    """

    def __init__(self, preview: np.ndarray, shape: tuple[int, int]) -> None:
        self._preview = preview
        self._next_draw = 0.0
        self.shape = (*shape, *preview.shape[2:])
        self.dtype = preview.dtype
        self.chunks = (512, 512, *preview.shape[2:])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part by slices."""
        key = key if isinstance(key, tuple) else (key,)
        key = (*key, slice(None), slice(None))[:2]
        rows, columns = (
            np.arange(size)[part] * small // size
            for part, size, small in zip(key, self.shape, self._preview.shape, strict=False)
        )
        return self._preview[np.ix_(rows, columns)]


def preview_levels(preview: np.ndarray, shape: tuple[int, int]) -> list[Any]:
    """Return a stand-in pyramid for an image.

    Its last level is the preview itself.

    Parameters
    ----------
    preview : ndarray [y, x] or [y, x, c]
        The preview.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    list of object
        Levels, the finest first.
    """
    levels: list[Any] = []
    height, width = shape
    while max(height, width) > COARSE_SIDE:
        levels.append(PreviewLevel(preview, (height, width)))
        height, width = (height + 1) // 2, (width + 1) // 2
    return [*levels, preview]


def empty_preview(level: Any) -> np.ndarray:
    """Return a preview of zeros for a level.

    Parameters
    ----------
    level : object
        Level [y, x] or [y, x, c] that the preview is filled from.

    Returns
    -------
    ndarray [y, x] or [y, x, c]
        Zeros of at most ``COARSE_SIDE`` px a side, with the channels and dtype of ``level``.
    """
    height, width = level.shape[:2]
    step = max(1, math.ceil(max(height, width) / COARSE_SIDE))
    return np.zeros((math.ceil(height / step), math.ceil(width / step), *level.shape[2:]), level.dtype)


def fill_preview(level: Any, preview: np.ndarray, progress: Progress) -> None:
    """Copy every n-th pixel of a level into a preview, a strip of rows at a time.

    Parameters
    ----------
    level : object
        Level [y, x] or [y, x, c].
    preview : ndarray [y, x] or [y, x, c]
        Preview to fill, from :func:`empty_preview`.
    progress : Progress
        Called as ``progress(0, 0)`` before each strip, so that it can stop the work.

    Raises
    ------
    Cancelled
        ``progress`` raised it.
    """
    step = math.ceil(level.shape[0] / preview.shape[0])
    strip = max(1, 512 // step)
    for top in range(0, preview.shape[0], strip):
        progress(0, 0)
        rows = np.asarray(level[top * step : min((top + strip) * step, level.shape[0]), :])
        preview[top : top + strip] = rows[::step, ::step]


class PyramidJob(Job):
    """Job that writes an OME-Zarr pyramid in a thread, with a bar in napari's activity dock.

    ``finished`` is emitted with the pyramid's path, as a string, on the main thread.

    Parameters
    ----------
    make_source : callable
        Called in the thread; returns the image to convert, None if it is converted already, and the folder.
    label : str
        Text of the bar.
    preview : ndarray or None, optional
        Preview to fill first, from the image's level 0.

    Attributes
    ----------
    previewed : Signal()
        The preview was filled further; emitted every 300 ms, on the main thread.
    """

    previewed = Signal()

    def __init__(
        self,
        make_source: Callable[[], tuple[Pyramid | None, Path]],
        label: str,
        *,
        preview: np.ndarray | None = None,
    ) -> None:
        super().__init__(self._convert, label=label)
        self._make_source = make_source
        self._preview = preview
        self._next_draw = 0.0
        self._use: Use | None = None

    def _convert(self, progress: Progress) -> str:
        """Fill the preview and write the pyramid, in the thread."""
        source, out = self._make_source()
        if source is not None and self._preview is not None:
            fill_preview(displayed_level(source, 0), self._preview, partial(self._draw, progress))
            post(self.previewed.emit)
        if source is not None:
            self._use = use(out)
            freed = make_room(out, estimated_bytes(source))
            if freed:
                words = f"{count_of(len(freed), 'pyramid')} used longest ago made room in the cache"
                post(partial(say, f"{words} ({cache_path()})."))
            spare = max(1, usable_cores() - 1)  # the window needs one core for itself
            convert(source, out, threads=spare, progress=progress)
        return str(out)

    def _draw(self, progress: Progress, _done: int, _total: int, /) -> None:
        progress(0, 0)
        now = time.monotonic()
        if now >= self._next_draw:
            self._next_draw = now + PREVIEW_S
            post(self.previewed.emit)
