"""Connected regions of equal value, found block by block: only the borders of a row of blocks are kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from fctl_napari.windows import IntWindow

REGION = np.dtype(
    [
        ("value", "i4"),
        ("pixels", "i8"),
        ("weight", "i8"),
        ("first", "i8"),
        ("y0", "i4"),
        ("x0", "i4"),
        ("y1", "i4"),
        ("x1", "i4"),
    ]
)
"""Record of a region: its value, its number of pixels, the sum of their weights, its first pixel in reading order as
y * width + x, and its bounding box, px."""

SPARE = 100_000
"""Number of regions beyond those asked for that are kept before the smallest are thrown away."""


class RegionFinder:
    """Finder of 4-connected regions of equal value in blocks that come row by row.

    Parameters
    ----------
    window : IntWindow
        Window that the blocks partition, (y0, x0, y1, x1) px.
    width : int
        Width of the image, px.
    smallest : int
        Regions of fewer pixels are only counted.
    most : int
        Number of the largest regions to keep; the others are only counted.
    worth : callable or None, optional
        Function that measures the size of regions, from ndarray [n] of ``REGION`` to float64 [n]. None measures the
        number of pixels.

    Attributes
    ----------
    found : int
        Number of regions of ``smallest`` pixels or more.
    small : int
        Number of regions of fewer pixels.
    pixels : int
        Number of pixels of all regions.

    Notes
    -----
    A region that touches no border of its block is finished at once. The others are joined over the borders when
    their row of blocks is complete. Those that then do not touch the last row of pixels are finished too.
    """

    def __init__(
        self,
        window: IntWindow,
        width: int,
        *,
        smallest: int,
        most: int,
        worth: Callable[[NDArray[np.void]], NDArray[np.number]] | None = None,
    ) -> None:
        self._worth = worth or (lambda regions: regions["pixels"])
        self.found = self.small = self.pixels = 0
        self._window, self._width = window, width
        self._smallest, self._most = smallest, most
        self._kept = np.empty(0, REGION)
        across = window[3] - window[1]
        # Values and numbers of open regions in the last row of pixels above this row of blocks, and in its last one.
        self._above_value = np.zeros(across, np.int32)
        self._above = np.zeros(across, np.intp)
        self._below_value, self._below = self._above_value.copy(), self._above.copy()
        # The same in the last column of the block before.
        self._left_value, self._left = np.empty(0, np.int32), np.empty(0, np.intp)
        self._start_row(np.empty(0, REGION))

    def _start_row(self, open_regions: NDArray[np.void]) -> None:
        """Start a row of blocks with the regions that are still open."""
        self._open = [open_regions]
        self._count = len(open_regions)
        self._joints: list[NDArray[np.intp]] = [np.empty((2, 0), np.intp)]

    def add(self, block: IntWindow, values: NDArray[np.integer], weights: NDArray[np.uint8]) -> None:
        """Find the regions of the next block.

        Parameters
        ----------
        block : IntWindow
            Window of the block, (y0, x0, y1, x1) px.
        values : ndarray of integer [h, w]
            Values of the pixels; 0 belongs to no region.
        weights : ndarray of uint8 [h, w]
            Weights of the pixels, summed over each region.
        """
        labels = label(values, background=0, connectivity=1)
        regions = _measure(labels, values, weights, block, self._width)
        border = np.zeros(len(regions) + 1, bool)
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            border[edge] = True
        border = border[1:]
        self._finish(regions[~border])
        count = int(np.count_nonzero(border))
        number = np.zeros(len(regions) + 1, np.intp)
        number[1:][border] = self._count + np.arange(count)
        self._open.append(regions[border])
        self._count += count

        start, stop = block[1] - self._window[1], block[3] - self._window[1]
        self._join(self._above_value[start:stop], self._above[start:stop], values[0], number[labels[0]])
        if start > 0:
            self._join(self._left_value, self._left, values[:, 0], number[labels[:, 0]])
        self._left_value, self._left = values[:, -1].astype(np.int32), number[labels[:, -1]]
        self._below_value[start:stop], self._below[start:stop] = values[-1], number[labels[-1]]
        if block[3] == self._window[3]:
            self._end_row()

    def _join(
        self,
        values: NDArray[np.integer],
        regions: NDArray[np.intp],
        next_values: NDArray[np.integer],
        next_regions: NDArray[np.intp],
    ) -> None:
        """Note the pairs of regions on both sides of a border that are one."""
        same = (values == next_values) & (values != 0)
        pairs = np.stack([regions[same], next_regions[same]])
        kept = np.ones(pairs.shape[1], bool)
        kept[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(0)
        self._joints.append(pairs[:, kept])

    def _end_row(self) -> None:
        """Join the regions of a row of blocks and finish those that end in it."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        regions = np.concatenate(self._open)
        first, second = np.concatenate(self._joints, axis=1)
        graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(self._count, self._count))
        count, whole = connected_components(graph, directed=False)
        merged = _merge(regions, whole, count)
        going_on = np.zeros(count, bool)
        touched = self._below_value != 0
        going_on[whole[self._below[touched]]] = True
        self._finish(merged[~going_on])
        number = np.zeros(count, np.intp)
        number[going_on] = np.arange(np.count_nonzero(going_on))
        self._above_value = self._below_value.copy()
        self._above = np.zeros_like(self._below)
        self._above[touched] = number[whole[self._below[touched]]]
        self._start_row(merged[going_on])

    def _finish(self, regions: NDArray[np.void]) -> None:
        """Count finished regions and keep the large ones."""
        large = regions["pixels"] >= self._smallest
        count = int(np.count_nonzero(large))
        self.found += count
        self.small += len(regions) - count
        self.pixels += int(regions["pixels"].sum())
        if count:
            self._kept = np.concatenate([self._kept, regions[large]])
            if len(self._kept) > self._most + SPARE:
                self._kept = self._largest()

    def _largest(self) -> NDArray[np.void]:
        """Return the ``most`` largest of the kept regions, the largest first."""
        order = np.lexsort((self._kept["first"], -self._worth(self._kept)))
        return self._kept[order[: self._most]]

    def finish(self) -> NDArray[np.void]:
        """Finish after the last block and return the largest regions, [n] of ``REGION``, the largest first."""
        self._finish(np.concatenate(self._open))
        self._start_row(np.empty(0, REGION))
        return self._largest()


