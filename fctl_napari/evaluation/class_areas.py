"""Areas of the classes of a segmentation, in px and on the ground, and its mean confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fctl_napari.errors import InputError
from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.imagery.geodesy import Ground
from fctl_napari.imagery.georeference import Georeference, has_rasterio
from fctl_napari.progress import Progress
from fctl_napari.segmentation.store.store import Segmentation


@dataclass(frozen=True)
class ClassAreas:
    """Areas of the classes of a segmentation.

    Attributes
    ----------
    pixels : dict of str to int
        Number of px of each class, by name. Px without a class count nowhere.
    hectares : dict of str to float or None
        Area of each class on the ground: on the plane of a projected CRS, on the ellipsoid of a geographic one. None
        without georeference, in another CRS, and without rasterio.
    confidence : float or None
        Mean confidence of the px that have a class, 0..1. None if there are none.
    """

    pixels: dict[str, int]
    hectares: dict[str, float] | None
    confidence: float | None

    @property
    def total(self) -> int:
        """Number of px that have a class."""
        return sum(self.pixels.values())


def class_areas(segmentation: Segmentation, *, progress: Progress | None = None) -> ClassAreas:
    """Measure the classes of a segmentation, block by block.

    Parameters
    ----------
    segmentation : Segmentation
        The segmentation.
    progress : Progress or None, optional
        Called as ``progress(done, total)`` with counts of blocks.

    Returns
    -------
    ClassAreas
        Areas and mean confidence.

    Raises
    ------
    InputError
        The segmentation is damaged.
    Cancelled
        ``progress`` raised it.
    """
    names = segmentation.class_table.names
    ground = _ground(segmentation.georeference)
    counts, square_metres, sure = np.zeros(256, np.int64), np.zeros(256), 0
    for block in iter_blocks((0, 0, *segmentation.shape), segmentation.labels.chunk, progress=progress):
        labels = segmentation.labels.read(block)
        counts += np.bincount(labels.ravel(), minlength=256)
        sure += int(segmentation.confidence.read(block)[labels > 0].sum(dtype=np.int64))
        areas = None if ground is None else ground.pixel_areas(block)
        if areas is None:
            ground = None
        else:
            weights = np.broadcast_to(areas, labels.shape).ravel()
            square_metres += np.bincount(labels.ravel(), weights, minlength=256)
    total = int(counts[1 : len(names) + 1].sum())
    return ClassAreas(
        {name: int(counts[value]) for value, name in enumerate(names, 1)},
        None if ground is None else {name: float(square_metres[v]) / 1e4 for v, name in enumerate(names, 1)},
        sure / total / 255 if total else None,
    )


def _ground(georeference: Georeference | None) -> Ground | None:
    if georeference is None or not has_rasterio():
        return None
    try:
        return Ground(georeference)
    except InputError:
        return None  # a CRS that PROJ does not know
