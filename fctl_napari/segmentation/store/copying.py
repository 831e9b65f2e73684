"""Levels of a label image copied as files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import zarr

from fctl_napari.imagery.formats import ngff_writing
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid

METADATA = "zarr.json"
"""File of an array that is no chunk."""


def stored_alike(own: LabelPyramid, other: LabelPyramid) -> bool:
    """Return whether the files of one label image are valid in another.

    Parameters
    ----------
    own, other : LabelPyramid
        The label images.

    Returns
    -------
    bool
        True if their levels have the same shapes, chunks and compression.
    """
    return [_format(level) for level in own.levels] == [_format(level) for level in other.levels]


def copy_levels(own: LabelPyramid, other: LabelPyramid, cancelled: Callable[[], bool]) -> bool:
    """Copy all chunks of all levels from a label image that is stored alike.

    Parameters
    ----------
    own, other : LabelPyramid
        Label image that is written, and the one that is read.
    cancelled : callable
        Called before each file; True stops.

    Returns
    -------
    bool
        False if it was cancelled.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    for target, source in zip(own.levels, other.levels, strict=True):
        folder, copies = other.path / source.basename, own.path / target.basename
        with ngff_writing.writing(own.path):
            for file in folder.rglob("*"):
                if cancelled():
                    return False
                if file.is_file() and file.name != METADATA:
                    copy = copies / file.relative_to(folder)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    unfinished = copy.with_name(f".{copy.name}.copy")
                    shutil.copyfile(file, unfinished)
                    unfinished.replace(copy)
    return True


def _format(level: zarr.Array[Any]) -> dict[str, Any]:
    return {name: value for name, value in level.metadata.to_dict().items() if name != "attributes"}
