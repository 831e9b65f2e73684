"""The result of an image and a checkpoint that is on disk already."""

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
    """What was found at the place of a result.

    Attributes
    ----------
    path
        The place of this image's result.
    layers
        The result that is there; None: there is none to be gone on with.
    words
        What there is to say of it.
    """

    path: str
    layers: SegmentationLayers | None = None
    words: str = ""


def find_existing_result(path: str, checkpoint: str, source: ImageSource | None, *, proposed: bool) -> ExistingResult:
    """Open the result of an image and a checkpoint (on a thread: this reads files).

    Parameters
    ----------
    path : str
        The place.
    checkpoint : str
        A built-in name or a file.
    source : ImageSource or None
        The image; None: it is no file, and what lies at the place was named by hand.
    proposed : bool
        Whether another place may be taken where this one holds another image's result.
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
        return ExistingResult(path)  # Run says what is wrong with it
