"""Provenance of each px of a map: whether the network said its class, or a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.final_map import ComposedLabels, FinalMap
from fctl_napari.exceptions import OutputError
from fctl_napari.exporting.export import kind_of
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.model.classes import NOT_COMPUTED, NOT_SURE, ClassInfo, ClassTable
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, Window

PROVENANCE = ClassTable(
    classes=(
        ClassInfo(name="not computed", color=(40, 40, 40)),
        ClassInfo(name="predicted", color=(200, 200, 200)),
        ClassInfo(name="corrected", color=(213, 94, 0)),
        ClassInfo(name="accepted", color=(0, 158, 115)),
        ClassInfo(name="not sure", color=(240, 228, 66)),
    )
)
"""Names by value: 0 neither computed nor painted; 1 predicted, and nobody painted there; 2 painted with another class
than the predicted one, or where nothing is predicted; 3 painted with the class that is predicted; 4 marked as not
sure."""

PREDICTED, CORRECTED, ACCEPTED, UNSURE = 1, 2, 3, 4
RASTERS = ("png", "tiff", "ome-zarr")


class Provenance:
    """Provenance of each px of a final map, which is exported as classes are.

    Parameters
    ----------
    source : Segmentation or FinalMap
        The map. All of a segmentation alone is predicted.

    Attributes
    ----------
    path : Path
        Folder of the segmentation.
    facts : dict of str to object
        Description of the segmentation (JSON).
    class_table : ClassTable
        ``PROVENANCE``.
    labels : ComposedLabels
        Provenance as a label image: k + 1 for value k of ``PROVENANCE``, 0 outside the image.
    """

    def __init__(self, source: Segmentation | FinalMap) -> None:
        self._final = source if isinstance(source, FinalMap) else None
        self._segmentation = source.segmentation if isinstance(source, FinalMap) else source
        self.path: Path = source.path
        self.facts: dict[str, Any] = source.facts
        self.class_table = PROVENANCE
        stored = self._segmentation.labels
        levels = len(stored.levels) if self._final is None else len(self._final.labels.level_shapes)
        self.labels = ComposedLabels(stored, levels, self._read)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self._segmentation.shape

    @property
    def image_path(self) -> str | None:
        """Path of the image, or None if it has none."""
        return self._segmentation.image_path

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image, or None if it has none."""
        return self._segmentation.georeference

    def uncomputed_in(self, region: IntWindow) -> tuple[int, int]:
        """Count the cells of the segmentation that hold no prediction. See ``Segmentation.uncomputed_in``.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        tuple of 2 int
            Number of those cells, and of all that meet the region.
        """
        return self._segmentation.uncomputed_in(region)

    def read(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``, half open. It may reach outside.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Values of ``PROVENANCE``, 0 outside the image.
        """
        predicted = self._segmentation.labels.read(window, level)
        found = (predicted != NOT_COMPUTED).astype(np.uint8)  # PREDICTED
        if self._final is not None:
            for part, values in self._final.parts(window, level):
                by_people = np.where(values == predicted[part], np.uint8(ACCEPTED), np.uint8(CORRECTED))
                by_people[values == NOT_SURE] = UNSURE
                np.copyto(found[part], by_people, where=values != 0)
        return found

    def _read(self, window: IntWindow, level: int) -> NDArray[np.uint8]:
        values = self.read(window, level)
        inside = Window(*window).clip(self.labels.level_shapes[level])
        if not inside.empty:
            values[inside.slices_in(window)] += np.uint8(1)
        return values


def check_provenance_path(out: Path) -> None:
    """Refuse a path whose name selects no raster.

    Parameters
    ----------
    out : Path
        Path of the export.

    Raises
    ------
    OutputError
        The name selects polygons, or nothing.
    """
    try:
        raster = kind_of(out) in RASTERS
    except OutputError:
        raster = False
    if not raster:
        raise OutputError(f"{out}: provenance is written as a raster; end the name in .tif, .png or .ome.zarr.")
