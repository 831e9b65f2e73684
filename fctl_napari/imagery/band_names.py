"""Choice of red, green and blue by what a file says about its bands: names, colors, wavelengths."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

RGB = ("red", "green", "blue")

Bands = tuple[int, int, int] | tuple[str, ...]
"""What a user says of an image's bands: the indices of red, green and blue, or the names of all in their order."""

COLORS = {"red": ("red", "r", "ff0000"), "green": ("green", "g", "00ff00"), "blue": ("blue", "b", "0000ff")}
"""Names and hexadecimal colors of the three."""

SENTINEL_2 = {"4": "red", "3": "green", "2": "blue"}
"""Colors of the bands of Sentinel-2 by their numbers."""

FILLERS = frozenset(("band", "channel", "ch", "b", "sr", "surface", "reflectance", "nm", "um", "wavelength"))
"""Words of a band's name that say nothing about its color."""

ALPHA = ("alpha", "a", "opacity")
"""Names of a band of opacity."""

RANGES_NM = {"red": (620.0, 690.0), "green": (520.0, 600.0), "blue": (440.0, 515.0)}
"""Wavelengths of the three, nm."""

WAVELENGTH_ITEMS = ("central_wavelength_um", "center_wavelength", "wavelength")
"""Names in metadata of a band's central wavelength, in lower case. Units follow from its size."""

MICROMETERS = 20.0
"""Wavelengths below this number are stated in micrometers."""


def band_names_in(bands: Bands | None) -> tuple[str, ...] | None:
    """Return what a user says of an image's bands if it is their names.

    Parameters
    ----------
    bands : Bands or None
        What the user says.

    Returns
    -------
    tuple of str or None
        Names of all bands in their order.
    """
    return tuple(map(str, bands)) if bands and isinstance(bands[0], str) else None


def rgb_in(bands: Bands | None) -> tuple[int, int, int] | None:
    """Return what a user says of an image's bands if it is the indices of red, green and blue.

    Parameters
    ----------
    bands : Bands or None
        What the user says.

    Returns
    -------
    tuple of 3 int or None
        Indices, from 0.
    """
    if not bands or isinstance(bands[0], str):
        return None
    red, green, blue = map(int, bands)
    return red, green, blue


