"""Results of an image that are on disk already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.exceptions import FctlError
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers
from fctl_napari.plugin.layers.stored_results import newest, results_of
from fctl_napari.segmentation.store.identity import difference, same_image
from fctl_napari.segmentation.store.result_paths import own_path


@dataclass(frozen=True, eq=False)
class ExistingResult:
    """Result found at a path.

    Attributes
    ----------
    path : str
        Path of this image's result.
    layers : SegmentationLayers or None
        Layers of the result that is there. None if there is none to be resumed.
    words : str
        Sentence about it for the status line.
    """

    path: str
    layers: SegmentationLayers | None = None
    words: str = ""


def find_existing_result(path: str, checkpoint: str, source: ImageSource | None, *, proposed: bool) -> ExistingResult:
    """Open the existing result of an image and a checkpoint.

    It reads files, so it is called on a thread.

    Parameters
    ----------
    path : str
        Path where the result is looked for.
    checkpoint : str
        Built-in name or checkpoint file.
    source : ImageSource or None
        Source of the image. None: the image is no file, and the user named the path.
    proposed : bool
        If True, another path may be taken where this one holds another image's result.

    Returns
    -------
    ExistingResult
        The result. Without layers if there is none, if another checkpoint made it, or if it cannot be read.
    """
    try:
        if proposed and source is not None and not os.path.isdir(path):
            return _result_elsewhere(path, checkpoint, source)
        layers, words = SegmentationLayers(path), ""
        stored = layers.stored.facts["image"]
        image = None if source is None else source.open()
        if image is not None and not same_image(stored, image):
            other = f"{Path(path).name} is of another image ({difference(stored, layers.shape, image)})"
            if not proposed:
                return ExistingResult(path, words=f"{other}; choose another name, or Start afresh.")
            path, words = str(own_path(Path(path), image)), f"{other}; this image's result is kept apart."
            if not os.path.isdir(path):
                return ExistingResult(path, words=words)
            layers = SegmentationLayers(path)
        if layers.stored.checkpoint_hash != checkpoint_hash(resolve_checkpoint(checkpoint)):
            return ExistingResult(path, words=words)
        return ExistingResult(path, layers, words)
    except FctlError:
        return ExistingResult(path)  # Run reports what is wrong with it


def _result_elsewhere(path: str, checkpoint: str, source: ImageSource) -> ExistingResult:
    """Open the result that a checkpoint made before its file was renamed, if there is one at the usual paths."""
    made = checkpoint_hash(resolve_checkpoint(checkpoint))
    found = newest(each for each in results_of(source.original, source.open()) if each.checkpoint_hash == made)
    return ExistingResult(path) if found is None else ExistingResult(str(found.path), SegmentationLayers(found.path))


def find_newest_result(source: ImageSource) -> ExistingResult | None:
    """Open the result of an image that was computed last, by whatever checkpoint.

    It reads files, so it is called on a thread.

    Parameters
    ----------
    source : ImageSource
        Source of the image.

    Returns
    -------
    ExistingResult or None
        The result. None if there is none at the image's usual paths, or if it cannot be read.
    """
    try:
        found = newest(results_of(source.original, source.open()))
        if found is None:
            return None
        name = found.facts["checkpoint"]["name"]
        words = f"{name}, which made this, is not at hand: open its checkpoint above to segment further."
        return ExistingResult(str(found.path), SegmentationLayers(found.path), words)
    except FctlError:
        return None  # errors of the image are reported where it is read
