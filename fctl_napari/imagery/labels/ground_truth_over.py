"""Ground truth over an image: masks by their georeference, polygons rasterized where they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.color_key import NO_CLASS
from fctl_napari.imagery.labels.ground_truth import open_ground_truth
from fctl_napari.imagery.labels.label_source import LabelSource
from fctl_napari.imagery.labels.polygon_files import is_polygon_file
from fctl_napari.imagery.labels.polygons import NamedPolygons
from fctl_napari.imagery.labels.raster_alignment import aligned_ground_truth


def open_ground_truth_over(
    path: Path | str,
    georeference: Georeference | None,
    shape: tuple[int, int],
    colors: Sequence[tuple[int, int, int]] | None = None,
    *,
    by_value: bool = False,
    mapped: Mapping[int | str, str | None] | None = None,
    image: str | None = None,
) -> LabelSource:
    """Open a ground truth in the px of an image, by the georeferences of both.

    Parameters
    ----------
    path : Path or str
        Mask or label group, see ``open_ground_truth``; or polygons, see ``NamedPolygons``. Px outside of all polygons
        have no class.
    georeference : Georeference or None
        Georeference of the image.
    shape : tuple of 2 int
        (height, width) of the image, px.
    colors : sequence of tuple of 3 int, optional
        See ``open_ground_truth``.
    by_value : bool, optional
        See ``open_ground_truth``.
    mapped : mapping of int or str to str or None or None, optional
        For polygons: see ``read_polygons``.
    image : str or None, optional
        For polygons: see ``read_polygons``.

    Returns
    -------
    LabelSource
        Ground truth in the image's px, read by windows.

    Raises
    ------
    InputError
        It cannot be read, or does not lie on the image; see ``open_ground_truth``, ``aligned_ground_truth`` and
        ``NamedPolygons``.
    """
    path = Path(path)
    if not is_polygon_file(path):
        source = open_ground_truth(path, colors, by_value=by_value)
        return aligned_ground_truth(source, path, georeference, shape)
    polygons = NamedPolygons(path, georeference, shape, mapped=mapped, image=image)
    names = tuple(polygons.names)
    if not 0 < len(names) < NO_CLASS:
        what = f"{len(names)} classes, and {NO_CLASS - 1} are the most" if names else "no polygon with a class"
        raise InputError(f"{path}: holds {what}; give polygons with the names of their classes.")
    values = _PolygonValues(polygons, len(names), shape)
    note = "; ".join(polygons.notes)
    return LabelSource(str(path), values, shape, one_based=True, class_names=names, note=note)


class _PolygonValues:
    """Polygons as an array [y, x] of values, 0 outside of all and k + 1 for the k-th name, rasterized when read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, polygons: NamedPolygons, names: int, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._polygons = polygons
        self._values = np.arange(1, names + 1, dtype=np.uint8)

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[np.uint8]:
        rows, columns = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        window = (rows[0], columns[0], max(rows[1], rows[0]), max(columns[1], columns[0]))
        return self._polygons.sample(window, self._values, rows[2])
