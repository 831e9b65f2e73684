"""Image, network and corrections of a call that learns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fctl_napari.api.checkpoints import Checkpoint, CheckpointLike, load_checkpoint
from fctl_napari.api.image import Image
from fctl_napari.api.locations import cache_folder
from fctl_napari.api.maps import Map
from fctl_napari.api.opening import ImageLike, image_and_map
from fctl_napari.api.progress import Shown, progress_bar
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_copy import copy_at
from fctl_napari.imagery.naming import corrections_path
from fctl_napari.segmentation.store.result_paths import own_corrections


class LearningInputs(NamedTuple):
    """Inputs of a call that learns.

    Attributes
    ----------
    image : Image
        The image.
    path : str
        Its path or address.
    network : Checkpoint
        The network that learning starts from.
    corrections : str
        Path of what was painted.
    """

    image: Image
    path: str
    network: Checkpoint
    corrections: str


def learning_inputs(
    image: ImageLike | Map, checkpoint: CheckpointLike | None, corrections: Corrections | Path | str | None
) -> LearningInputs:
    """Find the inputs of a call that learns.

    Parameters
    ----------
    image : Image, Map, str or Path
        The image that was corrected; or a map, whose image and network are taken.
    checkpoint : Checkpoint, str, Path or None
        The network. None takes that of the map, or ``"earth"`` for an image.
    corrections : Corrections, Path, str or None
        What was painted. None takes the corrections that lie beside the image.

    Returns
    -------
    LearningInputs
        The inputs.

    Raises
    ------
    InputError
        The image is an array, or there are no corrections.
    """
    found, known = image_and_map(image)
    network = load_checkpoint(checkpoint or ("earth" if known is None else known.network()))
    if found.path is None:
        raise InputError(f"{found.name}: is an array; write it to a file, and learn from the corrections of that.")
    usual = own_corrections(corrections_path(found.path, cache_folder), found.pyramid)
    given = corrections.path if isinstance(corrections, Corrections) else corrections
    if given is None and not usual.exists():
        raise InputError(
            f"{usual}: there are no corrections yet; paint some first, in the tab Correct or with fctl.corrections."
        )
    return LearningInputs(found, found.path, network, str(usual if given is None else given))


def finish_copy(path: str, name: str, progress: Shown) -> None:
    """Complete the copy of an array, as learning reads the image anywhere.

    Parameters
    ----------
    path : str
        Path of the image. Nothing is done if it is no such copy.
    name : str
        Name of the image, for people.
    progress : bool or callable
        Whether a bar is shown, or what takes the counts.
    """
    copied = copy_at(path)
    if copied is not None:
        with progress_bar(f"Copying {name}", progress) as report:
            copied.finish(report)
