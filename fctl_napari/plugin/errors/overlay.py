"""Overlay of errors as a lazy multiscale labels layer: only the part in view is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from fctl_napari.evaluation.error_types import Kinds
from fctl_napari.exceptions import InputError
from fctl_napari.imagery.labels.class_mapping import MappedGroundTruth
from fctl_napari.model.classes import IGNORE
from fctl_napari.plugin.layers.computed_level import ComputedLevel
from fctl_napari.plugin.layers.image_source import OVERLAY_KEY
from fctl_napari.plugin.layers.segmentation_layers import above
from fctl_napari.plugin.layers.styles import class_style
from fctl_napari.plugin.layers.transforms import placed_like


class ErrorLevels:
    """Levels of an overlay.

    Their contents can be changed at any time; the layer needs a refresh after it.

    Opening reads the coarsest levels: do it off the main thread.

    Parameters
    ----------
    predicted : sequence of object
        Levels of the segmentation, the finest first, each every second px of the one before: 0 = not computed,
        k + 1 = class k.
    ground_truth : MappedGroundTruth or None
        Ground truth of the same size; None if there is none.
    second : sequence of object or None
        Levels of a segmentation that is compared with it, or None.
    kinds : Kinds
        Function that computes what is shown.
    second_classes : sequence of int, optional
        Class index of the first segmentation for each class of the second.

    Attributes
    ----------
    coarse : ndarray of uint8 [h, w]
        Coarsest level, in memory.
    levels : list
        All levels, the finest first; the last is ``coarse``.

    Raises
    ------
    InputError
        The sizes differ, or the ground truth is damaged.

    Notes
    -----
    The coarsest level is an array in memory, as napari reads that only once; :meth:`follow` synchronizes it.
    """

    def __init__(
        self,
        predicted: Sequence[Any],
        ground_truth: MappedGroundTruth | None,
        second: Sequence[Any] | None,
        kinds: Kinds,
        *,
        second_classes: Sequence[int] = (),
    ) -> None:
        height, width = predicted[0].shape
        for what, shape in (
            ("the ground truth", ground_truth.shape if ground_truth is not None else None),
            ("the segmentation to compare with", second[0].shape if second is not None else None),
        ):
            if shape is not None and tuple(shape) != (height, width):
                raise InputError(
                    f"{what} is {shape[0]} x {shape[1]} px (height x width) and the segmentation {height} x {width}; "
                    "give one of the same image."
                )
        self._predicted = list(predicted)
        self._ground_truth = ground_truth
        self._second = None if second is None else list(second)
        self._second_index = np.full(256, IGNORE, np.uint8)  # by label value; 0 is not computed
        self._second_index[1 : len(second_classes) + 1] = second_classes
        self._kinds = kinds
        whole = (slice(0, predicted[-1].shape[0]), slice(0, predicted[-1].shape[1]))
        self._coarse_ground_truth = self._read_ground_truth(len(predicted) - 1, *whole)
        self._seen = self._read_coarse()
        self.coarse: np.ndarray = self._compute_coarse()
        levels = [
            ComputedLevel(self._reader(index), level.shape, getattr(level, "chunks", None))
            for index, level in enumerate(self._predicted[:-1])
        ]
        self.levels: list[Any] = [*levels, self.coarse]

    @property
    def data(self) -> Any:
        """Data of a layer: the levels, or the array if there is only one."""
        return self.levels if len(self.levels) > 1 else self.coarse

    def show(self, kinds: Kinds) -> None:
        """Change the contents.

        Parameters
        ----------
        kinds : Kinds
            Function that computes what is shown.
        """
        self._kinds = kinds
        self.coarse[:] = self._compute_coarse()

    def follow(self) -> bool:
        """Take up what is new in the coarsest level of the segmentations.

        Those of a segmentation that grows lie in memory; others do not change.

        Returns
        -------
        bool
            True if there was anything new.
        """
        if not any(isinstance(levels[-1], np.ndarray) for levels in (self._predicted, self._second) if levels):
            return False
        now = self._read_coarse()
        if all(np.array_equal(new, old) for new, old in zip(now, self._seen, strict=True)):
            return False
        self._seen = now
        self.coarse[:] = self._compute_coarse()
        return True

    def _reader(self, level: int) -> Callable[[slice, slice], np.ndarray]:
        """Return a function that computes parts of a level."""

        def read(rows: slice, columns: slice) -> np.ndarray:
            predicted = np.asarray(self._predicted[level][rows, columns])
            second = predicted if self._second is None else np.asarray(self._second[level][rows, columns])
            return self._compute(self._read_ground_truth(level, rows, columns), predicted, second)

        return read

    def _read_ground_truth(self, level: int, rows: slice, columns: slice) -> np.ndarray:
        """Read the ground truth of a part of a level."""
        if self._ground_truth is None:
            return np.full((rows.stop - rows.start, columns.stop - columns.start), IGNORE, np.uint8)
        return self._ground_truth.peek(rows, columns, level)

    def _read_coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the coarsest levels of the segmentations."""
        predicted = np.array(self._predicted[-1][:, :])
        return predicted, predicted if self._second is None else np.array(self._second[-1][:, :])

    def _compute_coarse(self) -> np.ndarray:
        """Compute the coarsest level."""
        return self._compute(self._coarse_ground_truth, *self._seen)

    def _compute(self, ground_truth: np.ndarray, predicted: np.ndarray, second: np.ndarray) -> np.ndarray:
        # 0 (not computed) wraps to 255 = none, k + 1 becomes k
        """Compute the kinds of pixels."""
        return self._kinds(ground_truth, predicted - np.uint8(1), self._second_index[second])


def add_overlay(viewer: ViewerModel, mask: Labels, levels: ErrorLevels, name: str, style: dict[str, Any]) -> Labels:
    """Add the overlay over a mask and other masks, placed like it.

    The selection stays.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    mask : Labels
        Layer of the segmentation.
    levels : ErrorLevels
        Levels of the overlay.
    name : str
        Name of the layer.
    style : dict of str to object
        Further arguments of the layer, from :func:`kinds_style`.

    Returns
    -------
    Labels
        The layer, in the viewer.
    """
    layer = Labels(
        levels.data,
        name=name,
        opacity=1.0,
        multiscale=len(levels.levels) > 1,
        metadata={OVERLAY_KEY: True},
        **placed_like(mask),
        **style,
    )
    chosen = set(viewer.layers.selection)
    viewer.layers.insert(above(viewer, mask), layer)
    viewer.layers.selection = chosen
    return layer


def kinds_style(kinds: Sequence[tuple[str, tuple[int, int, int]]]) -> dict[str, Any]:
    """Return the style of an overlay.

    Parameters
    ----------
    kinds : sequence of tuple of (str, tuple of 3 int)
        Names and colors, RGB 0..255, of kinds 1, 2, ...

    Returns
    -------
    dict of str to object
        ``colormap`` and ``features``.
    """
    style = class_style(kinds)
    style["features"] = {"error": style["features"]["class"]}
    return style