def shown_colors(names: Sequence[str | None], colors: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return the colors in which bands are shown.

    A band that has another name is no opacity: programs mark the fourth band of 8 bits as opacity where nobody said
    what it is.

    Parameters
    ----------
    names : sequence of str or None
        See :func:`rgb_bands`.
    colors : sequence of str or None
        See :func:`rgb_bands`. ``"alpha"`` is opacity.

    Returns
    -------
    tuple of str or None
        The colors, ``"undefined"`` for such a band.
    """
    found = list(colors)
    for index, (name, color) in enumerate(zip(names, colors, strict=True)):
        plain = re.sub(r"[\d_\s-]+|band|channel|ch", "", (name or "").lower())
        numbered = has_sentinel_names([name])
        if color == "alpha" and (numbered or (plain and plain not in (*ALPHA, "b", "transparency"))):
            found[index] = "undefined"
    return tuple(found)


def band_labels(
    names: Sequence[str | None], colors: Sequence[str | None], wavelengths: Sequence[float | None]
) -> tuple[str | None, ...]:
    """Name each band by what a file says of it.

    Parameters
    ----------
    names : sequence of str or None
        See :func:`rgb_bands`.
    colors : sequence of str or None
        See :func:`rgb_bands`.
    wavelengths : sequence of float or None
        See :func:`rgb_bands`.

    Returns
    -------
    tuple of str or None
        The name, or else the color or the wavelength. These come before names that only count the bands:
        ``"Band 1"``, ``"Band 2"``.
    """
    labels: list[str | None] = []
    counting = [f"{index + 1}" for index in range(len(names))] == [
        re.sub(r"^(band|channel|ch|b)?[ _-]*", "", (name or "").strip().lower()) for name in names
    ]
    for name, color, wavelength in zip(names, colors, wavelengths, strict=True):
        plain = color if color not in ("undefined", "gray") else None
        length = None if wavelength is None else f"{_in_nanometers(wavelength):g} nm"
        labels.append((plain or length or name) if counting or not name else name)
    return tuple(labels)


def rgb_bands(
    names: Sequence[str | None] = (),
    colors: Sequence[str | None] = (),
    wavelengths: Sequence[float | None] = (),
) -> tuple[int, int, int] | None:
    """Choose the bands that are red, green and blue. Names count first, then colors, then wavelengths.

    Parameters
    ----------
    names : sequence of str or None, optional
        Name of each band: ``"red"``, ``"Band 4 - Red"``, ``"B04"`` of Sentinel-2, ``"665 nm"``. What is only like a
        color (``"red edge"``, ``"coastal blue"``, ``"near infrared"``) is not taken for it.
    colors : sequence of str or None, optional
        Color in which each band is to be shown: ``"FF0000"``, ``"red"``.
    wavelengths : sequence of float or None, optional
        Central wavelength of each band, nm or micrometers.

    Returns
    -------
    tuple of 3 int or None
        Indices from 0. None where one of the three is not found, and where nothing has to be chosen: red, green, blue,
        and perhaps opacity, in this order.
    """
    bands = max(map(len, (names, colors, wavelengths)))
    plain = [None if name is None else str(name).strip().lower() for name in names]
    hues = [None if color is None else str(color).strip().lower().lstrip("#")[:6] for color in colors]
    numbers = [_number(name) for name in plain]
    chosen = (
        _by_words([_color_word(name) for name in plain])
        or _by_words(_sentinel_words(plain))
        or _by_words([next((key for key, words in COLORS.items() if hue in words), None) for hue in hues])
        or _by_wavelength([None if value is None else float(value) for value in wavelengths])
        or _by_wavelength(numbers)
    )
    plain_rgb = bands == 3 or (bands == 4 and len(plain) == 4 and plain[3] in ALPHA)
    return None if chosen == (0, 1, 2) and plain_rgb else chosen


def _color_word(name: str | None) -> str | None:
    """Return the color that a band's name is, apart from words that say nothing."""
    if name is None:
        return None
    words = re.findall(r"[^\W\d_]+", name)
    left = words if len(words) == 1 else [word for word in words if word not in FILLERS]
    if len(left) != 1 or (len(left[0]) == 1 and name != left[0]):
        return None
    return next((key for key, own in COLORS.items() if left[0] in own), None)


def _sentinel_words(names: Sequence[str | None]) -> list[str | None]:
    """Return the colors of bands of Sentinel-2, known by two digits or by a band 8.

    Of Landsat 4 to 7 others have the same numbers.
    """
    found = _sentinel_matches(names)
    if not has_sentinel_names(names):
        return []
    return [None if match is None or match.group(3) else SENTINEL_2.get(match.group(2)) for match in found]


def _sentinel_matches(names: Sequence[str | None]) -> list[re.Match[str] | None]:
    return [re.search(r"(?<![a-z\d])b(0?)([2348])(a?)(?![a-z\d])", (name or "").lower()) for name in names]


def has_sentinel_names(names: Sequence[str | None]) -> bool:
    """Return whether bands are named as Sentinel-2's are.

    Parameters
    ----------
    names : sequence of str or None
        Name of each band.

    Returns
    -------
    bool
        True if there is a band 8A, 08 or 12, one of 02, 03 and 04, or a band 8 without what Landsat has beside its own.
    """
    plain = [(name or "").lower() for name in names]

    def there(*numbers: str) -> bool:
        return any(re.search(rf"(?<![a-z\d])b{number}(?![a-z\d])", name) for number in numbers for name in plain)

    if there("8a", "08", "12"):
        return True
    # Landsat has a band 8 too, beside bands 1 and 7; its red, green and blue have the same numbers with two digits.
    return there("02", "03", "04") or (there("8") and not there("1", "7"))


def _by_words(found: Sequence[str | None]) -> tuple[int, int, int] | None:
    if not set(COLORS) <= set(found):
        return None
    return found.index("red"), found.index("green"), found.index("blue")


def _number(name: str | None) -> float | None:
    """Return the wavelength that a name is: ``665 nm``, ``0.665 um``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(nm|nanometers?|um|µm|micrometers?)", name or "")
    return float(match.group(1)) if match else None


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
    number = _number(name)
    return None if number is None else _in_nanometers(number)


def _in_nanometers(wavelength: float) -> float:
    """Return a wavelength in nm that is stated in nm or micrometers."""
    return round(wavelength * 1000, 3) if wavelength < MICROMETERS else wavelength


def _by_wavelength(values: Sequence[float | None]) -> tuple[int, int, int] | None:
    nm = [None if value is None else _in_nanometers(value) for value in values]
    chosen = []
    for low, high in RANGES_NM.values():
        inside = [(abs(value - (low + high) / 2), i) for i, value in enumerate(nm) if value and low <= value <= high]
        if not inside:
            return None
        chosen.append(min(inside)[1])
    return chosen[0], chosen[1], chosen[2]


@dataclass(frozen=True)
class BandChoice:
    """Choice of an image's bands as red, green and blue.

    Attributes
    ----------
    bands : tuple of 3 int or None
        Indices from 0. None where the first three are, where there is one, and where it is unclear.
    unclear : str or None
        Reason why none can be chosen, as the end of a sentence about the file. None if they can.
    """

    bands: tuple[int, int, int] | None = None
    unclear: str | None = None


def choose_bands(
    names: Sequence[str | None] = (),
    colors: Sequence[str | None] = (),
    wavelengths: Sequence[float | None] = (),
) -> BandChoice:
    """Choose red, green and blue of the bands that are not opacity.

    Parameters
    ----------
    names : sequence of str or None, optional
        See :func:`rgb_bands`.
    colors : sequence of str or None, optional
        See :func:`rgb_bands`. ``"alpha"`` is opacity.
    wavelengths : sequence of float or None, optional
        See :func:`rgb_bands`.

    Returns
    -------
    BandChoice
        The choice, or why there is none.
    """
    count = max(map(len, (names, colors, wavelengths)))
    shown = [index for index in range(count) if index >= len(colors) or colors[index] != "alpha"]
    if len(shown) < 3:
        return BandChoice()
    found = rgb_bands(names, colors, wavelengths)
    if found is not None:
        return BandChoice(None if found == (0, 1, 2) and len(shown) == 3 else found)
    words = [_color_word(None if name is None else str(name).strip().lower()) for name in names]
    hues = [color if color in COLORS else None for color in colors]
    if len(shown) == 3:
        stated = [word or hue for word, hue in itertools.zip_longest(words, hues)]
        if all(word in (None, color) for word, color in zip(stated, COLORS, strict=False)):
            return BandChoice()
        return BandChoice(unclear=f"has the bands {_listed(names or colors)}, of which none is {_missing(stated)}")
    described = f" ({_listed(names)})" if any(names) else ""
    return BandChoice(unclear=f"has {len(shown)} bands{described}")


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(str(name or "unnamed") for name in names)


def _missing(words: Sequence[str | None]) -> str:
    return " or ".join(color for color in COLORS if color not in words)
