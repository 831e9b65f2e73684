"""Areas of the classes of a map, in px and on the ground, and its mean confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.ground_areas import EVEN, ground_of
from fctl_napari.evaluation.ground_truth import Comparable
from fctl_napari.imagery.geodesy.areas import pixel_areas
from fctl_napari.progress import Progress


@dataclass(frozen=True)
class ClassAreas:
    """Areas of the classes of a map.

    Attributes
    ----------
    pixels : dict of str to int
        Number of px of each class, by name. Px without a class count nowhere.
    hectares : dict of str to float or None
        Area of each class on the ground: on the plane of a projected CRS, on the ellipsoid of a geographic one. None
        without georeference, in another CRS, and without rasterio.
    confidence : float or None
        Mean confidence of the px that have a class by the network, 0..1. None if there are none.
    """

    pixels: dict[str, int]
    hectares: dict[str, float] | None
    confidence: float | None

    @property
    def total(self) -> int:
        """Number of px that have a class."""
        return sum(self.pixels.values())

    @property
    def even_hectares(self) -> float | None:
        """Hectares of all classes. None where px of one are larger than of another, and shares of px not of area."""
        if self.hectares is None:
            return None
        sizes = [self.hectares[name] / px for name, px in self.pixels.items() if px]
        return sum(self.hectares.values()) if sizes and max(sizes) <= (1 + EVEN) * min(sizes) else None


def class_areas(source: Comparable, *, progress: Progress | None = None) -> ClassAreas:
    """Measure the classes of a segmentation or a final map, block by block.

    Parameters
    ----------
    source : Comparable
        An opened store, or a final map.
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
    names = source.class_table.names
    ground = ground_of(source.georeference)
    counts, square_metres, sure, by_network = np.zeros(256, np.int64), np.zeros(256), 0, 0
    for block in iter_blocks((0, 0, *source.shape), source.labels.chunk, progress=progress):
        labels = source.labels.read(block)
        counts += np.bincount(labels.ravel(), minlength=256)
        confidence = source.confidence.read(block)[labels > 0]
        sure += int(confidence.sum(dtype=np.int64))
        by_network += int(np.count_nonzero(confidence))
        areas = None if ground is None else pixel_areas(ground, block)
        if areas is None:
            ground = None
        else:
            weights = np.broadcast_to(areas, labels.shape).ravel()
            square_metres += np.bincount(labels.ravel(), weights, minlength=256)
    return ClassAreas(
        {name: int(counts[value]) for value, name in enumerate(names, 1)},
        None if ground is None else {name: float(square_metres[v]) / 1e4 for v, name in enumerate(names, 1)},
        sure / by_network / 255 if by_network else None,
    )