def _measure(
    labels: NDArray[np.integer],
    values: NDArray[np.integer],
    weights: NDArray[np.uint8],
    block: IntWindow,
    width: int,
) -> NDArray[np.void]:
    """Measure the regions of one block.

    Region k has label k + 1.
    """
    across = labels.shape[1]
    inside = np.flatnonzero(labels)
    region = labels.ravel()[inside] - 1
    count = int(region.max(initial=-1)) + 1
    first, last = np.empty(count, np.intp), np.empty(count, np.intp)
    last[region] = inside  # of several pixels of a region, the last one stays
    first[region[::-1]] = inside[::-1]
    left, right = np.full(count, across, np.intp), np.zeros(count, np.intp)
    columns = inside % across
    np.minimum.at(left, region, columns)
    np.maximum.at(right, region, columns)
    found = np.empty(count, REGION)
    found["value"] = values.ravel()[first]
    found["pixels"] = np.bincount(region, minlength=count)
    found["weight"] = np.bincount(region, weights.ravel()[inside], count)
    found["first"] = (first // across + block[0]) * width + first % across + block[1]
    found["y0"], found["y1"] = first // across + block[0], last // across + block[0] + 1
    found["x0"], found["x1"] = left + block[1], right + block[1] + 1
    return found


def _merge(regions: NDArray[np.void], whole: NDArray[np.integer], count: int) -> NDArray[np.void]:
    """Merge the parts of each region."""
    merged = np.zeros(count, REGION)
    merged["value"][whole] = regions["value"]
    for field in ("pixels", "weight"):
        np.add.at(merged[field], whole, regions[field])
    for field in ("first", "y0", "x0"):
        merged[field] = np.iinfo(REGION[field]).max
        np.minimum.at(merged[field], whole, regions[field])
    for field in ("y1", "x1"):
        np.maximum.at(merged[field], whole, regions[field])
    return merged
