"""Bands of an image that are those of a network, found by their names."""

from __future__ import annotations

from collections.abc import Sequence

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.band_meanings import RGB, canonical_names
from fctl_napari.imagery.pyramid import Pyramid


def image_band_names(pyramid: Pyramid) -> tuple[str | None, ...]:
    """Return the names of an image's bands as they are compared.

    Bands that have no name are red, green and blue where they are shown as such.

    Parameters
    ----------
    pyramid : Pyramid
        Image.

    Returns
    -------
    tuple of str or None
        Name of each channel, see ``canonical_names``.
    """
    found = list(canonical_names(pyramid.band_names))
    shown = pyramid.rgb_channels
    if pyramid.unclear_bands is None and len(set(shown)) == 3:
        for color, index in zip(RGB, shown, strict=True):
            if color not in found and pyramid.band_names[index] is None:
                found[index] = color
    return tuple(found)


def find_bands(pyramid: Pyramid, wanted: Sequence[str], who: str = "the network") -> tuple[int, ...]:
    """Find bands of an image by their names.

    Parameters
    ----------
    pyramid : Pyramid
        Image.
    wanted : sequence of str
        Names of the bands.
    who : str, optional
        Who takes them, in an error.

    Returns
    -------
    tuple of int
        Index of each, from 0.

    Raises
    ------
    InputError
        One is not there, or two bands have its name.
    """
    there = image_band_names(pyramid)
    names = [str(name) for name in canonical_names(wanted)]
    location = pyramid.path or pyramid.name
    twice = [stated for name, stated in zip(names, wanted, strict=True) if names.count(name) > 1]
    if twice:
        raise InputError(f"{who} takes one band twice ({', '.join(twice)} mean the same); leave one out.")
    for name, stated in zip(names, wanted, strict=True):
        if there.count(name) > 1:
            raise InputError(
                f"{location}: has two bands named {stated}; name them all with --band-names (in Python: bands)."
            )
    missing = [stated for name, stated in zip(names, wanted, strict=True) if name not in there]
    if missing:
        own = ", ".join(stated or known or "unnamed" for stated, known in zip(pyramid.band_names, there, strict=True))
        raise InputError(
            f"{location}: has no band {' or '.join(missing)} (its bands: {own}), and {who} takes {', '.join(wanted)}; "
            "name its bands in their order with --band-names (in Python: bands), or give another image."
        )
    return tuple(there.index(name) for name in names)
