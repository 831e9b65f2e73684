"""Corrections written anew with other classes, in the place of those that are there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.chunk_counts import ChunkCounts
from fctl_napari.correcting.correction_store import INDEX, CorrectionStore
from fctl_napari.files import output_error
from fctl_napari.model.classes import ClassTable
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import ATTRIBUTE
from fctl_napari.segmentation.store.store_swap import being_made, former_path, swap_in
from fctl_napari.windows import IntWindow

FORMER = "before-classes"
"""Word in the names of former corrections."""


def recode(
    store: CorrectionStore,
    windows: Sequence[IntWindow],
    facts: Mapping[str, Any],
    table: ClassTable,
    values: NDArray[np.uint8],
    number: int,
    progress: Progress | None = None,
) -> Path:
    """Write corrections anew with other values, and swap them in. The former ones are kept beside them.

    The new ones have no history of strokes. A crash leaves the former ones or the new ones, complete.

    Parameters
    ----------
    store : CorrectionStore
        Corrections, all of whose strokes are in the levels. The caller holds their lock.
    windows : sequence of IntWindow
        (y0, x0, y1, x1), px, of each chunk that holds something.
    facts : mapping of str to object
        Metadata of the new ones.
    table : ClassTable
        Classes of the new ones, which are in ``facts`` too.
    values : ndarray of uint8 [256]
        New value of each value. What becomes 0 has no author either.
    number : int
        Number of the last stroke, from which the new ones count.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of chunks. It may raise ``Cancelled``.

    Returns
    -------
    Path
        Where the former ones are.

    Raises
    ------
    OutputError
        The disk is full or the location is not writable. All is as before then.
    """
    path = store.labels.path
    made, former = being_made(path), former_path(path, FORMER)
    try:
        _copy_metadata(path, made)
        new = CorrectionStore(made, writable=True)
        classes = [info.model_dump(mode="json") for info in table.scored]
        new.labels.set_attributes({ATTRIBUTE: dict(facts)}, classes)
        counts = ChunkCounts()
        for done, window in enumerate(windows):
            if progress is not None:
                progress(done, len(windows))
            labels, authors = store.state(window)
            labels = values[labels]
            state = np.stack([labels, np.where(labels > 0, authors, np.uint8(0))])
            for chunk, there in new.put(window, np.ones(labels.shape, bool), state):
                counts.count(chunk, there)
        counts.save(made / INDEX, number if len(counts) else 0)
        swap_in(path, former)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return former


def _copy_metadata(path: Path, made: Path) -> None:
    """Copy the metadata of a store, with all its arrays and none of their chunks."""
    try:
        shutil.rmtree(made, ignore_errors=True)
        for file in [path / "zarr.json", *path.glob("*/zarr.json")]:
            target = made / file.relative_to(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    except OSError as error:
        raise output_error(made, error) from error
