"""What makes two images the same one: a short fingerprint, so that a result is never resumed on other pixels.

A pyramid that was converted from an image is that image, as long as the file has not been changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fctl_napari.errors import InputError
from fctl_napari.imagery.formats import open_image
from fctl_napari.imagery.origin import known_as
from fctl_napari.imagery.pyramid import Pyramid


def image_fingerprint(pyramid: Pyramid) -> str:
    """Fingerprint of an image, hex; it survives copying and moving the file.

    Of a conversion: that of the image that was converted. See ``imagery.origin``.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    return known_as(pyramid)[0]


def same_image(stored: Mapping[str, Any], image: Pyramid | Mapping[str, Any]) -> bool:
    """Tell whether what a store says of its image means a certain one.

    Parameters
    ----------
    stored
        Its ``path`` and ``fingerprint``. Stores of earlier versions have the fingerprint of the pyramid itself; they
        are recognised as long as the pyramid is where it was.
    image
        An opened image, or what another store says of its own.

    Raises
    ------
    InputError
        The image cannot be read.
    """
    names = known_as(image) if isinstance(image, Pyramid) else [image["fingerprint"]]
    if stored["fingerprint"] in names:
        return True
    others = [] if isinstance(image, Pyramid) else _stored_as(image)
    return not {*names, *others}.isdisjoint(_stored_as(stored))


def _stored_as(stored: Mapping[str, Any]) -> list[str]:
    """Fingerprints that mean the image of a store, as far as what lies at its path tells."""
    if stored["fingerprint"] is None or stored["path"] is None:
        return []
    try:
        names = known_as(open_image(stored["path"]))
    except InputError:
        return []
    return names if stored["fingerprint"] in names else []
