"""Meanings of the names and wavelengths of bands: colors, infrared, the bands of satellites."""

from __future__ import annotations

import re
from collections.abc import Sequence

RGB = ("red", "green", "blue")

ALPHA = ("alpha", "a", "opacity", "transparency")
"""Names of a band of opacity."""

FILLERS = frozenset(("band", "channel", "ch", "b", "sr", "surface", "reflectance", "nm", "um", "wavelength"))
"""Words of a band's name that say nothing about it."""

SENTINEL_2 = {
    "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "rededge1", "6": "rededge2", "7": "rededge3",
    "8": "nir", "8a": "narrownir", "9": "watervapor", "10": "cirrus", "11": "swir1", "12": "swir2",
}  # fmt: skip
"""Names of the bands of Sentinel-2 by their numbers."""

SHARED = ("2", "3", "4")
"""Numbers that mean the same on harmonized Landsat, whose bands are called alike, with two digits."""

SYNONYMS = {
    "red": ("r",),
    "green": ("g",),
    "blue": ("b",),
    "nir": ("nearinfrared", "nearir", "infrared", "ir", "n", "nir1"),
    "narrownir": ("nirnarrow", "nir2", "nnir"),
    "rededge1": ("re1", "rededge", "re"),
    "rededge2": ("re2",),
    "rededge3": ("re3",),
    "coastal": ("coastalblue", "coastalaerosol", "aerosol"),
    "panchromatic": ("pan",),
    "swir1": ("swir16", "shortwaveinfrared1"),
    "swir2": ("swir22", "shortwaveinfrared2"),
}
"""Other names of a band, in lower case and without spaces."""

RANGES_NM = {
    "coastal": (400.0, 440.0), "blue": (440.0, 515.0), "green": (520.0, 600.0), "red": (620.0, 690.0),
    "rededge1": (690.0, 725.0), "rededge2": (725.0, 760.0), "rededge3": (760.0, 795.0), "nir": (795.0, 900.0),
    "swir1": (1550.0, 1750.0), "swir2": (2050.0, 2350.0),
}  # fmt: skip
"""Wavelengths of bands, nm."""

MICROMETERS = 20.0
"""Wavelengths below this number are stated in micrometers."""

LENGTH = r"(\d+(?:\.\d+)?)\s*(?:nm|nanometers?|um|µm|micrometers?)"


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
    numbers = _known_numbers(names)
    return tuple(None if name is None else _canonical(name, numbers) for name in names)


def _known_numbers(names: Sequence[str | None]) -> Sequence[str]:
    """Return the numbers of bands that mean Sentinel-2's, given all names: all, those that Landsat shares, or none."""
    plain = [(name or "").lower() for name in names]

    def there(*numbers: str) -> bool:
        return any(re.search(rf"(?<![a-z\d])b{number}(?![a-z\d])", name) for number in numbers for name in plain)

    # Landsat has a band 8 too, beside bands 1 and 7.
    if there("8a", "08", "12") or (there("8") and not there("1", "7")):
        return tuple(SENTINEL_2)
    return SHARED if there("02", "03", "04") else ()


def _canonical(name: str, numbers: Sequence[str]) -> str | None:
    plain = name.strip().lower()
    found = re.search(r"(?<![a-z\d])b0?(\d{1,2}a?)(?![a-z\d])", plain)
    if found and found.group(1) in numbers:
        return SENTINEL_2[found.group(1)]
    length = nanometers(plain)
    if length is not None:
        return next((band for band, (low, high) in RANGES_NM.items() if low <= length <= high), f"{length:g}nm")
    words = re.findall(r"[^\W\d_]+|\d+", re.sub(LENGTH, "", plain))  # "nir (842 nm)" is nir
    # "band 4 - nir" is nir; "band 4" stays what it is, and so does a single letter
    own = list(words)
    while len(own) > 1 and (own[0] in FILLERS or (own[0].isdigit() and own != words)):
        own.pop(0)
    while len(own) > 1 and (own[-1] in FILLERS or (own[-1].isdigit() and own[-2] in FILLERS)):
        own.pop()
    letters = [word for word in own if not word.isdigit()]
    if len(letters) == 1 and letters[0] in RGB:  # "red 1", but not "red edge 1"
        return str(letters[0])
    key = "".join(own if letters else words)
    return next((band for band, others in SYNONYMS.items() if key == band or key in others), key or None)


def nanometers(name: str) -> float | None:
    """Return the wavelength that a name is.

    Parameters
    ----------
    name : str
        Name of a band, in lower case: ``"665 nm"``, ``"0.665 um"``.

    Returns
    -------
    float or None
        Wavelength, nm. None if it is none.
    """
    match = re.fullmatch(LENGTH, name)
    return None if match is None else in_nanometers(float(match.group(1)))


def in_nanometers(wavelength: float) -> float:
    """Convert a wavelength that is stated in nm or micrometers.

    Parameters
    ----------
    wavelength : float
        Wavelength. Its size tells the unit.

    Returns
    -------
    float
        Wavelength, nm.
    """
    return round(wavelength * 1000, 3) if wavelength < MICROMETERS else wavelength
