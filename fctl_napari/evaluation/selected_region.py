"""The px of a region that is reviewed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.error_regions import Region
from fctl_napari.evaluation.ground_truth import GroundTruth, scored_classes
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow, Window


@dataclass(frozen=True, eq=False)
class SelectedRegion:
    """Pixels of an error, or of an uncertain region, of a segmentation.

    Attributes
    ----------
    region : Region
        The region as it is listed.
    segmentation : Segmentation
        The segmentation that it belongs to.
    ground_truth : GroundTruth or None
        The ground truth that it was compared with. None for an uncertain region: it consists of the px that are
        connected to its first one, inside its bounding box, and were predicted as the same class.
    """

    region: Region
    segmentation: Segmentation
    ground_truth: GroundTruth | None

    @property
    def window(self) -> IntWindow:
        """Bounding box of the region, (y0, x0, y1, x1) px."""
        return self.region.window

    def mask(self, window: IntWindow) -> NDArray[np.bool_]:
        """Return the px of a window that belong to the region.

        Parameters
        ----------
        window : IntWindow
            Window of the image, (y0, x0, y1, x1) px.

        Returns
        -------
        ndarray of bool [y, x]
            True at px of the region.
        """
        from skimage.segmentation import flood

        y0, x0 = self.window[:2]
        same = self.segmentation.labels.read(self.window) == self.region.predicted + 1
        if self.ground_truth is not None and self.region.ground_truth is not None:
            scored = scored_classes(self.segmentation, self.ground_truth)
            same &= scored[self.ground_truth.read(self.window)] == self.region.ground_truth
        seed = self.region.point[0] - y0, self.region.point[1] - x0
        whole = flood(same, seed, connectivity=1) if same[seed] else np.zeros_like(same)
        grid = np.zeros(Window(*window).shape, bool)
        common = Window(*window).intersect(self.window)
        if not common.empty:
            grid[common.slices_in(window)] = whole[common.slices_in(self.window)]
        return grid
