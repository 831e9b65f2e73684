"""Choice of red, green and blue by what a file says about its bands: names, colors, wavelengths."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fctl_napari.imagery.band_meanings import ALPHA, RANGES_NM, RGB, canonical_names, in_nanometers, nanometers

Bands = tuple[int, int, int] | tuple[str, ...]
"""What a user says of an image's bands: the indices of red, green and blue, or the names of all in their order."""

WAVELENGTH_ITEMS = ("central_wavelength_um", "center_wavelength", "wavelength")
"""Names in metadata of a band's central wavelength, in lower case. Units follow from its size."""

HUES = {"red": ("red", "ff0000"), "green": ("green", "00ff00"), "blue": ("blue", "0000ff")}
"""Words and hexadecimal numbers of the colors in which bands are to be shown."""


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
        (meaning,) = canonical_names([name])
        counted = meaning is None or re.fullmatch(r"(band|channel|ch|b)?\d*", meaning)
        if color == "alpha" and not counted and meaning not in ALPHA:
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
        length = None if wavelength is None else f"{in_nanometers(wavelength):g} nm"
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
    lengths = [None if name is None else nanometers(name) for name in plain]
    hues = [None if color is None else str(color).strip().lower().lstrip("#")[:6] for color in colors]
    chosen = (
        _by_words(_meanings(names))
        or _by_words([next((color for color, words in HUES.items() if hue in words), None) for hue in hues])
        or _by_wavelength([None if value is None else in_nanometers(float(value)) for value in wavelengths])
        or _by_wavelength(lengths)
    )
    plain_rgb = bands == 3 or (bands == 4 and len(plain) == 4 and plain[3] in ALPHA)
    return None if chosen == (0, 1, 2) and plain_rgb else chosen


def _meanings(names: Sequence[str | None]) -> tuple[str | None, ...]:
    """Return what names of bands mean, apart from wavelengths, of which the one in the middle of a color counts."""
    plain = [None if name is None else str(name) for name in names]
    return canonical_names([None if name is None or nanometers(name.strip().lower()) else name for name in plain])


def _by_words(found: Sequence[str | None]) -> tuple[int, int, int] | None:
    if not set(RGB) <= set(found):
        return None
    return found.index("red"), found.index("green"), found.index("blue")


def _by_wavelength(values: Sequence[float | None]) -> tuple[int, int, int] | None:
    chosen = []
    for low, high in (RANGES_NM[color] for color in RGB):
        inside = [(abs(nm - (low + high) / 2), i) for i, nm in enumerate(values) if nm and low <= nm <= high]
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
    words = [word if word in RGB else None for word in _meanings(names)]
    hues = [color if color in RGB else None for color in colors]
    if len(shown) == 3:
        stated = [word or hue for word, hue in itertools.zip_longest(words, hues)]
        if all(word in (None, color) for word, color in zip(stated, RGB, strict=False)):
            return BandChoice()
        return BandChoice(unclear=f"has the bands {_listed(names or colors)}, of which none is {_missing(stated)}")
    described = f" ({_listed(names)})" if any(names) else ""
    return BandChoice(unclear=f"has {len(shown)} bands{described}")


def _listed(names: Sequence[str | None]) -> str:
    return ", ".join(str(name or "unnamed") for name in names)


def _missing(words: Sequence[str | None]) -> str:
    return " or ".join(color for color in RGB if color not in words)
