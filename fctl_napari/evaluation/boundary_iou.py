"""Boundary IoU (Cheng et al., CVPR 2021) of all classes at once, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fctl_napari.windows import IntWindow, Window

OUTSIDE = 254
"""Value of pixels outside the image among class indices (there are at most 250 classes)."""


def boundary_band(classes: NDArray[np.uint8], px: int) -> NDArray[np.bool_]:
    """Find the pixels near the boundary of their own class.

    A pixel is in the band where the square of ``2 px + 1`` around it holds another class, or something outside the
    image. These are the pixels that ``px`` erosions of the class's mask by 3 x 3 take away, as in the authors' code.
    Pixels without a class belong to any class here, so that stray ones make no boundary. One pass serves all classes,
    since a pixel has one.

    Parameters
    ----------
    classes : ndarray of uint8 [h + 2 px, w + 2 px]
        Class indices, ``px`` more on every side than the result. 255 stands for none, ``OUTSIDE`` for outside the
        image.
    px : int
        Width of the band, 1 px or more.

    Returns
    -------
    ndarray of bool [h, w]
        True in the band.
    """
    low, high = classes, classes + np.uint8(1)  # without a class: highest in the one, 0 in the other
    span = 1
    while span < 2 * px + 1:
        step = min(span, 2 * px + 1 - span)
        low, high = np.minimum(low[step:], low[:-step]), np.maximum(high[step:], high[:-step])
        low = np.minimum(low[:, step:], low[:, :-step])
        high = np.maximum(high[:, step:], high[:, :-step])
        span += step
    low += np.uint8(1)
    return low != high


class BoundaryCounter:
    """Counter of the pixels of boundary bands in ground truth and prediction, and of those where both agree.

    Pixels that are not judged (ignored in the ground truth, not computed) are not counted and make no boundary, in
    neither. The image's border is a boundary, as in the authors' code.

    Parameters
    ----------
    classes : int
        Number of classes.
    px : int
        Width of the bands, px.
    region : IntWindow
        Window where pixels are counted, px. The bands are those of the whole image.
    extent : IntWindow
        The region with ``px`` more on every side, cut to the image. The blocks given to :meth:`add` partition it.

    Notes
    -----
    Each block is read once: the last ``2 px`` rows and columns of those before it are kept.
    """

    def __init__(self, classes: int, px: int, region: IntWindow, extent: IntWindow) -> None:
        self.classes = classes
        self.px = px
        self._region = region
        self._blocks = extent
        width = extent[3] - extent[1]
        self._above = np.full((2, 2 * px, width), OUTSIDE, np.uint8)
        self._left = np.empty((2, 0, 2 * px), np.uint8)
        self._counts = np.zeros((3, 256), np.int64)

    def add(self, block: IntWindow, ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count the next block.

        Blocks come row by row.

        Parameters
        ----------
        block : IntWindow
            Window of the block, (y0, x0, y1, x1) px.
        ground_truth, predicted : ndarray of uint8 [h, w]
            Class indices of the block, 255 in both where either is.
        """
        px, (y0, x0, y1, x1) = self.px, block
        start, stop = x0 - self._blocks[1], x1 - self._blocks[1]
        pair = np.concatenate([self._above[:, :, start:stop], np.stack([ground_truth, predicted])], axis=1)
        if start == 0:
            self._left = np.full((2, pair.shape[1], 2 * px), OUTSIDE, np.uint8)
        wide = np.concatenate([self._left, pair], axis=2)
        self._above[:, :, start:stop] = pair[:, -2 * px :]
        self._left = wide[:, :, -2 * px :].copy()
        # Bands are known up to px before the end of the block; past the image's border there is nothing to wait for.
        below = self._region[2] + px - y1 if y1 == self._blocks[2] else 0
        right = self._region[3] + px - x1 if x1 == self._blocks[3] else 0
        if below or right:
            wide = np.pad(wide, ((0, 0), (0, below), (0, right)), constant_values=OUTSIDE)
        whole = (y0 - px, x0 - px, y1 + below - px, x1 + right - px)
        core = Window(*whole).intersect(self._region)
        top, left, bottom, end = (core[k] - whole[k % 2] for k in range(4))
        if top < bottom and left < end:
            self._count(wide[:, top : bottom + 2 * px, left : end + 2 * px])

    def _count(self, wide: NDArray[np.uint8]) -> None:
        """Count the pixels of an area that comes with ``px`` more on every side."""
        px = self.px
        ground_truth, predicted = wide[:, px:-px, px:-px]
        of_ground_truth, of_predicted = boundary_band(wide[0], px), boundary_band(wide[1], px)
        both = of_ground_truth & of_predicted & (ground_truth == predicted)
        for counts, values in zip(
            self._counts, (ground_truth[of_ground_truth], predicted[of_predicted], ground_truth[both]), strict=True
        ):
            counts += np.bincount(values, minlength=256)

    def iou(self) -> NDArray[np.float64]:
        """Return the boundary IoU, float64 [classes], NaN for a class that has no boundary in either."""
        ground_truth, predicted, both = self._counts[:, : self.classes].astype(np.float64)
        union = ground_truth + predicted - both
        return np.divide(both, union, out=np.full(self.classes, np.nan), where=union > 0)
