"""Ground truths that public functions take: files, arrays, and other maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import SkipValidation

from fctl_napari.api.arrays import pyramid_of
from fctl_napari.api.image import Image
from fctl_napari.api.maps import Map
from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.final_map import FinalMap
from fctl_napari.evaluation.ground_truth import Comparable, GroundTruth, SegmentationAsGroundTruth
from fctl_napari.evaluation.open_ground_truth import open_ground_truth_of
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.level import read_padded
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.model.classes import IGNORE
from fctl_napari.windows import IntWindow

GroundTruthLike = Annotated[Map | Corrections | Path | str | Any, SkipValidation]
"""A file or folder, another map of the same image, its corrections, or class indices [y, x] of NumPy, dask, xarray."""


class ArrayAsGroundTruth:
    """Class indices in an array, read like a ground truth.

    Parameters
    ----------
    pyramid : Pyramid
        The array as an image.

    Attributes
    ----------
    class_names : None
        The names of its classes are not known: they count by their numbers.

    Raises
    ------
    InputError
        It has several bands, or values that are no whole numbers.
    """

    class_names: tuple[str, ...] | None = None

    def __init__(self, pyramid: Pyramid) -> None:
        if pyramid.channels != 1 or pyramid.dtype.kind not in "bui":
            raise InputError(
                f"{pyramid.name}: has {pyramid.channels} x {pyramid.dtype}, and a ground truth is class indices [y, x] "
                "of whole numbers; convert it."
            )
        self._pyramid = pyramid

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self._pyramid.shape

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read the class indices of a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1) px; may reach outside the image.

        Returns
        -------
        ndarray of uint8 [h, w]
            Class indices; 255 where there is no class, and outside.

        Raises
        ------
        InputError
            A value is less than 0 or greater than 255.
        """

        def read(rows: slice, columns: slice) -> NDArray[np.uint8]:
            part = (rows.start, columns.start, rows.stop, columns.stop)
            values = self._pyramid.read_native(part)[..., 0]
            if values.min() < 0 or values.max() > IGNORE:
                raise InputError(
                    f"{self._pyramid.name}: holds values from {values.min()} to {values.max()}; give class indices "
                    f"from 0, and {IGNORE} where there is none."
                )
            valid = self._pyramid.read_valid(part)
            return np.where(valid, values, IGNORE).astype(np.uint8)

        return read_padded(read, self.shape, window, fill=IGNORE)


def ground_truth_of(
    source: Comparable, ground_truth: GroundTruthLike, mapping: Path | str | None
) -> tuple[GroundTruth, list[str]]:
    """Open the ground truth of a map.

    Parameters
    ----------
    source : Comparable
        The map on disk.
    ground_truth : Map, Corrections, Path, str or array_like
        Ground truth.
    mapping : Path, str or None
        File that says the class of each value of a file.

    Returns
    -------
    ground_truth : GroundTruth
        The ground truth, opened.
    notes : list of str
        Sentences on its classes.

    Raises
    ------
    InputError
        It is missing, damaged, of another size or of other classes, no ground truth, or the map itself.
    """
    if ground_truth is None:
        raise InputError("There is no ground truth; give a file, an array, or another map of the same image.")
    if isinstance(ground_truth, Corrections):
        ground_truth = ground_truth.path
    if _is_itself(source, ground_truth):
        raise InputError(f"{source.path}: is the map itself; give a ground truth, or another map, to compare it with.")
    if isinstance(ground_truth, Image) and ground_truth.path is not None:
        ground_truth = Path(ground_truth.path)
    if isinstance(ground_truth, Path | str):
        return open_ground_truth_of(source, Path(ground_truth), None if mapping is None else Path(mapping))
    if mapping is not None:
        raise InputError(f"{mapping}: maps the values of a file; give the ground truth as a file, or map it before.")
    if isinstance(ground_truth, Map):
        return SegmentationAsGroundTruth(ground_truth.source, source), []
    pyramid = ground_truth.pyramid if isinstance(ground_truth, Image) else pyramid_of(ground_truth, "the ground truth")
    return ArrayAsGroundTruth(pyramid), []


def _is_itself(source: Comparable, ground_truth: GroundTruthLike) -> bool:
    """Return whether a ground truth is the map that is compared with it, with the same corrections."""
    own = source.corrections.path if isinstance(source, FinalMap) else None
    if isinstance(ground_truth, Map):
        other = ground_truth.source
        corrections = other.corrections.path if isinstance(other, FinalMap) else None
        return (other.path.resolve(), corrections) == (source.path.resolve(), own)
    if isinstance(ground_truth, Path | str):  # a folder is read without its corrections
        return own is None and Path(ground_truth).resolve() == source.path.resolve()
    return False
