"""Scenes without ground truth, on which a network is pretrained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fctl_napari.datasets.data_pixels import DataPixels
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.image_list import list_images
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.model.classes import ClassTable, numbered_classes
from fctl_napari.model.config import RGB
from fctl_napari.training.config import DataSettings
from fctl_napari.training.data import Scene


def open_images(settings: DataSettings, folder: Path | str = ".") -> list[Scene]:
    """Open images without ground truth as scenes that are trained on as a whole.

    Parameters
    ----------
    settings : DataSettings
        The data, with ``images``.
    folder : Path or str, optional
        Folder that relative paths start from.

    Returns
    -------
    list of Scene
        The scenes. Their ground truth is :class:`DataPixels`.

    Raises
    ------
    InputError
        There are no images, or one of them cannot be opened.
    """
    shelf = Shelf()
    scenes = []
    for image in list_images([one if is_url(one) else str(Path(folder) / one) for one in settings.images]).images:
        pyramid = shelf.image(Path(image), settings.value_range, settings.bands)
        scenes.append(Scene(image, pyramid, DataPixels(pyramid), ((0, 0, *pyramid.shape),), (), ()))
    return scenes


def table_of_bands(names: Sequence[str]) -> ClassTable:
    """Make the class table of a network that reconstructs bands.

    Parameters
    ----------
    names : sequence of str
        Names of the bands.

    Returns
    -------
    ClassTable
        A class for each band, whose scores are its values.
    """
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)] if tuple(names) == RGB else numbered_classes(len(names)).colors
    rows = [{"name": name, "color": color} for name, color in zip(names, colors, strict=True)]
    return ClassTable.model_validate({"classes": rows})
