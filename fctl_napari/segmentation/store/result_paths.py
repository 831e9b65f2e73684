"""Places named after an image: taken if what lies there is of another image, so that another one is found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fctl_napari.errors import InputError
from fctl_napari.imagery.fingerprint import SAMPLED, fingerprint
from fctl_napari.imagery.naming import CORRECTIONS_SUFFIX
from fctl_napari.imagery.open import open_image
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.remote import is_url
from fctl_napari.segmentation.store.identity import same_image
from fctl_napari.segmentation.store.stored_image import stored_image

STORE_SUFFIX = ".fctl.ome.zarr"
MAPS_SUFFIX = f".maps{STORE_SUFFIX}"


def own_place(usual: Path, image: Pyramid) -> Path:
    """Return where what is computed of an image is kept: its usual place, or another if that is another image's.

    Parameters
    ----------
    usual : Path
        Named after the image's file: two files may share it, and a file may hold another picture than before.
    image : Pyramid
        The image.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    stored = stored_image(usual)
    return usual if stored is None or same_image(stored, image) else named_place(usual, image)


def named_place(usual: Path, image: Pyramid) -> Path:
    """Return a place beside the usual one that is named after the fingerprint of an image too.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    word = fingerprint(image).removeprefix(SAMPLED)[:8]
    suffix = next((end for end in (MAPS_SUFFIX, STORE_SUFFIX, CORRECTIONS_SUFFIX) if usual.name.endswith(end)), "")
    return usual.with_name(f"{usual.name.removesuffix(suffix)}.{word}{suffix}")


def is_another_file(stored: Mapping[str, Any], image: Pyramid) -> bool:
    """Tell whether what a store says of its image means another file than the one that is opened, which is there still.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    path = stored["path"]
    if path is None or is_url(path) or image.path is None or is_url(image.path) or not Path(path).exists():
        return False
    if Path(path).resolve() == Path(image.path).resolve():
        return False
    try:
        return same_image(stored, open_image(path))
    except InputError:
        return False


def own_corrections(usual: Path, image: Pyramid) -> Path:
    """Return where the corrections of an image are kept, so far as that can be told without asking.

    Parameters
    ----------
    usual : Path
        See ``naming.corrections_path``.
    image : Pyramid
        The image.

    Returns
    -------
    Path
        Where corrections of this image lie: the usual place, or the one that is named after its fingerprint. Where
        there are none, the usual place if it is free, the named one if the usual corrections are those of another file
        that is there still. Else the usual place: its corrections were painted on what this file held before, perhaps,
        and people have to say.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    stored, named = stored_image(usual), named_place(usual, image)
    if stored is not None and same_image(stored, image):
        return usual
    its = stored_image(named)
    if its is not None and same_image(its, image):
        return named
    return named if its is None and stored is not None and is_another_file(stored, image) else usual
