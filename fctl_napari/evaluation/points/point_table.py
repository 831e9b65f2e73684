"""Points of a sample as a table (CSV) that people fill in."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from fctl_napari.evaluation.points.checked_points import CheckedPoints
from fctl_napari.exceptions import InputError, OutputError, reason_of
from fctl_napari.files import atomic_write
from fctl_napari.imagery.georeference import Georeference


def check_table_path(path: Path) -> None:
    """Refuse a path where something else lies than a table of points in which nothing is filled in.

    Parameters
    ----------
    path : Path
        File to write.

    Raises
    ------
    OutputError
        Another file lies there, or a table in which somebody has filled in classes.
    """
    if not os.path.lexists(path):
        return
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    except (OSError, ValueError, csv.Error):
        rows = []
    header = rows[0] if rows else []
    if header[:3] != ["id", "y", "x"] or header[-1:] != ["class"]:
        raise OutputError(f"{path}: exists and is no table of points; choose another name.")
    if any(row and row[-1].strip() for row in rows[1:]):
        raise OutputError(f"{path}: is filled in; take its classes over with fctl points set, or choose another name.")


def write_table(points: CheckedPoints, path: Path, georeference: Georeference | None) -> None:
    """Write points as a table whose classes are to be filled in.

    The mapped classes are left out, so that who checks does not know them.

    Parameters
    ----------
    points : CheckedPoints
        The points.
    path : Path
        The file: a row for each point, with ``id``, ``y`` and ``x`` (px), ``class``, and the coordinates of the middle
        of its px where the image is georeferenced.
    georeference : Georeference or None
        Georeference of the image.

    Raises
    ------
    OutputError
        The disk is full or the path is not writable.
    """
    columns = [] if georeference is None else ["map_x", "map_y"]
    with atomic_write(path, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "y", "x", *columns, "class"])
        for point in points.points:
            coordinates: list[str] = []
            if georeference is not None:
                a, b, c, d, e, f = georeference.transform
                y, x = point.y + 0.5, point.x + 0.5
                coordinates = [f"{a * x + b * y + c:.12g}", f"{d * x + e * y + f:.12g}"]
            table.writerow([point.id, point.y, point.x, *coordinates, point.true or ""])


def read_table(path: Path, points: CheckedPoints, names: Sequence[str]) -> dict[int, str]:
    """Read the true classes of points from a table.

    Parameters
    ----------
    path : Path
        CSV file with a header: ``id``, or ``y`` and ``x`` (px), and ``class``. Other columns are not read, and rows
        without a class are left out.
    points : CheckedPoints
        The points.
    names : sequence of str
        Names of the classes.

    Returns
    -------
    dict of int to str
        Names of classes by the numbers of points.

    Raises
    ------
    InputError
        The file is missing or no such table, or a row names no point or no class.
    """
    try:
        text = path.read_text("utf-8-sig")  # as spreadsheets write it
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no CSV file in UTF-8 ({reason_of(error)}); save it as such.") from error
    header = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    if "class" not in columns or not ("id" in columns or {"y", "x"} <= columns.keys()):
        raise InputError(
            f"{path}: needs a first line that names the columns id, or y and x, and class; it has "
            f"{', '.join(filter(None, columns)) or 'none'}."
        )
    by_key: dict[tuple[int | None, ...], int] = {
        (point.id,) if "id" in columns else (point.y, point.x): point.id for point in points.points
    }
    keys = ["id"] if "id" in columns else ["y", "x"]
    found: dict[int, str] = {}
    try:
        for row in rows:
            name = (row[columns["class"]] or "").strip()
            if not name:
                continue
            values = [(row[columns[key]] or "").strip() for key in keys]
            number = by_key.get(tuple(map(_whole, values)))
            where = f"{path}: line {rows.line_num}"
            if number is None:
                stated = ", ".join(f"{key} {value or 'empty'}" for key, value in zip(keys, values, strict=True))
                raise InputError(f"{where} is no point of the sample ({stated}); give those that were drawn.")
            if name not in names:
                raise InputError(f"{where}: {name} is no class of the map; its classes are {', '.join(names)}.")
            if found.setdefault(number, name) != name:
                raise InputError(f"{where}: point {number} is {found[number]} further above; give it one class.")
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV file ({reason_of(error)}); save it as such.") from error
    return found


def _whole(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None
