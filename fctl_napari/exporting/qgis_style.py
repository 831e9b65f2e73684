"""Style for QGIS beside an export: names and colors of its classes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from fctl_napari.exporting.destination import SOFTWARE
from fctl_napari.files import atomic_write
from fctl_napari.model.classes import ClassTable

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
VERSION = "3.28.0"
"""Version of QGIS whose format this is. Earlier ones from 3.18 on read it too."""

MARK = "generator"
"""Attribute of a style of ours. QGIS leaves it out when it saves the style."""

RASTER, POLYGONS = "pipe", "renderer-v2"


def style_path(out: Path) -> Path:
    """Return the path at which QGIS looks for the style of a file.

    Parameters
    ----------
    out : Path
        Path of a raster or of polygons.

    Returns
    -------
    Path
        The path, which files share whose names differ in the suffix alone.
    """
    return out.with_suffix(".qml")


def write_style(out: Path, table: ClassTable, *, polygons: bool) -> str:
    """Write the style of an export, which QGIS applies when it opens it.

    A raster gets a palette, polygons a category for each class, by the property ``class``. A raster and polygons of one
    name share the file, so what an earlier export said of the other of them is kept. A style that is not ours is left
    as it is.

    Parameters
    ----------
    out : Path
        Path of the export.
    table : ClassTable
        Its classes.
    polygons : bool
        True for polygons, False for a raster of class indices.

    Returns
    -------
    str
        Sentence for people without a stop if a style was left as it is; else empty.

    Raises
    ------
    OutputError
        The disk is full, or the folder is not writable.
    """
    path = style_path(out)
    root = Element("qgis", {"version": VERSION, "styleCategories": "Symbology", MARK: SOFTWARE})
    if path.exists():
        try:
            earlier = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError):
            earlier = Element("")
        if earlier.tag != root.tag or earlier.get(MARK) != SOFTWARE:
            return f"{path}: is a style of your own and stays as it is; classes may differ from those written here"
        root.extend(earlier.findall(RASTER if polygons else POLYGONS))
    root.append(_categories(table) if polygons else _palette(table))
    ElementTree.indent(root)
    with atomic_write(path, "w") as file:
        file.write(f"{DOCTYPE}{ElementTree.tostring(root, encoding='unicode')}\n")
    return ""


def _palette(table: ClassTable) -> Element:
    """Return the part of a style that is for rasters."""
    pipe = Element(RASTER)
    renderer = SubElement(
        pipe, "rasterrenderer", {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    )
    SubElement(renderer, "rasterTransparency")
    palette = SubElement(renderer, "colorPalette")
    for index, info in enumerate(table.scored):
        color = "#{:02x}{:02x}{:02x}".format(*info.color)
        SubElement(palette, "paletteEntry", {"value": str(index), "color": color, "alpha": "255", "label": info.name})
    return pipe


def _categories(table: ClassTable) -> Element:
    """Return the part of a style that is for polygons: filled without outlines, which would hide small ones."""
    renderer = Element(
        POLYGONS,
        {"type": "categorizedSymbol", "attr": "class", "forceraster": "0", "symbollevels": "0", "enableorderby": "0"},
    )
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for index, info in enumerate(table.scored):
        name, symbol = info.name, str(index)
        SubElement(
            categories,
            "category",
            {"type": "string", "value": name, "label": name, "symbol": symbol, "render": "true"},
        )
        fill = SubElement(
            symbols, "symbol", {"type": "fill", "name": symbol, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
        )
        layer = SubElement(fill, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"})
        options = SubElement(layer, "Option", {"type": "Map"})
        color = ",".join(map(str, (*info.color, 255)))
        for key, value in (("color", color), ("style", "solid"), ("outline_style", "no")):
            SubElement(options, "Option", {"type": "QString", "name": key, "value": value})
    return renderer
