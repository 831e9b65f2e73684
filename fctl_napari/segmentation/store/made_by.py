"""Checkpoint that made a segmentation, found again by its hash (no torch)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fctl_napari.exceptions import CheckpointError
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.model.model_card import builtin_checkpoints, checkpoint_hash, read_card
from fctl_napari.segmentation.store.store import Segmentation


def checkpoint_of(segmentation: Segmentation, given: Path | None = None) -> Path | None:
    """Find the checkpoint that made a segmentation.

    Parameters
    ----------
    segmentation : Segmentation
        Segmentation.
    given : Path or None, optional
        File that is said to be it. None looks among the built-in checkpoints, where it lay then, and in the folders of
        the segmentation and of its image.

    Returns
    -------
    Path or None
        File of the same hash. None if there is none.

    Raises
    ------
    CheckpointError
        The given file is missing.
    """
    wanted = segmentation.checkpoint_hash
    if given is not None:
        return given if checkpoint_hash(given) == wanted else None
    for path in _candidates(segmentation):
        with suppress(CheckpointError):
            if checkpoint_hash(path) == wanted:
                return path
    return None


def _candidates(segmentation: Segmentation) -> Iterator[Path]:
    yield from builtin_checkpoints().values()
    known = segmentation.facts["checkpoint"].get("path")  # earlier versions did not keep it
    if known is not None:
        yield Path(known)
    folders = [segmentation.path.absolute().parent]
    image = segmentation.image_path
    if image is not None and not is_url(image):
        folders.append(Path(image).absolute().parent)
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.glob("*.safetensors")):
            with suppress(CheckpointError):  # a large file is hashed only if its card has the name
                if read_card(path).name == segmentation.facts["checkpoint"]["name"]:
                    yield path
