"""Final map: what a segmentation predicts, and where people decided, what they painted. It is composed when it is read.

Nothing is copied: a window of a level is read from both, and composed. Levels of both are every second px of the level
before, so a coarser level is composed as level 0 is, and is every second px of what is composed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from fctl_napari.correcting.corrections import Corrections
from fctl_napari.correcting.merge import values_by_name
from fctl_napari.exceptions import OtherImageError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.imagery.labels.label_pyramid import LabelPyramid
from fctl_napari.model.classes import NOT_SURE, ClassTable, numbered_classes
from fctl_napari.segmentation.store.identity import contradict, same_image
from fctl_napari.segmentation.store.result_paths import usual_corrections
from fctl_napari.segmentation.store.store import Segmentation
from fctl_napari.segmentation.store.stored_image import stored_image
from fctl_napari.windows import IntWindow

PART = 512
"""Side of the parts of a window that are composed one by one, px: most hold no correction."""

Part = tuple[slice, slice]
"""Rows and columns of a part of a window."""


class ComposedLabels:
    """A label image that is computed when it is read, with the px of a stored one.

    Parameters
    ----------
    stored : LabelPyramid
        Label image whose px and chunks it has.
    levels : int
        Number of levels.
    read : callable
        Function of (window, level) that returns the values, uint8 [y, x].
    """

    def __init__(self, stored: LabelPyramid, levels: int, read: Callable[[IntWindow, int], NDArray[np.uint8]]) -> None:
        self._stored = stored
        self._levels = levels
        self._read = read

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of level 0, px."""
        return self._stored.shape

    @property
    def level_shapes(self) -> list[tuple[int, int]]:
        """(height, width) of each level, px, the finest first."""
        return [(int(level.shape[0]), int(level.shape[1])) for level in self._stored.levels[: self._levels]]

    @property
    def chunk(self) -> int:
        """Side of a chunk of level 0, px, which are cheap to read together."""
        return self._stored.chunk

    @property
    def group(self) -> zarr.Group:
        """Zarr group that states the size and the position of a px."""
        return self._stored.group

    def read(self, window: IntWindow, level: int = 0) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``, half open. It may reach outside.
        level : int, optional
            Index of the level.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Values, 0 outside the image.
        """
        return self._read(window, level)


class FinalMap:
    """A segmentation together with the corrections of its image, read as one.

    Where a person painted a class the px has that class, elsewhere the predicted one. What people marked as not sure
    stays as it is predicted; ``Provenance`` says where that is.

    Parameters
    ----------
    segmentation : Segmentation
        The prediction, opened.
    corrections : Corrections
        Corrections of the same image, opened.

    Attributes
    ----------
    segmentation : Segmentation
        The prediction.
    corrections : Corrections
        The corrections.
    path : Path
        Folder of the segmentation.
    facts : dict of str to object
        Description of the segmentation (JSON).
    class_table : ClassTable
        Classes of the segmentation, then those that only the corrections have, in their order. One of these whose
        color is taken has another one.
    labels : ComposedLabels
        Classes: 0 = neither computed nor painted, k + 1 = class k of ``class_table``.
    confidence : ComposedLabels
        Confidence of the network, as in the segmentation, and 0 where a person decided.

    Raises
    ------
    OtherImageError
        The corrections are of another image.
    InputError
        The classes of both are too many.
    """

    def __init__(self, segmentation: Segmentation, corrections: Corrections) -> None:
        of_another = contradict(corrections.facts["image"], segmentation.facts["image"])
        if of_another or corrections.shape != segmentation.shape:
            image = corrections.facts["image"]
            what = str(image["name"] if image["path"] is None else Path(image["path"]).name)
            raise OtherImageError(
                f"{corrections.path}: holds corrections of another image ({what}) than {segmentation.path}; give those "
                "of its image, or say that they belong to it with `fctl corrections relink`.",
                corrections.path.name,
                what,
            )
        self.segmentation = segmentation
        self.corrections = corrections
        self.path = segmentation.path
        self.facts = segmentation.facts
        self.class_table = _joined(segmentation.class_table, corrections.class_table)
        self._values = values_by_name(corrections.class_table.names, self.class_table)
        levels = min(len(segmentation.labels.levels), len(corrections.labels.levels))
        self.labels = ComposedLabels(segmentation.labels, levels, self._read)
        self.confidence = ComposedLabels(segmentation.labels, levels, self._read_confidence)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.segmentation.shape

    @property
    def predicted_classes(self) -> ClassTable:
        """Classes of the segmentation, by whose numbers and colors a mask without names counts."""
        return self.segmentation.class_table

    @property
    def image_path(self) -> str | None:
        """Path of the image, or None if it has none."""
        return self.segmentation.image_path

    @property
    def georeference(self) -> Georeference | None:
        """Georeference of the image, or None if it has none."""
        return self.segmentation.georeference

    def inherited_in(self, region: IntWindow) -> int:
        """Count the cells of the segmentation that hold a parent's predictions. See ``Segmentation.inherited_in``.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        int
            Number of cells.
        """
        return self.segmentation.inherited_in(region)

    def uncomputed_in(self, region: IntWindow) -> tuple[int, int]:
        """Count the cells of the segmentation that hold no prediction. See ``Segmentation.uncomputed_in``.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        tuple of 2 int
            Number of those cells, and of all that meet the region.
        """
        return self.segmentation.uncomputed_in(region)

    def counts(self) -> dict[str, int]:
        """Count what people painted in all of the image. No pixels are read for it.

        Returns
        -------
        dict of str to int
            ``"corrected"``: number of px that have a class by a person, be it the predicted one or not. ``"not sure"``:
            number of those marked so.
        """
        areas = self.corrections.area_by_class()
        not_sure = areas.pop("not sure")
        return {"corrected": sum(areas.values()), "not sure": not_sure}

    def parts(self, window: IntWindow, level: int = 0) -> Iterator[tuple[Part, NDArray[np.uint8]]]:
        """Yield the parts of a window where people painted.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of ``level``, half open. It may reach outside.
        level : int, optional
            Index of the level.

        Yields
        ------
        part : Part
            Rows and columns in an array of the window.
        values : ndarray of uint8 [y, x]
            0 = nothing, k + 1 = class k of ``class_table``, 255 = not sure.
        """
        drawn = self.corrections.read(window, level)
        for top in range(0, drawn.shape[0], PART):
            for left in range(0, drawn.shape[1], PART):
                part = slice(top, top + PART), slice(left, left + PART)
                if drawn[part].any():
                    yield part, self._values[drawn[part]]

    def _read(self, window: IntWindow, level: int) -> NDArray[np.uint8]:
        labels = self.segmentation.labels.read(window, level)
        for part, values in self.parts(window, level):
            np.copyto(labels[part], values, where=_decided(values))
        return labels

    def _read_confidence(self, window: IntWindow, level: int) -> NDArray[np.uint8]:
        confidence = self.segmentation.confidence.read(window, level)
        for part, values in self.parts(window, level):
            confidence[part][_decided(values)] = 0
        return confidence


def _joined(own: ClassTable, theirs: ClassTable) -> ClassTable:
    """Return a table with the classes of another one that it lacks, whose colors are none of its own."""
    joined = own.extended(theirs, set(theirs.names).difference(own.names))
    known = {info.name for info in own}
    colors, shown = own.colors, joined.displayed().colors
    free = (info.color for info in numbered_classes(250))
    classes = []
    for info in joined:
        if info.name in known or info.color not in colors:
            classes.append(info)
        else:
            taken = [*colors, *joined.colors, *shown]
            classes.append(info.model_copy(update={"color": next(color for color in free if color not in taken)}))
        colors.append(classes[-1].color)
    return ClassTable(classes=tuple(classes))


def _decided(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a person said which class it is, bool [y, x]."""
    return (values != 0) & (values != NOT_SURE)


def find_final_map(segmentation: Segmentation) -> FinalMap | None:
    """Open the final map of a segmentation whose image has corrections at the usual path.

    Parameters
    ----------
    segmentation : Segmentation
        The prediction, opened.

    Returns
    -------
    FinalMap or None
        The final map. None if there are no corrections of this image, or nothing is painted in them.

    Raises
    ------
    InputError
        The corrections are damaged, or the classes of both are too many.
    """
    image = segmentation.facts["image"]
    for path in usual_corrections(image, segmentation.path):
        stored = stored_image(path)
        if stored is not None and image["fingerprint"] is not None and same_image(stored, image):
            final = FinalMap(segmentation, Corrections.open(path))
            return final if any(final.counts().values()) else None
    return None
