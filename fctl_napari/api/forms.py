"""Kinds of arguments of public functions, with the fields that forms made of them by magicgui have.

A field is stated as pairs, which magicgui reads and everything else leaves alone. Kinds of our own classes have no
field here: ``fctl_napari.plugin.layers.magic_types`` registers theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from fctl_napari.imagery.band_names import Bands

Field = tuple[tuple[str, Any], ...]

PATH = ("widget_type", "fctl_napari.plugin.layers.magic_fields.PathEdit")

LITERAL: Field = (("widget_type", "fctl_napari.plugin.layers.magic_fields.ValueEdit"),)

SourcePath = Annotated[Path | str, (PATH, ("mode", "r"))]
"""A file or folder that is read."""

OutPath = Annotated[Path | str, (PATH, ("mode", "w"))]
"""A file or folder that is written."""

ValueRange = Annotated[tuple[float, float], LITERAL]
"""(low, high) values that become 0 and 255."""

AnyBands = Annotated[Bands, LITERAL]
"""Indices of red, green and blue, or the names of all bands."""

Names = Annotated[str | Sequence[str], LITERAL]
"""One or several names."""

Number = Annotated[int, LITERAL]
"""A whole number that may be left out or large: a spin box of magicgui knows neither."""

Length = Annotated[float, LITERAL]
"""A number that may be left out."""

Point = Annotated[tuple[float, float], LITERAL]
"""(y, x), px."""

Text = Annotated[str, (*LITERAL, ("visible", False))]
"""A text that is seldom given. It has no field."""


def field_of(kind: Any) -> Field:
    """Return the field of a kind of argument.

    Parameters
    ----------
    kind : object
        Annotation, with what is annotated of it and of its parts.

    Returns
    -------
    tuple of (str, object)
        Pairs. Empty for a kind whose field follows from its type.
    """
    stated: Field = ()
    if get_origin(kind) is Annotated:
        stated = tuple(pair for data in kind.__metadata__ if isinstance(data, tuple) for pair in data)
    return sum((field_of(part) for part in get_args(kind)), stated)
