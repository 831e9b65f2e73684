"""Metadata in mask files about their values: palette, no data, names of classes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from fctl_napari.imagery.formats.aux_xml import bands_beside

CLASSES = "Classes"
"""Key under which our exports keep the names of class 0, 1, ..., as JSON."""

GDAL_METADATA, GDAL_NODATA = 42112, 42113
"""Tags of a TIFF."""

QUOTE, UNQUOTE = {'"': "&quot;"}, {"&quot;": '"'}


@dataclass(frozen=True)
class MaskTags:
    """Metadata of a mask about its values.

    Attributes
    ----------
    palette : ndarray of uint8 [n, 3] or None
        Colors of the mask's indices, if it has a palette.
    nothing : tuple of float
        Values that are no class: transparent ones, or those that are marked as no data.
    class_names : tuple of str or None
        Names of class 0, 1, ..., or None.
    nodata : bool
        True if ``nothing`` is a value that is marked as no data. That value may be a class all the same.
    """

    palette: NDArray[np.uint8] | None = None
    nothing: tuple[float, ...] = ()
    class_names: tuple[str, ...] | None = None
    nodata: bool = False


def names_text(names: Sequence[str]) -> str:
    """Serialize class names to the ASCII text that files keep.

    Parameters
    ----------
    names : sequence of str
        Names of class 0, 1, ...

    Returns
    -------
    str
        JSON list.
    """
    return json.dumps(list(names))


def gdal_metadata(names: Sequence[str]) -> str:
    """Serialize class names to the text of a TIFF's tag ``GDAL_METADATA``.

    GDAL escapes its values twice.

    Parameters
    ----------
    names : sequence of str
        Names of class 0, 1, ...

    Returns
    -------
    str
        XML, ASCII.
    """
    text = escape(escape(names_text(names), QUOTE))
    return f'<GDALMetadata>\n  <Item name="{CLASSES}">{text}</Item>\n</GDALMetadata>\n'


def png_tags(image: Image.Image) -> MaskTags:
    """Read the metadata of a PNG. A palette's index and a gray value may be transparent.

    Parameters
    ----------
    image : Image.Image
        PNG, opened with Pillow.

    Returns
    -------
    MaskTags
        Palette, transparent values and class names.
    """
    palette, nothing = None, []
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    transparent = image.info.get("transparency")
    if isinstance(transparent, bytes):
        nothing = [index for index, alpha in enumerate(transparent) if alpha == 0]
    elif isinstance(transparent, int) and image.mode in ("P", "L", "1", "I;16", "I"):
        nothing = [transparent]
    return MaskTags(palette, tuple(nothing), _names(image.info.get(CLASSES)))


def tiff_tags(path: Path) -> MaskTags:
    """Read the metadata of a TIFF's first image, in it and in the ``.aux.xml`` beside it.

    Parameters
    ----------
    path : Path
        TIFF of one band that can be opened.

    Returns
    -------
    MaskTags
        Palette, the no-data value and class names.
    """
    with tifffile.TiffFile(path) as file:
        page: Any = file.series[0].keyframe
        palette = None
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            colors = np.asarray(page.colormap).T
            # 16 bits by the standard, but some writers store 8 bits
            palette = (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)
        tags: Mapping[int, str] = {
            code: str(page.tags[code].value) for code in (GDAL_METADATA, GDAL_NODATA) if code in page.tags
        }
    beside = bands_beside(path, 1)
    nothing = _nodata(tags.get(GDAL_NODATA) if beside is None else str(beside.nodata[0]))
    return MaskTags(palette, nothing, _names(_item(tags.get(GDAL_METADATA))), nodata=bool(nothing))


def _nodata(text: str | None) -> tuple[float, ...]:
    try:
        value = float((text or "nan").strip("\0 \n"))
    except ValueError:
        return ()
    return (value,) if math.isfinite(value) else ()


def _item(text: str | None) -> str | None:
    if text is None or CLASSES not in text:
        return None
    try:
        items = ElementTree.fromstring(text.strip("\0 \n")).iter("Item")
    except ElementTree.ParseError:
        return None
    return next((unescape(item.text or "", UNQUOTE) for item in items if item.get("name") == CLASSES), None)


def _names(text: object) -> tuple[str, ...] | None:
    """Parse class names, if the text is in the format of our exports."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name for name in found):
        return None
    return tuple(found)
