"""Result of an image and a checkpoint that is on disk already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fctl_napari.errors import FctlError
from fctl_napari.model.model_card import checkpoint_hash, resolve_checkpoint
from fctl_napari.plugin.layers.image_source import ImageSource
from fctl_napari.plugin.layers.segmentation_layers import SegmentationLayers
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
