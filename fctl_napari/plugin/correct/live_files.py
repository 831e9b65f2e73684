"""Files of a network that follows the strokes on an image: its checkpoint and its map, which do not stay."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from fctl_napari.api.locations import checkpoint_path, follows_strokes, new_checkpoint, result_path
from fctl_napari.evaluation.review_marks import marks_path
from fctl_napari.exceptions import OutputError
from fctl_napari.model.model_card import copy_renamed
from fctl_napari.segmentation.store.store_lock import StoreLock, lock_store, remove_store

ENDING = "-strokes"
"""End of the name of a network that was learned from strokes."""

TRIES = 20
"""Number of names that are tried, where other windows and files have the first ones."""

SETTLE_SECONDS = 60.0
"""Longest wait for a run that still writes the map, s."""


def head_name(parent: str) -> str:
    """Return the name of the network that is learned from strokes on the encoders of another.

    Parameters
    ----------
    parent : str
        Built-in name or file of the other one.

    Returns
    -------
    str
        ``earth-strokes`` for ``earth``, and for ``earth-strokes-1``, which was learned so itself.
    """
    name = re.sub(r"-\d+$", "", Path(parent).name.removesuffix(".safetensors"))
    return name.removesuffix(ENDING) + ENDING


class LiveFiles:
    """Checkpoint and map that are replaced after every stroke, and belong to one window while it uses them.

    What a crash has left of them is removed.

    Parameters
    ----------
    image : str
        Path or address that the image's results are named after.
    parent : str
        Built-in name or file of the network whose encoders are taken.

    Attributes
    ----------
    name : str
        Name of the network, see :func:`head_name`.
    head : Path
        Path of the checkpoint.
    map : Path
        Path of the map.

    Raises
    ------
    OutputError
        The folder is not writable, or all names are taken.
    """

    def __init__(self, image: str, parent: str) -> None:
        self.name = head_name(parent)
        self._image = image
        folder = checkpoint_path(image)
        for number in itertools.count(1):
            head = folder / f"{self.name}{'' if number == 1 else f'-live{number}'}.safetensors"
            result = result_path(image, head)
            if follows_strokes(head) or not (head.exists() or result.exists()):
                try:
                    self._lock: StoreLock = lock_store(head, timeout=0)
                    break
                except OutputError:  # of another window
                    if number == TRIES:
                        raise
            elif number == TRIES:
                raise OutputError(f"{head}: exists already, like all names before it; remove some of them.")
        self.head, self.map = head, result
        self._remove()

    def keep(self) -> Path:
        """Copy the checkpoint to a free name, under which it stays.

        Returns
        -------
        Path
            The copy.

        Raises
        ------
        CheckpointError
            There is none yet.
        OutputError
            The disk is full or the folder is not writable.
        """
        out = new_checkpoint(self._image, self.name)
        copy_renamed(self.head, out, out.stem)
        return out

    def release(self) -> None:
        """Remove checkpoint and map, as soon as no run writes them.

        Raises
        ------
        OutputError
            The folder is not writable.
        """
        try:
            self._remove()
        finally:
            self._lock.release()

    def _remove(self) -> None:
        writing = lock_store(self.map, timeout=SETTLE_SECONDS)
        try:
            if self.map.exists():
                remove_store(self.map)
            marks_path(self.map).unlink(missing_ok=True)
        finally:
            writing.release()
        self.head.unlink(missing_ok=True)
