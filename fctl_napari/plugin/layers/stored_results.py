"""Results of an image that lie at its usual paths, and the checkpoints that made them (read in a thread)."""

from __future__ import annotations

from collections.abc import Iterable
from glob import escape
from pathlib import Path

from fctl_napari.api.locations import checkpoint_path, follows_strokes, result_path
from fctl_napari.exceptions import FctlError, InputError
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.result_paths import MAPS_SUFFIX, STORE_SUFFIX
from fctl_napari.segmentation.store.store import Segmentation

_ANY = "any"
"""Stands for the name of a checkpoint."""


def results_of(location: str, image: Pyramid) -> list[Segmentation]:
    """Open the results of an image that lie at its usual paths, by whatever checkpoint.

    Parameters
    ----------
    location : str
        Location that they are named after.
    image : Pyramid
        The image, opened.

    Returns
    -------
    list of Segmentation
        Results of this image, without those that keep maps or follow strokes.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    folder, begin = _names(location)
    found = []
    for path in sorted(folder.glob(f"{escape(begin)}*{STORE_SUFFIX}")):
        if path.name.endswith(MAPS_SUFFIX) or follows_strokes(_beside(path, location)):
            continue
        try:
            result = Segmentation.open(path)
        except InputError:
            continue  # a run says what is wrong with it
        if same_image(result.facts["image"], image):
            found.append(result)
    return found


def newest(results: Iterable[Segmentation]) -> Segmentation | None:
    """Return the result that was computed last.

    Parameters
    ----------
    results : iterable of Segmentation
        Results.

    Returns
    -------
    Segmentation or None
        That of the latest tile. None if no tile of any is there.
    """
    return max((result for result in results if result.done().any()), key=_written, default=None)


def known_checkpoint(result: Segmentation, location: str, names: Iterable[str]) -> str | None:
    """Find the checkpoint that made a result.

    Parameters
    ----------
    result : Segmentation
        The result.
    location : str
        Location that the image's results are named after. Networks that learnt from the image lie beside it.
    names : iterable of str
        Built-in names and checkpoint files that are offered.

    Returns
    -------
    str or None
        The name or file of the same content. None if it is not at hand.
    """
    for name in (*names, str(_beside(result.path, location))):
        try:
            if checkpoint_hash(resolve_checkpoint(name)) == result.checkpoint_hash:
                return name
        except FctlError:
            continue  # it is reported where it is chosen
    return None


def _beside(result: Path, location: str) -> Path:
    """Return where the checkpoint of a result lies if it lies beside the image."""
    label = result.name.removeprefix(_names(location)[1]).removesuffix(STORE_SUFFIX)
    return checkpoint_path(location) / f"{label}.safetensors"


def _names(location: str) -> tuple[Path, str]:
    """Return the folder of an image's results, and what their names begin with."""
    usual = result_path(location, _ANY)
    return usual.parent, usual.name.removesuffix(f"{_ANY}{STORE_SUFFIX}")


def _written(result: Segmentation) -> int:
    """Return when the latest tile was written, ns."""
    return max(path.stat().st_mtime_ns for path in (result.path / "done").rglob("*"))
