"""Bands of an image that are those of a network, found by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fctl_napari.errors import InputError
from fctl_napari.imagery.band_names import COLORS, FILLERS, RGB, has_sentinel_names, nanometers
from fctl_napari.imagery.pyramid import Pyramid

SENTINEL_2 = {
    "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "rededge1", "6": "rededge2", "7": "rededge3",
    "8": "nir", "8a": "narrownir", "9": "watervapor", "10": "cirrus", "11": "swir1", "12": "swir2",
}  # fmt: skip
"""Names of the bands of Sentinel-2 by their numbers."""

SHARED = ("2", "3", "4")
"""Numbers that mean the same on harmonized Landsat, whose names are alike."""

SYNONYMS = {
    "nir": ("nearinfrared", "nearir", "infrared", "ir", "n", "nir1"),
    "narrownir": ("nirnarrow", "nir2", "nnir"),
    "rededge1": ("re1", "rededge", "re"),
    "rededge2": ("re2",),
    "rededge3": ("re3",),
    "coastal": ("coastalblue", "coastalaerosol", "aerosol"),
    "panchromatic": ("pan",),
    "swir1": ("swir16", "shortwaveinfrared1"),
    "swir2": ("swir22", "shortwaveinfrared2"),
    **COLORS,
}
"""Other names of a band, in lower case and without spaces."""

RANGES_NM = {
    "coastal": (400.0, 450.0), "blue": (450.0, 515.0), "green": (520.0, 600.0), "red": (620.0, 690.0),
    "rededge1": (690.0, 725.0), "rededge2": (725.0, 760.0), "rededge3": (760.0, 795.0), "nir": (795.0, 900.0),
    "swir1": (1550.0, 1750.0), "swir2": (2050.0, 2350.0),
}  # fmt: skip
"""Wavelengths of bands, nm."""


def canonical_names(names: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return the names of bands as they are compared.

    Parameters
    ----------
    names : sequence of str or None
        Name of each band: ``"Band 4 - NIR"``, ``"Near Infrared"``, ``"B08"`` of Sentinel-2, ``"842 nm"``.

    Returns
    -------
    tuple of str or None
        ``"nir"`` for each of these. Names that are not known in lower case, letters and digits alone.
    """
    plain = [(name or "").lower() for name in names]
    sure = any(re.search(r"(?<![a-z\d])b(8a|08|8|12)(?![a-z\d])", name) for name in plain)
    numbers = (tuple(SENTINEL_2) if sure else SHARED) if has_sentinel_names(names) else ()
    return tuple(None if name is None else _canonical(name, numbers) for name in names)


def _canonical(name: str, numbers: Sequence[str]) -> str | None:
    plain = name.strip().lower()
    found = re.search(r"(?<![a-z\d])b0?(\d{1,2}a?)(?![a-z\d])", plain)
    if found and found.group(1) in numbers:
        return SENTINEL_2[found.group(1)]
    length = nanometers(plain)
    if length is not None:
        return next((band for band, (low, high) in RANGES_NM.items() if low <= length <= high), f"{length:g}nm")
    words = re.findall(r"[a-z]+|\d+", plain)
    # "band 4 - nir" is nir; "band 4" stays what it is, and so does a single letter
    own = list(words)
    while len(own) > 1 and (own[0] in FILLERS or (own[0].isdigit() and own != words)):
        own.pop(0)
    while len(own) > 1 and (own[-1] in FILLERS or (own[-1].isdigit() and own[-2] in FILLERS)):
        own.pop()
    key = "".join(own if any(word.isalpha() for word in own) else words)
    return next((band for band, others in SYNONYMS.items() if key == band or key in others), key or None)


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
        Name of each channel, see :func:`canonical_names`.
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
            raise InputError(f"{location}: has two bands named {stated}; name them all with --band-names.")
    missing = [stated for name, stated in zip(names, wanted, strict=True) if name not in there]
    if missing:
        own = ", ".join(stated or known or "unnamed" for stated, known in zip(pyramid.band_names, there, strict=True))
        raise InputError(
            f"{location}: has no band {' or '.join(missing)} (its bands: {own}), and {who} takes {', '.join(wanted)}; "
            "name its bands in their order with --band-names, or give another image."
        )
    return tuple(there.index(name) for name in names)
