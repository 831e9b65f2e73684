"""Masks to learn refinement from: the network's own, or the truth with a rough outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.errors import InputError
from fctl_napari.imagery.level import read_padded
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.segmentation.inference.image_with_mask import Masks, masks_of
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.windows import IntWindow

ROUGHENED = "roughened"

NODES = (4, 8, 16, 32)
"""How far apart the places are, px, whose shifts are drawn; between them a shift is interpolated."""

SHIFT = 6.0
"""Spread of a shift along each axis, px, at most; it is drawn for each read."""


def open_masks(
    masks: str, folder: Path, name: str, ground_truth: SceneGroundTruth | NDArray[np.uint8], table: ClassTable
) -> Masks:
    """Open the masks of a scene.

    Parameters
    ----------
    masks
        As in ``DataSettings``.
    folder
        Where a relative path starts.
    name
        The image's file name.
    ground_truth
        Class indices, uint8 [H, W].
    table
        The classes.

    Raises
    ------
    InputError
        There is no segmentation of this image, or it is not complete, of another size or of other classes.
    """
    if masks == ROUGHENED:
        return RoughGroundTruth(ground_truth)
    path = folder / masks / f"{Path(name).stem}.ome.zarr"
    segmentation = Segmentation.open(path)
    found = masks_of(segmentation.labels, segmentation.class_table.names, table.names)
    if segmentation.shape != ground_truth.shape[:2] or found is None:
        raise InputError(f"{path}: is not of this image and its classes; segment {name} again.")
    if not segmentation.done().all():
        raise InputError(f"{path}: is not complete; run `fctl segment` to its end.")
    return found


class RoughGroundTruth:
    """A truth whose outline is rough, in another way for each window; the same window reads the same.

    Parameters
    ----------
    ground_truth
        Class indices, uint8 [H, W]; ``IGNORE`` takes the class of the nearest labelled px.
    """

    def __init__(self, ground_truth: SceneGroundTruth | NDArray[np.uint8]) -> None:
        self._ground_truth = ground_truth

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window, px: uint8 [y, x], k + 1 for class k; 0 where there is no truth at all."""
        ground_truth = read_padded(lambda y, x: self._ground_truth[y, x], self._ground_truth.shape, window, fill=IGNORE)
        known = ground_truth != IGNORE
        if not known.any():
            return np.zeros_like(ground_truth)
        if not known.all():
            ground_truth = ground_truth[
                tuple(ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True))
            ]
        return roughen(ground_truth, np.random.default_rng([value & 0xFFFFFFFF for value in window])) + np.uint8(1)


def roughen(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Shift every px's source at random, smoothly: outlines wander, thin things break, small ones vanish.

    Parameters
    ----------
    labels
        [y, x].
    rng
        Draws how rough it gets: from not at all to ``SHIFT``, wiggles of 4 to 32 px.
    """
    positions = np.indices(labels.shape)
    for nodes in rng.choice(NODES, 2, replace=False):
        shifts = rng.normal(0, rng.uniform(0, SHIFT), (2, *(size // nodes + 3 for size in labels.shape)))
        moved = positions + [ndimage.map_coordinates(shift, positions / nodes, order=1) for shift in shifts]
        y, x = (np.clip(np.rint(axis), 0, size - 1).astype(int) for axis, size in zip(moved, labels.shape, strict=True))
        labels = labels[y, x]
    return labels
