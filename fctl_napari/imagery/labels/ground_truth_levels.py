"""Coarser levels for ground truths that have none, so that a large one can be displayed as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from fctl_napari.cache.limit import make_room
from fctl_napari.cache.use import use
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.progress import Progress, no_progress

COMPLETE = "fctl_complete"
STRIP_PX = 2**25
"""Approximate number of px that are copied at once."""
CHUNK = 512
TYPICAL_RATIO = 4
"""Px of a ground truth per byte on disk, at least, as neighbors mostly share their class."""


def with_levels(
    source: LabelSource,
    out: Path | str,
    *,
    progress: Progress | None = None,
) -> LabelSource:
    """Return a ground truth with levels, copied into a label pyramid.

    A complete pyramid in ``out`` is used as it is.

    Parameters
    ----------
    source : LabelSource
        Ground truth, whose values lie in 0..255.
    out : Path or str
        Folder of the pyramid. It is assumed to belong to this ground truth: its name should depend on the ground
        truth's content, or on its file, time and size.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` in rows. It may raise ``Cancelled``.

    Returns
    -------
    LabelSource
        Same ground truth, with levels.

    Raises
    ------
    InputError
        The ground truth is damaged, or holds values outside 0..255.
    OutputError
        The disk is full or the location is not writable.
    Cancelled
        ``progress`` raised it. What was written is deleted.
    """
    out = Path(out)
    in_use = use(out)
    if not _is_complete(out):
        height, width = source.shape
        make_room(out, height * width // TYPICAL_RATIO)
        shutil.rmtree(out, ignore_errors=True)  # left by a process that was killed
        try:
            _copy(source, out, progress or no_progress)
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            raise
    levels = LabelPyramid.open(out).levels
    copied = LabelSource(
        source.path,
        levels[0],
        source.shape,
        one_based=source.one_based,
        class_names=source.class_names,
        coarser=levels[1:],
        by_color=source.by_color,
        nothing=source.nothing,
        note=source.note,
    )
    copied.use = in_use
    return copied


def _is_complete(out: Path) -> bool:
    try:
        return bool(LabelPyramid.open(out).attributes.get(COMPLETE))
    except InputError:
        return False


def _copy(source: LabelSource, out: Path, progress: Progress) -> None:
    height, width = source.shape
    pyramid = LabelPyramid.create(out, source.shape, chunk=CHUNK)
    rows = max(1, STRIP_PX // (width * CHUNK)) * CHUNK
    progress(0, height)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        values = source.read_values(slice(top, bottom), slice(0, width))
        if values.dtype != np.uint8 and values.size and not (values.min() >= 0 and values.max() <= 255):
            raise InputError(f"{source.path}: is large and holds values outside 0 to 255; save it as uint8.")
        pyramid.write(top, 0, values.astype(np.uint8))
        pyramid.update_levels((top, 0, bottom, width))
        progress(bottom, height)
    pyramid.set_attributes({COMPLETE: True})
