"""Class tables read from files: styles and color maps of QGIS, CSV, and the JSON of this package."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from fctl_napari.class_colors import Color, new_colors
from fctl_napari.exceptions import InputError, reason_of
from fctl_napari.model.classes import ClassTable

MOST_BYTES = 2**22
"""Size of the largest file that is read as a class table, bytes."""

RED, GREEN, BLUE = ("red", "r"), ("green", "g"), ("blue", "b")
COLOR = ("color", "colour", "hex", "rgb")
NAME = ("name", "class", "class_name", "classname", "label", "category")
"""Names of the columns of a CSV."""


class Row(NamedTuple):
    """One class of a file.

    Attributes
    ----------
    name : str
        Name of the class.
    color : tuple of 3 int or None
        (red, green, blue), 0..255. None where the file states no color.
    """

    name: str
    color: Color | None


def read_class_table(path: Path | str) -> ClassTable:
    """Read a class table from a file.

    Parameters
    ----------
    path : Path or str
        JSON of this package (see ``ClassTable.read``), a QGIS style (``.qml``: a palette, a classified color ramp or
        categories), a color map that QGIS exported (``.txt``, ``.clr``), or a CSV with columns for the name and for
        the color (``name,red,green,blue`` or ``name,color``).

    Returns
    -------
    ClassTable
        The classes in the order of the file. Rows of one name and color are one class. Classes without a color get
        one.

    Raises
    ------
    InputError
        The file is missing, or holds no class table.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".qml", ".csv", ".txt", ".clr"):
        return ClassTable.read(path)
    text = _text(path)
    rows = _style(path, text) if suffix == ".qml" else _lines(path, text)
    return _table(path, rows)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: is too large for a class table; check the path.")
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such class table; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); check the path.") from error


def _table(path: Path, rows: Iterable[Row]) -> ClassTable:
    """Make a table of the rows of a file."""
    found: dict[str, Color | None] = {}
    for name, color in rows:
        if found.setdefault(name, color) != color:
            raise InputError(f"{path}: the class {name} has two colors; give each class one name.")
    if not found:
        raise InputError(f"{path}: holds no class with a name; give each class a label.")
    fresh = new_colors(list(found))
    classes = [{"name": name, "color": color or new} for (name, color), new in zip(found.items(), fresh, strict=True)]
    try:
        return ClassTable.model_validate({"classes": classes})
    except ValueError as error:
        raise InputError(f"{path}: is not a class table ({reason_of(error)}); mend it.") from error


# -- styles of QGIS ------------------------------------------------------------------------------------------------


def _style(path: Path, text: str) -> list[Row]:
    """Read the palette of a raster's style, or the categories of a vector layer's."""
    if "<!ENTITY" in text:
        raise InputError(f"{path}: declares entities, which no style of QGIS does; save the style again in QGIS.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is no QGIS style ({error}); save the style again in QGIS.") from error
    entries = [*root.iter("paletteEntry"), *root.iterfind(".//colorrampshader/item")]
    if entries:
        return [Row(_name(entry), _hex(entry.get("color", ""))) for entry in entries if _name(entry)]
    renderer = next((one for one in root.iter("renderer-v2") if one.get("type") == "categorizedSymbol"), None)
    if renderer is None:
        raise InputError(
            f"{path}: is a style without classes; in QGIS choose paletted values for a raster, or categories for a "
            "vector layer, and save the style again."
        )
    symbols = {symbol.get("name"): _symbol_color(symbol) for symbol in renderer.iterfind("symbols/symbol")}
    return [
        Row(_name(category), symbols.get(category.get("symbol")))
        for category in renderer.iterfind("categories/category")
        if _name(category)
    ]


def _name(entry: Element) -> str:
    """Return the name of a class of a style: its label, or else its value."""
    return (entry.get("label") or entry.get("value") or "").strip()


def _symbol_color(symbol: Element) -> Color | None:
    """Return the fill color of a symbol, of versions of QGIS from 3.26 on and of earlier ones."""
    for option in symbol.iterfind("layer/Option/Option[@name='color']"):
        return _numbers(re.split(r"[,:]", option.get("value", "")))
    for property_ in symbol.iterfind("layer/prop[@k='color']"):
        return _numbers(property_.get("v", "").split(","))
    return None


# -- lines of text -------------------------------------------------------------------------------------------------


def _lines(path: Path, text: str) -> list[Row]:
    """Read a CSV with named columns, or a color map ``value,red,green,blue[,alpha[,name]]``."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("#", "INTERPOLATION:"))]
    if not lines:
        raise InputError(f"{path}: is empty; give a line for each class.")
    separator = next((one for one in (",", ";", "\t") if one in lines[0]), None)
    if separator is None:
        table = [line.split() for line in lines]
    else:
        table = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=True))
    header = [cell.strip().casefold() for cell in table[0]]
    at = {key: next((header.index(name) for name in names if name in header), None) for key, names in _COLUMNS.items()}
    if at["name"] is None:
        return [_color_map_row(path, number, cells) for number, cells in enumerate(table, 1)]
    return [_csv_row(path, number, cells, at) for number, cells in enumerate(table[1:], 2)]


_COLUMNS = {"name": NAME, "red": RED, "green": GREEN, "blue": BLUE, "color": COLOR}


def _csv_row(path: Path, number: int, cells: Sequence[str], at: dict[str, int | None]) -> Row:
    def cell(key: str) -> str:
        index = at[key]
        return "" if index is None or index >= len(cells) else cells[index].strip()

    name, numbers = cell("name"), [cell(key) for key in ("red", "green", "blue")]
    if not name:
        raise InputError(f"{path}: line {number} has no name; give each class one.")
    if any(numbers):
        color = _numbers(numbers)
    elif cell("color"):
        color = _hex(cell("color")) or _numbers(re.split(r"[\s,;/]+", cell("color").strip("()[]")))
    else:
        return Row(name, None)
    if color is None:
        raise InputError(f"{path}: line {number} has no color; write red, green and blue as 0 to 255, or #rrggbb.")
    return Row(name, color)


def _color_map_row(path: Path, number: int, cells: Sequence[str]) -> Row:
    color = _numbers(cells[1:4])
    if color is None:
        raise InputError(
            f"{path}: line {number} is no class; write a header with name, red, green and blue, or value, red, green, "
            "blue, alpha and name in each line, as QGIS exports a color map."
        )
    return Row((cells[5] if len(cells) > 5 else "").strip() or cells[0].strip(), color)


def _numbers(cells: Sequence[str]) -> Color | None:
    """Return the color of three numbers 0..255, None if they are none."""
    try:
        red, green, blue = (int(cell) for cell in cells[:3])
    except ValueError:
        return None
    return (red, green, blue) if all(0 <= value <= 255 for value in (red, green, blue)) else None


def _hex(text: str) -> Color | None:
    """Return the color of ``#rrggbb``, None if it is none."""
    found = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text.strip())
    if found is None:
        return None
    red, green, blue = (int(part, 16) for part in found.groups())
    return red, green, blue
