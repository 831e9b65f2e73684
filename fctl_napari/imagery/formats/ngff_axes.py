"""Axes of OME-Zarr images, and where their levels lie (NGFF 0.1 to 0.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError

NAMES = {
    "y": ("y", "lat", "latitude", "northing", "row", "rows", "height"),
    "x": ("x", "lon", "longitude", "long", "easting", "col", "cols", "column", "columns", "width"),
    "c": ("c", "channel", "channels", "band", "bands"),
    "t": ("t", "time"),
    "z": ("z",),
}
"""Names of axes by the letter that they are read as."""

TYPES = {"channel": "c", "time": "t"}
"""Letters of axes by their type. Axes of the type ``space`` are told apart by name or order."""

SPARE = "zabdefghij"
"""Letters of axes that are neither of these."""


@dataclass(frozen=True)
class LevelPlacement:
    """The placement of a level in the space of its image.

    Attributes
    ----------
    size : tuple of 2 float
        Size of a px, (y, x), in the unit of the image.
    translation : tuple of 2 float
        Position of the center of the first px, (y, x), in the unit of the image.
    """

    size: tuple[float, float]
    translation: tuple[float, float]


def described_axes(multiscale: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the axes of a multiscale image as they are described.

    Since 0.6 they belong to coordinate systems. Those of the one that the levels are placed in count.

    Parameters
    ----------
    multiscale : mapping of str to object
        Multiscale metadata.

    Returns
    -------
    list of dict of str to object
        ``name``, and ``type`` and ``unit`` where they are stated.

    Raises
    ------
    KeyError, IndexError, TypeError, AttributeError
        The metadata has another structure.
    """
    systems = multiscale.get("coordinateSystems")
    # Before 0.4 axes were plain letters, before 0.3 there were none.
    axes = multiscale.get("axes", "tczyx")
    if systems:
        transformations = multiscale["datasets"][0].get("coordinateTransformations") or [{}]
        output = transformations[-1].get("output")
        name = output.get("name") if isinstance(output, Mapping) else output
        axes = next((system["axes"] for system in systems if system.get("name") == name), systems[0]["axes"])
    return [{**axis, "name": str(axis["name"])} if isinstance(axis, Mapping) else {"name": str(axis)} for axis in axes]


def axis_letters(axes: Sequence[Mapping[str, Any]], path: Path | str) -> str:
    """Choose a letter for each axis: by its name, or else by its type.

    Parameters
    ----------
    axes : sequence of mapping of str to object
        Axes, as :func:`described_axes` returns them.
    path : Path or str
        Location of the image, for messages.

    Returns
    -------
    str
        ``y``, ``x``, ``c`` for channels, and other letters, each once.

    Raises
    ------
    InputError
        It is not clear which axes are y and x.
    """
    letters: list[str] = []
    for axis in axes:
        name = axis["name"].lower()
        letter = TYPES.get(str(axis.get("type"))) or next((key for key, names in NAMES.items() if name in names), "")
        letters.append(letter if letter not in letters else "")
    free = [index for index, letter in enumerate(letters) if not letter and axes[index].get("type") == "space"]
    for letter in "xy":
        if letter not in letters and free:
            letters[free.pop()] = letter
    spare = (letter for letter in SPARE if letter not in letters)
    if not {"y", "x"} <= set(letters):
        named = ", ".join(axis["name"] for axis in axes)
        raise InputError(f"{path}: its axes are {named}, and which of them are y and x is not stated; name them so.")
    return "".join(letter or next(spare) for letter in letters)


def axis_unit(multiscale: Mapping[str, Any]) -> str | None:
    """Read the unit of the x axis.

    Parameters
    ----------
    multiscale : mapping of str to object
        Multiscale metadata.

    Returns
    -------
    str or None
        Name of the unit. None if it is not stated.
    """
    axes = described_axes(multiscale)
    unit = axes[axis_letters(axes, "").index("x")].get("unit")
    return str(unit) if unit else None


def level_placements(
    group: zarr.Group, multiscale: Mapping[str, Any], axes: str, path: Path | str
) -> list[LevelPlacement] | None:
    """Read the placements of all levels from the coordinate transformations.

    Parameters
    ----------
    group : zarr.Group
        Group of the image.
    multiscale : mapping of str to object
        Multiscale metadata.
    axes : str
        One letter per axis.
    path : Path or str
        Location of the image, for messages.

    Returns
    -------
    list of LevelPlacement or None
        One per level. None if they are not stated.

    Raises
    ------
    InputError
        A transformation is no scale, translation or identity, or a sequence of such, or is damaged.
    """
    # Since 0.6 those of the image lead on to other coordinate systems.
    shared = [] if multiscale.get("coordinateSystems") else multiscale.get("coordinateTransformations") or []
    yx = [axes.index("y"), axes.index("x")]
    found = []
    for dataset in multiscale["datasets"]:
        own = dataset.get("coordinateTransformations") or []
        try:
            size, translation = _compose(group, [*own, *shared], len(axes), path)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: its coordinate transformations cannot be read; write them again ({error})."
            ) from error
        if not own or not (size[yx] > 0).all() or not np.isfinite([*size[yx], *translation[yx]]).all():
            return None
        y, x = yx
        found.append(LevelPlacement((float(size[y]), float(size[x])), (float(translation[y]), float(translation[x]))))
    return found


def _compose(
    group: zarr.Group, transformations: Sequence[Mapping[str, Any]], ndim: int, path: Path | str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scale and the translation of transformations that are applied in their order."""
    size, translation = np.ones(ndim), np.zeros(ndim)
    for each in transformations:
        kind = each["type"]
        if kind == "identity":
            factor, shift = np.ones(ndim), np.zeros(ndim)
        elif kind == "sequence":
            factor, shift = _compose(group, each["transformations"], ndim, path)
        elif kind in ("scale", "translation"):
            values = np.asarray(each[kind] if kind in each else group[each["path"]][:], float)  # type: ignore[index]
            if values.shape != (ndim,):
                continue
            factor, shift = (values, np.zeros(ndim)) if kind == "scale" else (np.ones(ndim), values)
        elif kind == "affine" and (straight := _straight(each, ndim)) is not None:
            factor, shift = straight
        else:
            raise InputError(
                f"{path}: is placed by a transformation of the type {kind}; only scales, translations and sequences "
                "of them are read here, so resample it to such a grid."
            )
        size, translation = size * factor, translation * factor + shift
    return size, translation


def _straight(affine: Mapping[str, Any], ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the scale and the translation of an affine transformation. None if it rotates or shears."""
    matrix = np.asarray(affine["affine"], float)[:ndim]
    diagonal = np.diagonal(matrix)
    if matrix.shape != (ndim, ndim + 1) or np.any(matrix[:, :ndim] != np.diag(diagonal)):
        return None
    return diagonal.copy(), matrix[:, ndim]
