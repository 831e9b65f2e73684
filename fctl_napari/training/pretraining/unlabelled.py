"""Scenes without ground truth, on which a network is pretrained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fctl_napari.datasets.data_pixels import DataPixels
from fctl_napari.datasets.image_cache import Shelf
from fctl_napari.datasets.image_list import list_images
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.open import open_image
from fctl_napari.model.bands import RGB
from fctl_napari.model.classes import ClassTable, numbered_classes
from fctl_napari.training.data import Scene
from fctl_napari.training.data_settings import DataSettings


def open_images(settings: DataSettings, folder: Path | str = ".") -> list[Scene]:
    """Open images without ground truth as scenes that are trained on as a whole.

    Parameters
    ----------
    settings : DataSettings
        The data, with ``images`` as ``listed_images`` lists them.
    folder : Path or str, optional
        Folder that relative paths start from.

    Returns
    -------
    list of Scene
        The scenes. Their ground truth is :class:`DataPixels`.

    Raises
    ------
    InputError
        An image cannot be opened.
    """
    images = [one if is_url(one) else str((Path(folder) / one).absolute()) for one in settings.images]
    shelf, shown = Shelf(), (settings.value_range, settings.bands)
    here = [str(Path(image).parent) for image in images if not is_url(image)]
    root = os.path.commonpath(here) if here else ""
    scenes = []
    for image in images:
        if is_url(image):
            name, pyramid = Path(urlsplit(image).path).name, open_image(image, value_range=shown[0], bands=shown[1])
        else:
            name, pyramid = Path(image).relative_to(root).as_posix(), shelf.image(Path(image), *shown)
        scenes.append(Scene(name, pyramid, DataPixels(pyramid), ((0, 0, *pyramid.shape),), (), ()))
    return scenes


def listed_images(images: Sequence[str], folder: Path | str = ".") -> tuple[str, ...]:
    """List the images that files, folders and globs stand for.

    Parameters
    ----------
    images : sequence of str
        Files, addresses, folders and globs.
    folder : Path or str, optional
        Folder that relative paths start from.

    Returns
    -------
    tuple of str
        Absolute paths and addresses.

    Raises
    ------
    InputError
        There are none.
    """
    return list_images([one if is_url(one) else str((Path(folder) / one).absolute()) for one in images]).images


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
