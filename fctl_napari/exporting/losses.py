"""Losses of an export: parts of the classes that polygons leave out, and a position that is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.model.classes import IGNORE


@dataclass
class ExportLosses:
    """Counts of what an export left out, as far as it is written.

    Attributes
    ----------
    min_area : int
        Least area of a region, px; smaller regions were left out.
    small, small_pixels : int
        Number of regions left out, and number of their px.
    simplify : float or None
        Tolerance by which outlines were simplified, px. None if they were not.
    moved : int
        Number of px that have another class in the simplified polygons, or none.
    pixels : int
        Number of px that have a class.
    position : str
        Sentence on the georeference that is missing, or empty.
    beside : int
        Number of px with a class that do not lie on Earth, as beside a full disc.
    uncomputed, tiles : int
        Number of tiles of the segmentation, in the region, that are not computed; and number of all.
    style : str
        Sentence on the style for QGIS that was not written, or empty.
    """

    min_area: int = 0
    small: int = 0
    small_pixels: int = 0
    simplify: float | None = None
    moved: int = 0
    pixels: int = 0
    position: str = ""
    beside: int = 0
    uncomputed: int = 0
    tiles: int = 0
    style: str = ""

    def large_enough(self, pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which regions are kept, by their areas, and count the others.

        Parameters
        ----------
        pixels : ndarray of int64 [n]
            Number of px of each region.

        Returns
        -------
        ndarray of bool [n]
            True for a region that is kept.
        """
        kept: NDArray[np.bool_] = pixels >= self.min_area
        self.small += int(np.count_nonzero(~kept))
        self.small_pixels += int(pixels[~kept].sum())
        return kept

    def count_moved(self, strip: NDArray[np.uint8], polygons: NDArray[Any], classes: NDArray[np.uint8]) -> None:
        """Count the pixels of a strip whose class is another one in simplified polygons.

        Parameters
        ----------
        strip : ndarray of uint8 [rows, columns]
            Class indices of the strip.
        polygons : ndarray of shapely.Polygon [n]
            Simplified polygons, (x, y) px of the strip.
        classes : ndarray of uint8 [n]
            Class indices of the polygons.
        """
        from rasterio.features import rasterize

        self.pixels += int(np.count_nonzero(strip != IGNORE))
        if len(polygons):
            pairs = zip(polygons, classes.tolist(), strict=True)
            burnt = rasterize(pairs, strip.shape, fill=IGNORE, dtype=np.uint8)
            self.moved += int(np.count_nonzero(burnt != strip))

    def sentences(self) -> list[str]:
        """Return sentences for people on what was left out, or an empty list."""
        said = []
        if self.uncomputed:
            said.append(
                f"{self.uncomputed:,} of {self.tiles:,} tiles are not computed yet; their px have no class here"
            )
        if self.beside:
            said.append(
                f"{self.beside:,} px left out that have no longitude and latitude, beside the Earth or at its edge"
            )
        if self.small:
            regions = "region" if self.small == 1 else "regions"
            said.append(
                f"{self.small:,} {regions} of fewer than {self.min_area} px ({self.small_pixels:,} px) left out"
            )
        if self.simplify is not None and self.moved:
            share = self.moved / max(self.pixels, 1)
            said.append(
                f"simplified by {self.simplify:g} px: {self.moved:,} of {self.pixels:,} px ({share:.2%}) lie in "
                "polygons of another class now, or in none; arms and gaps narrower than that may have vanished"
            )
        if self.position:
            said.append(self.position)
        if self.style:
            said.append(self.style)
        return said
