"""Colors of classes that the user chose, by the names of the classes, in a file of the user's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter

from fctl_napari.exceptions import InputError
from fctl_napari.files import output_error, write_json

Color = tuple[int, int, int]
"""(red, green, blue), 0..255."""
COLORS_FILE = "class_colors.json"

_Colors = TypeAdapter(dict[str, tuple[int, int, int]])


def colors_path() -> Path:
    """Return the path of the user's file of colors: ``{"water": [0, 90, 200], ...}``.

    Returns
    -------
    Path
        The file, which need not be there.
    """
    from platformdirs import user_config_path

    return user_config_path("fctl-napari") / COLORS_FILE


def load_colors(path: Path | None = None) -> dict[str, Color]:
    """Read the colors that the user chose.

    Parameters
    ----------
    path : Path or None, optional
        File. None takes the user's, see :func:`colors_path`.

    Returns
    -------
    dict of str to tuple of 3 int
        Colors by the names of classes. Empty if none was chosen.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = path or colors_path()
    try:
        found = _Colors.validate_json(path.read_bytes())
        if not all(0 <= channel <= 255 for color in found.values() for channel in color):
            raise ValueError("channels are 0 to 255")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f'{path}: holds no colors of classes ({str(error).splitlines()[0]}); write them like {{"water": [0, 90, '
            "200]}, or delete it."
        ) from error
    return found


def remember_colors(colors: Mapping[str, Color | None], path: Path | None = None) -> dict[str, Color]:
    """Keep colors that the user chose, beside those chosen before.

    Parameters
    ----------
    colors : mapping of str to tuple of 3 int or None
        Colors by the names of classes. None forgets that of a class.
    path : Path or None, optional
        File. None takes the user's, see :func:`colors_path`.

    Returns
    -------
    dict of str to tuple of 3 int
        All colors that are kept now.

    Raises
    ------
    InputError
        The file is damaged.
    OutputError
        The disk is full or the folder is not writable.
    """
    path = path or colors_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):  # two windows may choose at once
            kept = load_colors(path) | {name: color for name, color in colors.items() if color is not None}
            kept = {name: color for name, color in kept.items() if colors.get(name, color) is not None}
            write_json(path, kept)
    except OSError as error:
        raise output_error(path, error) from error
    return kept
