"""A simulated annotator: strokes along the errors of a map, and strokes of wrong classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.graph import route_through_array
from skimage.measure import label, regionprops

from fctl_napari.model.classes import IGNORE
from fctl_napari.windows import IntWindow

BRUSH = 8
"""Radius of the annotator's brush, px."""

LARGEST = 80
"""Number of the largest errors among which the annotator chooses."""

LENGTH = 300
"""Longest stroke, px."""


def strokes(
    ground_truth: NDArray[np.uint8], predicted: NDArray[np.uint8], counted: NDArray[np.bool_], count: int, seed: int
) -> tuple[NDArray[np.uint8], list[IntWindow]]:
    """Draw strokes along large errors. With a larger count more follow on the same first ones.

    Returned are the corrections (k + 1) and the strokes' boxes.
    """
    rng = np.random.default_rng([seed, 77])
    wrong = counted & (ground_truth != IGNORE) & (predicted != IGNORE) & (ground_truth != predicted)
    errors = label(np.where(wrong, ground_truth + 1, 0), background=0, connectivity=1)
    regions = sorted(regionprops(errors), key=lambda r: -r.area)[:LARGEST]
    # exponential variates over the areas: drawn without replacement, larger ones sooner
    chosen = np.argsort(rng.exponential(size=len(regions)) / [r.area for r in regions])[:count]
    corrections, boxes = np.zeros_like(ground_truth), []
    for region in (regions[i] for i in chosen):
        y0, x0 = region.bbox[:2]
        depth = distance_transform_edt(np.pad(region.image, 1))[1:-1, 1:-1]
        start = np.unravel_index(depth.argmax(), depth.shape)
        points = np.argwhere(depth >= max(depth.max() / 3, 1))
        end = points[np.abs(points - start).sum(1).argmax()]
        cost = np.where(region.image, 1 + 4 / np.maximum(depth, 1), 1e6)
        path, _ = route_through_array(cost, start, end)
        k = ground_truth[y0 + start[0], x0 + start[1]]
        painted = []
        for y, x in path[:LENGTH]:
            y, x = y + y0, x + x0
            top, left = max(y - BRUSH, 0), max(x - BRUSH, 0)
            rows, columns = np.ogrid[
                top : min(y + BRUSH + 1, ground_truth.shape[0]), left : min(x + BRUSH + 1, ground_truth.shape[1])
            ]
            disc = (rows - y) ** 2 + (columns - x) ** 2 <= BRUSH**2
            location = slice(top, top + disc.shape[0]), slice(left, left + disc.shape[1])
            corrections[location][disc & (ground_truth[location] == k) & counted[location]] = k + 1
            painted.append((y, x))
        ys, xs = np.array(painted).T
        boxes.append((int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1))
    return corrections, boxes


def mislabel(corrections: NDArray[np.uint8], share: float, classes: int, seed: int) -> None:
    """Give a share of the strokes another class than the ground truth's, in place."""
    rng = np.random.default_rng([seed, 5])
    strokes = label(corrections, background=0)
    for number in range(1, strokes.max() + 1):
        if rng.random() < share:
            stroke = strokes == number
            own = int(corrections[stroke][0])
            corrections[stroke] = rng.choice([value for value in range(1, classes + 1) if value != own])
