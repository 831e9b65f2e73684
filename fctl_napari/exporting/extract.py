"""Source of an export: a segmentation or a part of it, read strip by strip as class indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.readable import ReadableLabels
from fctl_napari.model.classes import IGNORE, NOT_SURE, ClassTable, shown_classes
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow, Window, require_region


class Exportable(Protocol):
    """Classes of an image's pixels: a ``Segmentation``, corrections, or what is composed of both.

    Attributes
    ----------
    path : Path
        Folder of the store.
    class_table : ClassTable
        The classes.
    facts : dict of str to object
        Description of the store (JSON).
    """

    path: Path
    class_table: ClassTable
    facts: dict[str, Any]

    @property
    def labels(self) -> ReadableLabels:
        """Classes: 0 = none, k + 1 = class k. In corrections 255 is not sure."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""

    @property
    def image_path(self) -> str | None:
        """Path of the image, or None if it has none."""

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image, or None if it has none."""

    def uncomputed_in(self, region: IntWindow) -> tuple[int, int]:
        """Count the cells that are not computed.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        tuple of 2 int
            Number of those cells, and of all that meet the region.
        """


@dataclass(frozen=True)
class Extract:
    """Window of a segmentation, or of another store of classes.

    Attributes
    ----------
    segmentation : Exportable
        The segmentation, opened.
    window : Window
        (y0, x0, y1, x1) px, inside the image.
    """

    segmentation: Exportable
    window: Window

    @classmethod
    def of(cls, segmentation: Exportable, region: IntWindow | None) -> Extract:
        """Take a region, cut to the image, or the whole.

        Parameters
        ----------
        segmentation : Exportable
            The segmentation, opened.
        region : IntWindow or None
            (y0, x0, y1, x1) px. None means the whole image.

        Returns
        -------
        Extract
            The extract.

        Raises
        ------
        InputError
            The region holds no pixel of the image.
        """
        return cls(segmentation, require_region(region, segmentation.shape, segmentation.path))

    @cached_property
    def class_table(self) -> ClassTable:
        """The classes, in the colors in which they are shown."""
        return shown_classes(self.segmentation.class_table)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.window.shape

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the window's own pixels, or None if the image has none."""
        whole = self.segmentation.georeference
        if whole is None:
            return None
        a, b, c, d, e, f = whole.transform
        y0, x0 = self.window[:2]
        return Georeference(whole.crs, (a, b, a * x0 + b * y0 + c, d, e, d * x0 + e * y0 + f))

    def strips(self, rows: int, progress: Progress | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Read class indices strip by strip, from the top.

        Parameters
        ----------
        rows : int
            Rows of a strip; the last one may have fewer. Whole chunks are read: memory holds these too.
        progress : callable, optional
            Called as ``progress(done, total)`` with counts of rows, after each strip was taken.

        Yields
        ------
        top : int
            First row of the strip in the image.
        strip : ndarray of uint8 [rows, columns]
            Class indices, 255 where there is no class.
        """
        y0, x0, y1, x1 = self.window
        chunk = self.segmentation.labels.chunk
        step = max(chunk, rows // chunk * chunk)
        top = read = y0
        kept = np.empty((0, x1 - x0), np.uint8)
        while top < y1:
            while len(kept) < rows and read < y1:
                end = min((read // step + 1) * step, y1)
                # 0 (not computed) wraps to 255, k + 1 becomes k. Corrections may be "not sure".
                block = self.segmentation.labels.read((read, x0, end, x1)) - np.uint8(1)
                block[block == NOT_SURE - 1] = IGNORE
                kept, read = np.concatenate([kept, block]) if len(kept) else block, end
            yield top, kept[:rows]
            top, kept = min(top + rows, y1), kept[rows:]
            if progress is not None:
                progress(top - y0, y1 - y0)
