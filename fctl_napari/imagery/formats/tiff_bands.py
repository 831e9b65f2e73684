"""Bands of a TIFF: their names, colors and values without data, as its tags and GDAL's metadata state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import tifffile

from fctl_napari.imagery.band_names import WAVELENGTH_ITEMS, BandChoice, band_labels, choose_bands, shown_colors

GDAL_METADATA = 42112
NODATA_TAG = 42113

NODATA_VALUES = "NODATA_VALUES"
"""Item of GDAL's metadata: a value of each band that together mean no data."""

ALPHA = (1, 2)
"""Types of TIFF's extra samples that are alpha, premultiplied or not."""


@dataclass(frozen=True)
class TiffBands:
    """Bands of an image.

    Attributes
    ----------
    names : tuple of str or None
        Description of each band, or None.
    colors : tuple of str or None
        Color of each band in lower case (``"red"``, ``"alpha"``, ``"undefined"``), or None where nothing is stated.
    wavelengths : tuple of float or None
        Central wavelength of each band, nm or micrometers, or None.
    nodata : tuple of float or None
        Value of each band that means no data, or None.
    """

    names: tuple[str | None, ...]
    colors: tuple[str | None, ...]
    wavelengths: tuple[float | None, ...]
    nodata: tuple[float | None, ...]

    @property
    def alpha(self) -> int | None:
        """Index of the band that is opacity, or None."""
        return self.colors.index("alpha") if "alpha" in self.colors else None

    @property
    def labels(self) -> tuple[str | None, ...]:
        """Name of each band, or else its color or wavelength, or None."""
        return band_labels(self.names, self.colors, self.wavelengths)

    def choice(self) -> BandChoice:
        """Choose the bands that are red, green and blue.

        Returns
        -------
        BandChoice
            The choice.
        """
        return choose_bands(self.names, self.colors, self.wavelengths)


def tiff_bands(page: tifffile.TiffPage, channels: int) -> TiffBands:
    """Read what a TIFF says of its bands.

    GDAL's metadata come before the tags of TIFF, as in GDAL.

    Parameters
    ----------
    page : tifffile.TiffPage
        Page of the image.
    channels : int
        Number of its bands.

    Returns
    -------
    TiffBands
        Names, colors, wavelengths and values without data.
    """
    colors: list[str | None] = [None] * channels
    extras = [int(extra) for extra in page.extrasamples][:channels]
    own = channels - len(extras)
    if page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR) and own >= 3:
        colors[:3] = "red", "green", "blue"
    for index, extra in enumerate(extras):
        if extra in ALPHA:
            colors[own + index] = "alpha"
    names: list[str | None] = [None] * channels
    wavelengths: list[float | None] = [None] * channels
    nodata: tuple[float | None, ...] = (nodata_value(page),) * channels
    for item in _items(page):
        sample = item.get("sample", "")
        if not sample and item.get("name") == NODATA_VALUES:
            nodata = nodata_of_bands(item.text or "", channels) or nodata
        if not sample.isdecimal() or int(sample) >= channels:
            continue
        text, role, name = (item.text or "").strip(), item.get("role"), (item.get("name") or "").lower()
        if role == "description":
            names[int(sample)] = text or None
        elif role == "colorinterp":
            colors[int(sample)] = text.lower()
        elif name in WAVELENGTH_ITEMS:
            wavelengths[int(sample)] = _number(text)
    return TiffBands(tuple(names), shown_colors(names, colors), tuple(wavelengths), nodata)


def nodata_of_bands(text: str, channels: int) -> tuple[float, ...] | None:
    """Read GDAL's metadata item ``NODATA_VALUES``.

    Parameters
    ----------
    text : str
        Numbers, apart by blanks.
    channels : int
        Number of bands.

    Returns
    -------
    tuple of float or None
        Value of each band that means no data. None if these are not numbers, or not one for each band.
    """
    try:
        values = tuple(float(word) for word in text.split())
    except ValueError:
        return None
    return values if len(values) == channels else None


def nodata_value(page: tifffile.TiffPage) -> float | None:
    """Return the value of a page that means no data.

    Parameters
    ----------
    page : tifffile.TiffPage
        Page of the image.

    Returns
    -------
    float or None
        Value of the ``GDAL_NODATA`` tag; an int where it is written as one. None without the tag.
    """
    tag = page.tags.get(NODATA_TAG)
    text = "" if tag is None else str(tag.value).strip("\0 \n")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _items(page: tifffile.TiffPage) -> list[Any]:
    tag = page.tags.get(GDAL_METADATA)
    if tag is None:
        return []
    try:
        return list(ElementTree.fromstring(str(tag.value).strip("\0 \n")).iter("Item"))
    except ElementTree.ParseError:
        return []


def _number(text: str) -> float | None:
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None
