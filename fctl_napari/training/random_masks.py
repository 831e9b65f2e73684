"""Masks for training a refiner: those of a segmentation, or the ground truth with rough outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fctl_napari.datasets.data_pixels import DataPixels
from fctl_napari.datasets.scene_ground_truth import SceneGroundTruth
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.level import read_padded
from fctl_napari.model.classes import IGNORE, ClassTable
from fctl_napari.segmentation.inference.image_with_mask import Masks, masks_of
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.training.recipes import ROUGHENED
from fctl_napari.windows import IntWindow

NODES = (4, 8, 16, 32)
"""Spacings of the nodes whose shifts are drawn, px. Between nodes, shifts are interpolated."""

SHIFT = 6.0
"""Largest standard deviation of a shift along each axis, px. The one that is used is drawn for each read."""


def open_masks(
    masks: str,
    folder: Path,
    name: str,
    ground_truth: NDArray[np.uint8] | SceneGroundTruth | DataPixels,
    table: ClassTable,
) -> Masks:
    """Open the masks of a scene.

    Parameters
    ----------
    masks : str
        Source of the masks, as in ``DataSettings``: ``"roughened"`` or a folder of segmentations.
    folder : Path
        Folder that a relative path of ``masks`` starts from.
    name : str
        File name of the image.
    ground_truth : ndarray of uint8 [H, W], SceneGroundTruth or DataPixels
        Class indices.
    table : ClassTable
        The class table.

    Returns
    -------
    Masks
        The masks, read by windows.

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
    """Ground truth with outlines that are roughened at random.

    Each window is roughened differently. The same window always reads the same.

    Parameters
    ----------
    ground_truth : ndarray of uint8 [H, W], SceneGroundTruth or DataPixels
        Class indices. Pixels of the value ``IGNORE`` take the class of the nearest labelled pixel of the window.
    """

    def __init__(self, ground_truth: NDArray[np.uint8] | SceneGroundTruth | DataPixels) -> None:
        self._ground_truth = ground_truth

    def read(self, window: IntWindow, /) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            Window in level 0 px, (y0, x0, y1, x1), half open.

        Returns
        -------
        ndarray of uint8 [y, x]
            Value k + 1 for class k, and 0 everywhere where the window has no ground truth at all.
        """
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
    """Displace the source of every pixel by a smooth random field.

    Outlines wander, thin structures break and small ones vanish.

    Parameters
    ----------
    labels : ndarray of uint8 [y, x]
        Labels.
    rng : random.Generator
        Random generator. It also draws the strength of the displacement, from none to ``SHIFT``, and the wavelength of
        its wiggles, 4 to 32 px.

    Returns
    -------
    ndarray of uint8 [y, x]
        The displaced labels.
    """
    positions = np.indices(labels.shape)
    for nodes in rng.choice(NODES, 2, replace=False):
        shifts = rng.normal(0, rng.uniform(0, SHIFT), (2, *(size // nodes + 3 for size in labels.shape)))
        moved = positions + [ndimage.map_coordinates(shift, positions / nodes, order=1) for shift in shifts]
        y, x = (np.clip(np.rint(axis), 0, size - 1).astype(int) for axis, size in zip(moved, labels.shape, strict=True))
        labels = labels[y, x]
    return labels
