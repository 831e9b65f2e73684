"""Size of the px of a segmentation without georeference, for the files that are exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from fctl_napari.exporting.extract import Exportable
from fctl_napari.imagery.formats import ngff
from fctl_napari.imagery.formats.ngff_axes import axis_unit, level_placements
from fctl_napari.imagery.geodesy.ground_size import METRES


def spatial(group: zarr.Group, path: Path) -> dict[str, Any]:
    """Read the px size, translation and unit of a multiscale image.

    Parameters
    ----------
    group : zarr.Group
        Group of the image.
    path : Path
        Its path, for errors.

    Returns
    -------
    dict of str to object
        Arguments of ``LabelPyramid.create``.
    """
    _, axes, multiscale = ngff.open_levels(group, path)
    placements = level_placements(group, multiscale, axes, path)
    if placements is None:
        return {"unit": axis_unit(multiscale)}
    first = placements[0]
    return {"pixel_size": first.size, "translation": first.translation, "unit": axis_unit(multiscale)}


def metres(segmentation: Exportable) -> tuple[float, float] | None:
    """Return the size of a px.

    Parameters
    ----------
    segmentation : Exportable
        The segmentation.

    Returns
    -------
    tuple of 2 float or None
        (y, x), m. None if only px are known.
    """
    stored = spatial(segmentation.labels.group, segmentation.path)
    length, size = METRES.get(str(stored["unit"])), stored.get("pixel_size")
    return None if length is None or size is None else (size[0] * length, size[1] * length)


def position_words(segmentation: Exportable) -> str:
    """Describe what an export cannot say of the position of its px.

    Parameters
    ----------
    segmentation : Exportable
        The segmentation.

    Returns
    -------
    str
        Sentence for people without a stop. Empty if it has a georeference.
    """
    if segmentation.georeference is not None:
        return ""
    stored = spatial(segmentation.labels.group, segmentation.path)
    if stored["unit"] is None or "pixel_size" not in stored:
        return "without georeference, since the image has none"
    y, x = stored["pixel_size"]
    return f"without georeference, since the image has none; a px is {x:g} x {y:g} {stored['unit']} (width x height)"
