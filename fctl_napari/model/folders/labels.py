"""Classes as ``config.json`` of transformers states them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from fctl_napari.class_colors import new_colors
from fctl_napari.exceptions import CheckpointError, fault_of
from fctl_napari.model.classes import ClassTable
from fctl_napari.words import count_of, plain_name

_Colors = TypeAdapter(list[tuple[Annotated[int, Field(ge=0, le=255)], ...]])


def labelled_classes(path: Path, id2label: dict[int, str] | None, count: int | None, palette: Any) -> ClassTable:
    """Make the class table that a document states, in which names that stand twice get their index.

    Parameters
    ----------
    path : Path
        The document.
    id2label : dict of int to str or None
        Names of the classes.
    count : int or None
        Number of classes, where they have no names.
    palette : object
        Colors of the classes, if it is a list of as many.

    Returns
    -------
    ClassTable
        The class table.

    Raises
    ------
    CheckpointError
        The classes are not numbered from 0 on, or too few or too many.
    """
    labels = id2label or {k: f"LABEL_{k}" for k in range(count or 2)}
    if sorted(labels) != list(range(len(labels))):
        raise CheckpointError(f"{path}: id2label does not number the classes 0, 1, 2, ...; mend it.")
    if not 2 <= len(labels) <= 250:
        raise CheckpointError(f"{path}: has {count_of(len(labels), 'class')}; networks of 2 to 250 can be imported.")
    given = [plain_name(labels[k]) or f"class {k}" for k in range(len(labels))]
    names = [f"{name} ({k})" if given.count(name) > 1 else name for k, name in enumerate(given)]
    colors = _palette(palette, len(names)) or new_colors(names)
    rows = [{"name": name, "color": color} for name, color in zip(names, colors, strict=True)]
    try:
        return ClassTable.model_validate({"classes": rows})
    except ValidationError as error:
        raise CheckpointError(f"{path}: id2label: {fault_of(error)}.") from error


def _palette(stated: Any, count: int) -> list[tuple[int, ...]] | None:
    """Return a color for each class, or None if the folder states no such list."""
    try:
        colors = _Colors.validate_python(stated)
    except ValidationError:
        return None
    return colors if len(colors) == count and all(len(color) == 3 for color in colors) else None
